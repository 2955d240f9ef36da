"""Structured logs: one JSON object per line on stdout, secrets taken out, one wide event per unit of work.

    log = get(__name__)
    log.info("key.purchased", order_id=order_id, attempt=2, duration_ms=131)

gives `{"time": "2026-01-31T12:00:00.000000Z", "level": "info", "logger": "fulfillment.kinguin", "event":
"key.purchased", "service": "kinguin", "instance": "kinguin-1", "trace_id": ..., "order_id": ..., ...}`.
The standard library's logging (aiokafka, faust, aiohttp) comes out in the same form.
"""

import json
import logging
import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.processors import StackInfoRenderer, format_exc_info
from structlog.stdlib import ProcessorFormatter
from structlog.typing import BindableLogger, EventDict, ExcInfo, FilteringBoundLogger, Processor, WrappedLogger

from bitloot import trace
from bitloot.redaction import clean_fields, writable

# Chatty below this level, and costly even when nothing is written: aiokafka formats each record's key and
# value for debug lines (16 % of a worker's time), aiohttp writes an access line beside our own.
_FLOORS = {
    "aiobotocore": logging.INFO,
    "aiohttp.access": logging.WARNING,
    "aiokafka": logging.INFO,
    "asyncio": logging.INFO,
    "botocore": logging.INFO,
    "faust": logging.INFO,
    "hpack": logging.INFO,
    "httpcore": logging.INFO,
    "httpx": logging.WARNING,
    "mode": logging.INFO,
}
_LEVELS = {"warn": "warning", "exception": "error"}
_TIME_LENGTH = len("2026-01-31T12:00:00.000000")
_render_stack = StackInfoRenderer()


def get(name: str) -> FilteringBoundLogger:
    """Return a logger; it may be made at import, before `configure`."""
    return cast("FilteringBoundLogger", _Logger(name))


class _Logger:
    """Follows `structlog.configure`, as structlog's own proxy does, but binds once for each configuration.

    Structlog binds for each line, or else keeps whatever was configured at the first line for ever.
    """

    def __init__(self, name: str) -> None:
        self._lazy = structlog.get_logger(name)
        self._bound: BindableLogger | None = None
        self._processors: object = None

    def __getattr__(self, method: str) -> Any:
        processors = structlog.get_config()["processors"]
        if self._bound is None or processors is not self._processors:
            self._bound, self._processors = self._lazy.bind(), processors
        return getattr(self._bound, method)


def bound(**fields: object) -> AbstractContextManager[Any]:
    """Add fields, such as `order_id`, to every line that is written inside the `with`."""
    return bound_contextvars(**fields)


def configure(service: str, instance: str, level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Send all logging of this process through one renderer to `stream` (default: stdout)."""
    stream = stream or sys.stdout
    final = _Line(service, instance)
    threshold = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[final],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda name="": _Output(name, stream),
        # Loggers are made at import; caching would freeze whatever was configured at their first line.
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(final, threshold, stream)
    sys.excepthook = _log_uncaught


class _Output(structlog.WriteLogger):
    """Writes and flushes whole lines; knows the name that `get` was called with."""

    def __init__(self, name: str, stream: TextIO) -> None:
        super().__init__(stream)
        self.name = name


class _Line:
    """Makes the line in one pass: who writes it, when and in which trace, then all fields without the secrets in them.

    What is our own needs no cleaning.
    """

    def __init__(self, service: str, instance: str) -> None:
        self._origin = {"service": service, "instance": instance}
        self._encode = json.JSONEncoder(ensure_ascii=False).encode

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        record = event.pop("_record", None)  # set on what comes from the standard library
        event.pop("_from_structlog", None)
        merge_contextvars(logger, method, event)
        if "exc_info" in event or "stack_info" in event:
            event = format_exc_info(logger, method, _render_stack(logger, method, event))
        fields = clean_fields(event)
        line: dict[str, object] = {
            "time": f"{datetime.now(UTC).isoformat(timespec='microseconds')[:_TIME_LENGTH]}Z",
            "level": _LEVELS.get(method, method),
            "logger": logger.name if record is None else record.name,
            "event": fields.get("event", ""),
            **self._origin,
        }
        if span := trace.current.get():
            line["trace_id"] = span.trace_id
        written = self._encode(line | fields | line)  # in this order, and no field says who writes
        return written if written.isascii() else writable(written)


def _route_standard_logging(final: Processor, threshold: int, stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=[structlog.stdlib.ExtraAdder()], processors=[final]))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(threshold)
    logging.captureWarnings(capture=True)
    server = logging.getLogger("aiohttp.server")
    server.filters[:] = [_without_bytes]
    for name, floor in _FLOORS.items():
        logging.getLogger(name).setLevel(max(floor, threshold))


def _without_bytes(record: logging.LogRecord) -> bool:
    """Keep of a request that is no HTTP only that it came: aiohttp's error quotes what the sender sent."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = f"{record.getMessage()}: {type(error).__name__}"
        record.args, record.exc_info, record.exc_text = None, None, None
    return True


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    exc_info: ExcInfo = (kind, error, traceback)
    get(__name__).critical("process.crashed", exc_info=exc_info)
