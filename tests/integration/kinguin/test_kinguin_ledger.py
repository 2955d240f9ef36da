"""The worker on a real Postgres against the sandbox: one purchase, whatever is repeated and whatever breaks."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
import structlog

from bitloot import log
from bitloot.consumer import Consumed
from bitloot.contracts.effects import KinguinCall
from bitloot.contracts.events import CodesReceived, EffectFailed, Failure, Outcome, PurchasePlaced, PurchasesFound
from bitloot.contracts.topics import KINGUIN_CALLS, ORDER_EVENTS
from bitloot.errors import Cause, Transient
from bitloot.incarnation import incarnation
from bitloot.ledger import EffectLedger, open_pool
from bitloot.sealing import Opener
from fulfillment.kinguin.ports import KeyMarket
from fulfillment.kinguin.worker import KinguinWorker
from tests.fakes.producer import FakeProducer
from tests.fakes.sandbox import RunningSandbox
from tests.integration.kinguin.conftest import MakeSettings
from tests.unit.kinguin.samples import EXTERNAL, NOW, buy, fetch, give, look_up

MakeWorker = Callable[[str], KinguinWorker]


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database) as pool:
        yield pool


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def make_worker(
    pool: asyncpg.Pool, producer: FakeProducer, market: KeyMarket, make_settings: MakeSettings
) -> MakeWorker:
    claim_time = make_settings().claim_time

    def make(name: str) -> KinguinWorker:
        ledger = EffectLedger(pool, incarnation(name))
        return KinguinWorker(market, ledger, producer, claim_time=claim_time, clock=lambda: NOW)

    return make


@pytest.fixture
def worker(make_worker: MakeWorker) -> KinguinWorker:
    return make_worker("worker")


def consumed(call: KinguinCall) -> Consumed:
    return Consumed(
        topic=KINGUIN_CALLS, partition=0, offset=0, key=call.order_id, record=call, headers={}, timestamp=NOW
    )


async def outcome_of(worker: KinguinWorker, producer: FakeProducer, call: KinguinCall) -> Outcome:
    await worker.handle(consumed(call))
    sent = producer.sent[-1]
    assert (sent.topic, sent.key) == (ORDER_EVENTS, call.order_id)
    assert isinstance(sent.record, Outcome)
    assert sent.record.effect_id == call.effect_id
    return sent.record


async def asked(sandbox: RunningSandbox) -> list[str]:
    return [each["call"] for each in (await sandbox.ledger(EXTERNAL))["calls"]]


async def test_an_item_is_bought_and_its_codes_come_sealed(
    worker: KinguinWorker, producer: FakeProducer, sandbox: RunningSandbox, opener: Opener
):
    placed = await outcome_of(worker, producer, buy(2))
    assert isinstance(placed, PurchasePlaced)
    assert placed.given
    received: Outcome | None = None
    for attempt in range(1, 100):
        received = await outcome_of(worker, producer, fetch(2, reservation=placed.reservation_id, attempt=attempt))
        if received.type != "codes.pending":
            break
    assert isinstance(received, CodesReceived)
    (sold,) = (await sandbox.ledger(EXTERNAL))["purchases"]
    assert [opener.open(code).decode() for code in received.lines[0].codes] == sold["keys"]


async def test_the_same_effect_again_and_again_is_one_purchase(
    make_worker: MakeWorker, producer: FakeProducer, sandbox: RunningSandbox
):
    workers = [make_worker(f"worker-{number}") for number in range(4)]
    await asyncio.gather(*(worker.handle(consumed(buy(2))) for worker in workers for _ in range(3)))
    assert await asked(sandbox) == ["reserve", "give"]
    assert len(producer.sent) == 12
    assert len({sent.value for sent in producer.sent}) == 1


async def test_a_worker_killed_between_reserving_and_recording_leaves_the_outcome_unknown(
    make_worker: MakeWorker, producer: FakeProducer, sandbox: RunningSandbox, pool: asyncpg.Pool
):
    await sandbox.fail({"provider": "kinguin", "call": "give", "kind": "slow", "delay": 600})
    killed = asyncio.create_task(make_worker("first").handle(consumed(buy(2))))
    async with asyncio.timeout(10):
        while await asked(sandbox) != ["reserve"]:
            pass  # asked over HTTP: that is pause enough
    killed.cancel()
    await asyncio.wait([killed])
    await sandbox.fail()
    await pool.execute("update effect_ledger set deadline = now()")

    second = make_worker("second")
    abandoned = await outcome_of(second, producer, buy(2))
    assert isinstance(abandoned, EffectFailed)
    assert (abandoned.failure, abandoned.cause) == (Failure.UNKNOWN, Cause.ABANDONED)
    assert "reserve" not in (await asked(sandbox))[1:]

    found = await outcome_of(second, producer, look_up())
    assert isinstance(found, PurchasesFound)
    (reservation,) = found.reservations
    assert not reservation.given
    await outcome_of(second, producer, give(reservation.reservation_id))
    await outcome_of(second, producer, give(reservation.reservation_id, attempt=2))
    assert len((await sandbox.ledger(EXTERNAL))["purchases"]) == 1


async def test_an_outcome_that_could_not_be_published_is_published_later_and_nothing_is_bought_again(
    worker: KinguinWorker, producer: FakeProducer, sandbox: RunningSandbox
):
    producer.away = True
    with pytest.raises(Transient):
        await worker.handle(consumed(buy(2)))
    producer.away = False
    assert isinstance(await outcome_of(worker, producer, buy(2)), PurchasePlaced)
    assert await asked(sandbox) == ["reserve", "give"]


async def test_without_a_ledger_nothing_is_bought(
    market: KeyMarket, producer: FakeProducer, sandbox: RunningSandbox, make_settings: MakeSettings
):
    async with open_pool("postgresql://127.0.0.1:9/nobody") as nowhere:
        ledger = EffectLedger(nowhere, incarnation("worker"))
        worker = KinguinWorker(market, ledger, producer, claim_time=make_settings().claim_time)
        for call in (buy(2), give("r")):
            with pytest.raises(Transient) as caught:
                await worker.handle(consumed(call))
            assert caught.value.cause is Cause.DATABASE_UNAVAILABLE
        assert not await asked(sandbox)
        await worker.handle(consumed(look_up()))  # a read needs none
    assert [sent.record.type for sent in producer.sent] == ["purchases.found"]


@pytest.mark.parametrize(
    ("fault", "failure", "cause"),
    [
        ({"kind": "error", "status": 503}, Failure.UNKNOWN, Cause.PROVIDER_UNAVAILABLE),
        ({"kind": "error", "status": 429, "retryAfter": 5}, Failure.TRANSIENT, Cause.RATE_LIMITED),
        (
            {"kind": "error", "status": 402, "code": "InsufficientBalance"},
            Failure.TRANSIENT,
            Cause.INSUFFICIENT_BALANCE,
        ),
        ({"kind": "malformed"}, Failure.UNKNOWN, Cause.BAD_ANSWER),
        ({"kind": "malformed", "body": "<html>", "status": 200}, Failure.UNKNOWN, Cause.BAD_ANSWER),
        ({"kind": "timeout_after", "delay": 0}, Failure.UNKNOWN, Cause.PROVIDER_UNAVAILABLE),
        ({"kind": "timeout_before", "delay": 0}, Failure.UNKNOWN, Cause.PROVIDER_UNAVAILABLE),
    ],
    ids=lambda part: json.dumps(part) if isinstance(part, dict) else str(part),
)
async def test_what_went_wrong_is_recorded_once_and_told_again(
    worker: KinguinWorker, producer: FakeProducer, sandbox: RunningSandbox, fault, failure, cause
):
    await sandbox.fail({"provider": "kinguin", "call": "reserve", "count": 1} | fault)
    for _ in range(2):
        failed = await outcome_of(worker, producer, buy(2))
        assert isinstance(failed, EffectFailed)
        assert (failed.failure, failed.cause) == (failure, cause)
        assert failed.retry_after == {Cause.RATE_LIMITED: 5, Cause.INSUFFICIENT_BALANCE: 60}.get(cause)
    assert await asked(sandbox) == ["reserve"]


async def test_a_token_that_ended_early_is_replaced_unnoticed(
    worker: KinguinWorker, producer: FakeProducer, sandbox: RunningSandbox
):
    assert isinstance(await outcome_of(worker, producer, look_up()), PurchasesFound)
    await sandbox.call("DELETE", "/_tokens")
    assert isinstance(await outcome_of(worker, producer, buy(2)), PurchasePlaced)
    assert len((await sandbox.ledger(EXTERNAL))["purchases"]) == 1


@pytest.fixture
def lines() -> AsyncIterator[io.StringIO]:
    """All that is logged, as the process would write it, at the chattiest level."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure("kinguin", "test", "DEBUG", stream=stream)
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.configure(**before)


async def test_one_line_tells_all_about_a_call(
    worker: KinguinWorker, producer: FakeProducer, sandbox: RunningSandbox, lines: io.StringIO
):
    call = buy(2)
    await outcome_of(worker, producer, call)
    await sandbox.fail({"provider": "kinguin", "call": "lookup", "kind": "error", "status": 503})
    await outcome_of(worker, producer, look_up())
    await sandbox.fail({"provider": "kinguin", "call": "lookup", "kind": "timeout_before", "delay": 0})
    await outcome_of(worker, producer, look_up(attempt=2))
    written = [json.loads(line) for line in lines.getvalue().splitlines()]
    bought, failed, lost = (line for line in written if line["event"] == "kinguin.called")
    assert bought["effect_id"] == call.effect_id
    assert (bought["order_id"], bought["purchase_id"], bought["attempt"]) == (call.order_id, call.purchase_id, 1)
    assert (bought["call"], bought["outcome"], bought["status"]) == ("buy_key", "purchase.placed", 200)
    assert bought["duration_ms"] >= 0
    assert (failed["call"], failed["outcome"], failed["cause"], failed["status"]) == (
        "look_up_purchase",
        "transient",
        "provider_unavailable",
        503,
    )
    assert lost["status"] is None


async def test_neither_codes_nor_tokens_are_ever_written(
    worker: KinguinWorker,
    producer: FakeProducer,
    sandbox: RunningSandbox,
    market: KeyMarket,
    pool: asyncpg.Pool,
    lines: io.StringIO,
):
    placed = await outcome_of(worker, producer, buy(2))
    assert isinstance(placed, PurchasePlaced)
    secret = "QWERT-ASDFG-ZXCVB"
    bodies = [
        {"codes": [secret, "SECOND-1"]},
        {"codes": [secret]},
        {"codes": [secret, secret]},
        {"codes": [secret, "A", "B"]},
        {"codes": secret},
        {"codes": [secret + "\x00", "A"]},
        {"keys": [{"serial": secret, "type": "image/png"}, "A"]},
        {"keys": [{"serial": secret, "type": secret}, "A"], "status": secret},
        {"kind": secret, "title": secret, "detail": secret, "codes": [secret]},
        {"error": {"codes": [secret]}, "reservationId": secret},
        [secret],
    ]
    texts = [json.dumps(body) for body in bodies] + [f'{{"codes": ["{secret}"', f"<html>{secret}</html>", secret]
    attempts = 0
    for status in (200, 404, 409, 422, 500):
        for text in texts:
            attempts += 1
            rule = {"provider": "kinguin", "kind": "malformed", "status": status, "body": text, "count": 1}
            await sandbox.fail(rule | {"call": "delivered"})
            await outcome_of(worker, producer, fetch(2, reservation=placed.reservation_id, attempt=attempts))
            await sandbox.fail(rule | {"call": "give"})
            await outcome_of(worker, producer, give(placed.reservation_id, attempt=attempts))
            await sandbox.fail(rule | {"call": "lookup"})
            await outcome_of(worker, producer, look_up(attempt=attempts))

    logged = lines.getvalue()
    assert logged.count("kinguin.called") == 3 * attempts + 1
    published = b"\n".join(sent.value for sent in producer.sent)
    recorded = json.dumps([dict(row) for row in await pool.fetch("select outcome from effect_ledger")])
    for place in (logged, published.decode(), recorded):
        assert EXTERNAL in place
        assert secret not in place
        assert "QWERT" not in place
    token = (await market._market._gateway._credentials.current()).get_secret_value()
    for hidden in (token, sandbox.settings.kinguin_client_secret.get_secret_value()):
        assert hidden not in logged
