import asyncio
import io
import json
import logging
import sys
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import structlog
from aiohttp import web
from pydantic import BaseModel, SecretStr, ValidationError
from structlog.stdlib import ProcessorFormatter

from bitloot import http, log, trace
from bitloot.errors import Cause, Transient
from bitloot.health import Health

CODE = "AAAA-BBBB-CCCC-DDDD"


@dataclass
class Lines:
    stream: io.StringIO

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def one(self) -> dict[str, Any]:
        (line,) = self.all()
        return line


@pytest.fixture
def lines() -> Iterator[Lines]:
    """A configured process; everything global that it touches is put back."""
    root = logging.root
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    levels = {name: logging.getLogger(name).level for name in log._FLOORS}
    captured = Lines(io.StringIO())
    log.configure("kinguin", "kinguin-1", "INFO", stream=captured.stream)
    yield captured
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level, sys.excepthook = handlers, level, hook
    for name, each in levels.items():
        logging.getLogger(name).setLevel(each)


def test_a_line_is_one_json_object(lines: Lines):
    log.get("fulfillment.kinguin").info("key.purchased", order_id="o-1", attempt=2)

    line = lines.one()
    moment = datetime.fromisoformat(line.pop("time"))
    assert moment.tzinfo == UTC
    assert line == {
        "level": "info",
        "logger": "fulfillment.kinguin",
        "event": "key.purchased",
        "service": "kinguin",
        "instance": "kinguin-1",
        "order_id": "o-1",
        "attempt": 2,
    }
    assert list(lines.one())[:4] == ["time", "level", "logger", "event"]


def test_a_text_with_line_breaks_stays_one_line(lines: Lines):
    log.get("x").info('forged\n{"event": "fake"}', name="Jürgen")

    assert len(lines.text.splitlines()) == 1
    assert lines.one()["name"] == "Jürgen"


def test_lines_below_the_level_are_not_written(lines: Lines):
    log.get("x").debug("quiet")
    logging.getLogger("x").debug("quiet")

    assert lines.text == ""


def test_a_logger_made_before_configure_follows_it(lines: Lines):
    early = log.get("early")
    early.info("one")
    other = io.StringIO()
    log.configure("other", "other-1", "ERROR", stream=other)
    early.info("two")
    early.error("three")

    assert [json.loads(line)["event"] for line in other.getvalue().splitlines()] == ["three"]
    assert lines.one()["event"] == "one"


def test_standard_logging_comes_out_in_the_same_form(lines: Lines):
    logging.getLogger("aiokafka.consumer").warning(
        "lost %s with token=%s", "broker-1", "x", extra={"password": "hunter2", "partition": 3}
    )

    line = lines.one()
    assert datetime.fromisoformat(line.pop("time")).tzinfo == UTC
    assert line == {
        "level": "warning",
        "logger": "aiokafka.consumer",
        "event": "lost broker-1 with token=[redacted]",
        "service": "kinguin",
        "instance": "kinguin-1",
        "password": "[redacted]",
        "partition": 3,
    }


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_debug_lines_of_aiokafka_cost_nothing(lines: Lines, level: str):
    log.configure("kinguin", "kinguin-1", level, stream=lines.stream)

    assert not logging.getLogger("aiokafka.producer.producer").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("aiohttp.access").isEnabledFor(logging.INFO)


def test_warnings_are_log_lines(lines: Lines):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)

    assert "old thing" in lines.one()["event"]


def test_an_exception_is_one_field(lines: Lines):
    def fail() -> None:
        raise Transient(Cause.TIMEOUT, "no answer")

    try:
        fail()
    except Transient:
        log.get("x").exception("call.failed")
        logging.getLogger("y").exception("failed")

    for line in lines.all():
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("bitloot.errors.Transient: timeout: no answer")
        assert line["level"] == "error"


def test_an_uncaught_exception_is_a_log_line(lines: Lines):
    error = ValueError(f'{{"codes": ["{CODE}"]}}')
    sys.excepthook(ValueError, error, None)

    line = lines.one()
    assert (line["event"], line["level"]) == ("process.crashed", "critical")
    assert CODE not in lines.text


def test_context_is_bound_and_released(lines: Lines):
    with log.bound(order_id="o-1"), trace.use(None) as span:
        log.get("x").info("inside")
        logging.getLogger("y").warning("inside")
    log.get("x").info("outside")

    first, second, third = lines.all()
    assert first["order_id"] == second["order_id"] == "o-1"
    assert first["trace_id"] == second["trace_id"] == span.trace_id
    assert "order_id" not in third
    assert "trace_id" not in third


def test_values_that_are_not_json_are_written_as_text(lines: Lines):
    class Odd:
        def __repr__(self) -> str:
            return f"Odd(password='x', codes={{'codes': ['{CODE}']}})"

    cyclic: list[object] = []
    cyclic.append(cyclic)
    log.get("x").info(
        "odd",
        moment=datetime(2026, 1, 31, tzinfo=UTC),
        amount=Decimal("0.10"),
        id=uuid.UUID(int=1),
        cause=Cause.TIMEOUT,
        body=b"\x00\x01",
        odd=Odd(),
        cyclic=cyclic,
        names=("a", "b"),
    )

    line = lines.one()
    assert line["moment"] == "2026-01-31T00:00:00+00:00"
    assert line["amount"] == "0.10"
    assert line["id"] == "00000000-0000-0000-0000-000000000001"
    assert line["cause"] == "timeout"
    assert line["body"] == "<2 bytes>"
    assert line["names"] == ["a", "b"]
    assert CODE not in lines.text


@pytest.fixture
def written(lines: Lines) -> io.BytesIO:
    """The bytes of a stream as stdout is: strict about what is no UTF-8. Puts `lines` out of use."""
    raw = io.BytesIO()
    log.configure("kinguin", "kinguin-1", "INFO", stream=io.TextIOWrapper(raw, encoding="utf-8", write_through=True))
    return raw


def test_half_a_character_is_written_and_stops_nobody(written: io.BytesIO):
    """From a JSON escape, or from aiohttp for a header that is no UTF-8; whoever logs must not fail for it."""
    log.get("x").info("seen", agent="\u00e9\udcff", nested={"half \ud800": ["\ud83d"]})
    # To our handler alone: pytest keeps what goes through a logger for its report, and xdist cannot send this on.
    (ours,) = (each for each in logging.root.handlers if isinstance(each.formatter, ProcessorFormatter))
    ours.handle(logging.LogRecord("y", logging.WARNING, __file__, 1, "seen %s", ("\ud800",), None))
    log.get("x").error("failed", exc_info=ValueError("half \ud800"))

    seen, foreign, failed = map(json.loads, written.getvalue().decode().splitlines())
    assert (seen["agent"], seen["nested"]) == ("\u00e9\udcff", {"half \ud800": ["\ud83d"]})
    assert foreign["event"] == "seen \ud800"
    assert failed["exception"].endswith("ValueError: half \ud800")


def test_no_secret_reaches_a_line(lines: Lines):
    """Codes and secrets on every way that was thought of, looked for in the bytes that were written."""

    class Answer(BaseModel):
        codes: list[int]

    @dataclass
    class Held:
        codes: tuple[str, ...] = (CODE,)
        token: str = CODE
        key: bytes = CODE.encode()

    logger = log.get("x")
    logger.info("object", held=Held(), nested=[{"inner": (Held(),)}], error=ValueError(Held()))
    logging.getLogger("y").warning("object %s", Held())
    logger.info("field", codes=[CODE], key=CODE, authorization=CODE, nested={"answer": [{"serial": CODE}]})
    logger.info("secret", value=SecretStr(CODE), nested=[{"any": SecretStr(CODE)}])
    logger.info("text", text=f"Bearer {CODE}", url=f"https://s3.test/keys/1.json?X-Amz-Signature={CODE}&x=1")
    logger.info("json", body=json.dumps({"status": "ok", "codes": [CODE]}))
    logger.info("json in json", body=json.dumps(json.dumps({"key": CODE})))
    logging.getLogger("y").warning("dict %s", {"codes": [CODE], "reservationId": "r-1"})
    logging.getLogger("y").warning("bytes %s", json.dumps({"token": CODE}).encode())
    with log.bound(api_key=CODE):
        logger.info("context")
    try:
        Answer.model_validate({"codes": [CODE]})
    except ValidationError:
        logger.exception("refused")
        logging.getLogger("y").exception("refused")

    assert CODE not in lines.text
    assert len(lines.all()) == 12


@pytest.mark.parametrize(
    "raw",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZZ SECRET-CODE\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -SECRET-CODE\r\n\r\n",
        b"\x00\x01SECRET-CODE\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_without_a_traceback_or_its_bytes_in_the_log(lines: Lines, raw: bytes):
    async def read(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    app = http.create_app(Health())
    app.router.add_post("/", read)
    server = asyncio.create_task(http.serve_until(stop, app, "127.0.0.1", 0, on_listening=port.set_result))
    reader, writer = await asyncio.open_connection("127.0.0.1", await port)
    writer.write(raw)
    assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    await writer.wait_closed()
    stop.set()
    await server
    assert "SECRET-CODE" not in lines.stream.getvalue()
    assert "Traceback" not in lines.stream.getvalue()
