"""What the sink makes of records, on real Kafka and Postgres."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from prometheus_client import REGISTRY

from admin_api.sink.store import Move, Store
from admin_api.sink.writer import Writer
from bitloot.contracts import codec
from bitloot.contracts.events import PaymentStatus, TimerFired
from bitloot.contracts.state import OrderStatus
from bitloot.health import Health
from bitloot.ids import EventId
from bitloot.ledger import open_pool
from tests.fakes.buyers import keep_key
from tests.integration.admin_api.read_model import READ_TABLES, ReadModel
from tests.unit.admin_api import records


async def test_every_topic_becomes_its_tables(model: ReadModel):
    await model.publish(model.topics.state, records.snapshot(1))
    await model.publish(model.topics.events, records.revealed(1), records.codes_received(1))
    await model.publish(model.topics.webhooks, records.webhook(1))
    await model.publish(model.topics.dead_letters, records.letter(1))

    await model.run_once()

    counts = {table: len(rows) for table, rows in (await model.everything()).items()}
    assert counts == dict.fromkeys(READ_TABLES, 1) | {"keys": 2, "order_events": 2, "code_hashes": 2}
    (order,) = await model.rows("orders")
    assert (order["status"], order["email"], str(order["total"])) == ("fulfilled", "buyer1@example.test", "19.98")
    assert order["kinguin_reservation_id"] == "res-1"
    assert order["placed_at"] == records.at(60)


async def test_repeats_are_counted_within_a_batch_and_across_batches(model: ReadModel):
    counted = REGISTRY.get_sample_value("bitloot_webhooks_duplicate_total", {"provider": "kinguin"}) or 0
    for received in (1, 2):
        await model.publish(model.topics.events, records.revealed(1))
        await model.publish(model.topics.webhooks, records.webhook(1, received=received, note=f"no {received}"))
        await model.publish(model.topics.dead_letters, records.letter(1))
    await model.run_once()
    await model.publish(model.topics.events, records.revealed(1))
    await model.publish(model.topics.webhooks, records.webhook(1, received=3, note="no 3"))
    await model.publish(model.topics.dead_letters, records.letter(1))
    await model.run_once()

    (event,), (webhook,), (letter,) = [
        await model.rows(table) for table in ("order_events", "webhook_logs", "dead_letters")
    ]
    assert (event["repeats"], webhook["repeats"]) == (2, 2)
    assert letter["kafka_offset"] == 0
    assert (webhook["first_received_at"], webhook["last_received_at"]) == (records.at(1), records.at(3))
    assert webhook["note"] == "no 3"
    assert REGISTRY.get_sample_value("bitloot_webhooks_duplicate_total", {"provider": "kinguin"}) == counted + 2
    assert event["kafka_offset"] == 0
    assert webhook["kafka_offset"] == 2


async def test_an_older_snapshot_never_overwrites_a_newer_one(model: ReadModel):
    newest = records.snapshot(1, 3)
    open_payment = newest.payments[0].model_copy(update={"payment_id": "pay-old", "status": PaymentStatus.WAITING})
    older = records.snapshot(1, 2, status=OrderStatus.DELIVERING, keys=(), payments=(open_payment, *newest.payments))
    await model.publish(model.topics.state, older, newest)
    await model.run_once()
    once = await model.everything()
    await model.publish(model.topics.state, older, records.snapshot(1, 1, status=OrderStatus.PAID))
    await model.run_once()

    assert await model.everything() == once
    (order,) = once["orders"]
    assert (order["version"], order["status"]) == (3, "fulfilled")
    assert [payment["id"] for payment in once["payments"]] == ["pay-1"]
    assert len(once["keys"]) == 2


async def test_what_a_newer_snapshot_lacks_is_gone(model: ReadModel):
    first = records.snapshot(1, 1)
    await model.publish(model.topics.state, first, records.snapshot(2, 1))
    await model.run_once()
    await model.publish(model.topics.state, records.snapshot(1, 2, keys=first.keys[:1], payments=()))
    await model.run_once()

    assert [row["id"] for row in await model.rows("payments")] == ["pay-2"]
    assert sorted(str(row["order_item_id"])[-2:] for row in await model.rows("keys")) == ["-1", "-1", "-1"]


async def test_a_payment_that_two_orders_claim_stops_nothing(model: ReadModel):
    shared = records.snapshot(1).payments
    await model.publish(model.topics.state, records.snapshot(1), records.snapshot(2, payments=shared))
    await model.run_once()

    assert len(await model.rows("orders")) == 2
    assert [row["id"] for row in await model.rows("payments")] == ["pay-1"]


async def test_timers_and_tombstones_leave_no_row(model: ReadModel):
    timer = TimerFired(event_id=EventId("timer/1"), occurred_at=records.START, order_id=records.order(1))
    await model.publish(model.topics.events, timer)
    await model.publish_raw(model.topics.state, records.order(1).encode(), None)
    await model.run_once()

    assert not any((await model.everything()).values())


async def test_sealed_codes_never_reach_the_database(model: ReadModel):
    event = records.codes_received(1)
    value = codec.encode(event)
    await model.publish(model.topics.events, event, records.notified(1))
    await model.publish(model.topics.webhooks, records.webhook(1))
    for number, carried in enumerate((value, value[:-60], codec.encode(records.letter(2)))):
        topic = model.topics.dead_letters.name if number == 2 else "orders.events.v1"
        letter = records.letter(number, topic=topic, value=base64.b64encode(carried).decode())
        await model.publish(model.topics.dead_letters, letter)
    await model.publish_raw(model.topics.events, b"another key", value)  # the sink's own dead letter
    await model.run_once()
    await model.run_once()  # reads it

    everything = str(await model.everything())
    assert len(await model.rows("dead_letters")) == 4
    assert records.BOX not in everything
    assert base64.b64encode(records.BOX.encode()).decode()[:16] not in everything
    counts = {row["type"]: row["payload"] for row in await model.rows("order_events")}
    assert '"codes": 2' in str(counts["codes.received"])
    assert '"codes": 1' in str(counts["kinguin.notified"])


async def test_what_cannot_be_used_becomes_a_dead_letter_and_the_rest_goes_on(model: ReadModel):
    good = records.revealed(1)
    key = records.order(1).encode()
    too_many = records.snapshot(1, items=(records.snapshot(1).items[0].model_copy(update={"quantity": 2**40}),))
    await model.publish_raw(model.topics.events, key, b"\xff\xfe not JSON")
    await model.publish_raw(model.topics.events, key, b"")
    await model.publish_raw(model.topics.events, key, None)
    await model.publish_raw(model.topics.events, None, codec.encode(good))
    await model.publish_raw(
        model.topics.events, key, codec.encode(good).replace(b'"schema_version":1', b'"schema_version":9')
    )
    await model.publish_raw(model.topics.events, b"abc", codec.encode(good.model_copy(update={"order_id": "abc"})))
    await model.publish_raw(model.topics.webhooks, b"k", b"[" * 10_000)
    await model.publish_raw(model.topics.dead_letters, b"k", b'{"type":"dead.letter"}')
    await model.publish(model.topics.state, too_many, records.snapshot(2))
    await model.publish(model.topics.events, good)

    async with model.sink():
        await model.catch_up()
        await model.catch_up()  # its own letters

    letters = await model.rows("dead_letters")
    assert len(letters) == 9
    assert {row["consumer"] for row in letters} == {"sink"}
    assert sorted(str(row["reason"]) for row in letters) == ["bad_record"] * 8 + ["defect"]
    (refused,) = [row for row in letters if row["reason"] == "defect"]
    assert refused["topic"] == model.topics.state.name
    assert "out of range" in str(refused["error"])
    assert [row["email"] for row in await model.rows("orders")] == ["buyer2@example.test"]
    assert [row["event_id"] for row in await model.rows("order_events")] == [good.event_id]


async def test_text_that_postgres_cannot_hold_is_kept_as_far_as_it_can(model: ReadModel):
    strange = records.webhook(1, body="a\x00b \\u0000", event={"codes": [], "note": "\x00"}, note='x\\"\\\x00')
    await model.publish(model.topics.webhooks, strange)
    await model.run_once()

    (row,) = await model.rows("webhook_logs")
    assert row["body"] == "a\ufffdb \\u0000"
    assert row["note"] == 'x\\"\\\ufffd'
    assert "\ufffd" in str(row["event"])
    assert not await model.rows("dead_letters")


COUNTED = """
select (mailed_at at time zone 'UTC')::date as day, time_to_key_bucket(mailed_at - paid_at) as bucket, count(*) as mails
from orders where mailed_at is not null and paid_at is not null group by 1, 2 order by 1, 2
"""


async def test_waits_are_counted_as_the_orders_stand(model: ReadModel):
    await model.publish(model.topics.state, *(records.snapshot(number) for number in range(1, 8)))
    await model.run_once()
    first = await model.connection.fetch("select * from time_to_key_days order by day, bucket")
    assert first == await model.connection.fetch(COUNTED)
    assert sum(row["mails"] for row in first) == 7

    await model.publish(
        model.topics.state,
        records.snapshot(1, 2),  # the same times
        records.snapshot(2, 2, mailed_at=None),
        records.snapshot(3, 2, mailed_at=records.at(86_400)),
        records.snapshot(8),
    )
    await model.run_once()
    then = await model.connection.fetch("select * from time_to_key_days order by day, bucket")
    assert then == await model.connection.fetch(COUNTED)
    assert sum(row["mails"] for row in then) == 7
    assert then != first


class Counted:
    """A pool that counts the statements of whoever has a connection."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self.statements = 0

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._pool.acquire() as connection:
            with connection.query_logger(self._count):
                yield connection

    def _count(self, _query: object) -> None:
        self.statements += 1


async def test_a_record_that_postgres_refuses_costs_a_slow_postgres_no_turn_for_each_other(model: ReadModel):
    key = records.order(1).encode()
    too_many = records.snapshot(1, items=(records.snapshot(1).items[0].model_copy(update={"quantity": 2**40}),))
    await keep_key(model.keys, too_many.order_id)
    raws = [
        records.taken(model.topics.events.name, key, codec.encode(records.revealed(1, event)), offset=event)
        for event in range(600)
    ]
    raws.insert(400, records.taken(model.topics.state.name, key, codec.encode(too_many), offset=7))
    events, states = (model.topics.events.name, 0), (model.topics.state.name, 0)
    async with open_pool(model.settings.database_url.get_secret_value()) as pool:
        counted = Counted(pool)
        writer = Writer(Store(counted), model.topics, model.producer, Health())
        await writer.offsets({events: 0, states: 7})
        counted.statements = 0
        await writer.write(await writer.prepare(raws), {events: Move(0, 600), states: Move(7, 8)})

    assert len(await model.rows("order_events")) == 600
    assert await model.rows("orders") == []
    assert counted.statements < 600
