"""The read model is filled from Kafka anew, beside the sinks, and equals what was there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import TopicPartition

from admin_api.rebuild.report import table as told
from admin_api.rebuild.run import Impossible, Rebuilt, rebuild
from admin_api.rebuild.shadow import READ_TABLES, SCHEMA
from admin_api.settings import RebuildSettings
from bitloot.cluster import LogLost
from bitloot.contracts.state import OrderStatus
from tests.integration.admin_api.api import serve_api
from tests.integration.admin_api.read_model import PARTITIONS, ReadModel
from tests.unit.admin_api import records

ORDERS = 30
KEPT = ("effect_ledger", "emails", "dead_letter_replays", "bulk_replays", "bulk_replay_items")


async def publish_all(model: ReadModel, orders: range = range(ORDERS)) -> None:
    """Send something of every kind, with repeats, with and without an order's id, and what cannot be used."""
    for number in orders:
        await asyncio.gather(
            model.publish(model.topics.state, records.snapshot(number, 1, status=OrderStatus.PAID, keys=())),
            model.publish(model.topics.events, records.revealed(number), records.codes_received(number)),
            model.publish(model.topics.webhooks, records.webhook(number, received=1)),
            model.publish(model.topics.dead_letters, records.letter(number)),
        )
    await model.publish_raw(model.topics.events, b"k", b"nonsense")
    await asyncio.gather(
        *(model.publish(model.topics.state, records.snapshot(number, 2)) for number in orders),
        *(model.publish(model.topics.events, records.revealed(number)) for number in orders),
        *(
            # Without an order's id the key, and so the partition, is another one.
            model.publish(
                model.topics.webhooks, records.webhook(number, received=2, order_id=None), key=f"res-{number}"
            )
            for number in orders
        ),
    )


async def rebuilt(model: ReadModel, *, drop_surplus: bool = False) -> Rebuilt:
    settings = RebuildSettings.model_validate(model.settings.model_dump())
    return await rebuild(settings, lambda read, wanted: None, topics=model.topics, drop_surplus=drop_surplus)


def differences(found: Rebuilt) -> dict[str, tuple[int, int, int]]:
    return {each.table: (each.missing, each.surplus, each.changed) for each in found.tables if not each.equal}


async def leftovers(model: ReadModel) -> list[str]:
    rows = await model.connection.fetch(
        "select table_name from information_schema.tables where table_schema = $1", SCHEMA
    )
    return [row["table_name"] for row in rows]


async def test_what_kafka_says_is_what_is_there(model: ReadModel):
    await publish_all(model)
    async with model.sink():
        await model.catch_up()
        await model.catch_up()  # the sink's own dead letter
        before, offsets = await model.everything(), await model.stored()
        found = await rebuilt(model)
        assert differences(found) == {}
        assert await model.everything() == before
        assert await model.stored() == offsets

        await model.publish(model.topics.events, records.revealed(1, 2))
        await model.catch_up()

    assert {each.table: each.before.rows for each in found.tables} == {name: len(rows) for name, rows in before.items()}
    assert all(each.before.rows for each in found.tables)
    assert found.skipped == 1
    assert "all tables are equal" in told(found)
    assert len(await model.rows("order_events")) == len(before["order_events"]) + 1
    assert await leftovers(model) == []


async def test_it_is_exact_while_records_keep_coming(model: ReadModel):
    await publish_all(model, range(5))
    async with model.sink():
        await model.catch_up()
        async with traffic(model):
            for _ in range(2):
                assert differences(await rebuilt(model)) == {}
        await model.catch_up()


@contextlib.asynccontextmanager
async def traffic(model: ReadModel) -> AsyncIterator[None]:
    """Keep publishing; the body begins once it does."""
    begun = asyncio.Event()

    async def publish() -> None:
        number = 1000
        while True:
            await publish_all(model, range(number, number + 3))
            number += 3
            begun.set()

    task = asyncio.create_task(publish())
    try:
        await begun.wait()
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()


@pytest.mark.parametrize(
    ("damage", "table", "expected"),
    [
        ("delete from orders where email = 'buyer3@example.test'", "orders", (1, 0, 0)),
        ("update payments set verdict = 'mismatch' where id = 'pay-3'", "payments", (0, 0, 1)),
        ("update webhook_logs set repeats = repeats + 1 where external_id = 'res-3'", "webhook_logs", (0, 0, 1)),
        (
            "insert into keys select 'x', position, order_id, storage_ref, null, now(), 1 from keys limit 1",
            "keys",
            (0, 1, 0),
        ),
        (
            "update order_events set kafka_offset = kafka_offset + 1 where type = 'keys.revealed'",
            "order_events",
            (0, 0, 4),
        ),
        ("delete from code_hashes", "code_hashes", (8, 0, 0)),
        ("truncate dead_letters", "dead_letters", (4, 0, 0)),
    ],
)
async def test_damage_is_found_told_and_put_right(
    model: ReadModel, damage: str, table: str, expected: tuple[int, int, int]
):
    await publish_all(model, range(4))
    await model.run_once()
    await model.run_once()
    before = await model.everything()
    if table == "dead_letters":
        expected = (len(before["dead_letters"]), 0, 0)
    await model.connection.execute(damage)

    found = await rebuilt(model, drop_surplus=table == "keys")

    assert differences(found) == {table: expected}
    assert "1 of 11 tables differed" in told(found)
    assert await model.everything() == before
    assert differences(await rebuilt(model)) == {}


async def test_emptied_tables_are_filled_under_a_running_sink(model: ReadModel):
    await publish_all(model)
    async with model.sink():
        await model.catch_up()
        await model.catch_up()
        before = await model.everything()
        await model.connection.execute(f"truncate {', '.join(READ_TABLES)}")
        found = await rebuilt(model)
        await model.publish(model.topics.events, records.revealed(1, 2))
        await model.catch_up()

    assert len(differences(found)) == len(READ_TABLES)
    after = await model.everything()
    assert len(after.pop("order_events")) == len(before.pop("order_events")) + 1
    assert after == before


async def test_what_no_sink_had_read_yet_goes_into_the_tables_that_were_equal_too(model: ReadModel):
    await publish_all(model, range(3))
    await model.run_once()
    await model.connection.execute("delete from orders")
    await publish_all(model, range(3, 6))

    assert differences(await rebuilt(model)) == {"orders": (3, 0, 0)}

    assert await model.stored() == await model.ends()
    assert len(await model.rows("webhook_logs")) == len(await model.rows("orders")) == 6
    assert differences(await rebuilt(model)) == {}


async def test_without_any_sink_all_is_read_to_the_ends(model: ReadModel):
    await publish_all(model, range(3))
    found = await rebuilt(model)

    assert all(each.missing for each in found.tables)
    assert await model.stored() == await model.ends()
    assert len(await model.rows("orders")) == 3
    before = await model.everything()
    await model.run_once()
    # The sink had not put the unusable record aside; it counts as read, as nothing else would end.
    assert await model.everything() == before


async def test_readers_never_see_an_empty_table(model: ReadModel):
    await publish_all(model, range(5))
    await model.run_once()
    await model.connection.execute("update orders set email = 'wrong@example.test'")
    dsn = model.settings.database_url.get_secret_value()
    async with serve_api(dsn) as api:
        task = asyncio.create_task(rebuilt(model))
        seen: list[set[str]] = []
        while not task.done():
            page = await api.page("/admin/orders")
            assert page["total"] == 5
            seen.append({item["email"] for item in page["items"]})
        await task
        last = {item["email"] for item in (await api.page("/admin/orders"))["items"]}

    wrong, right = {"wrong@example.test"}, {f"buyer{number}@example.test" for number in range(5)}
    assert all(each in (wrong, right) for each in seen)
    assert seen[0] == wrong
    assert last == right


async def test_what_kafka_does_not_have_is_left_alone(model: ReadModel):
    await publish_all(model, range(2))
    await model.run_once()
    await model.connection.execute(
        "insert into dead_letter_replays (event_id, action_id, actor) values ('dead-letter/delivery/1', 'a', 'admin')"
    )
    await model.connection.execute(
        "insert into effect_ledger (effect_id, order_id, kind, attempt, claimed_by, claimed_at, deadline) "
        "values ('e', $1, 'buy_key', 1, 'me', now(), now())",
        records.order(1),
    )
    kept = {table: await model.rows(table) for table in KEPT}
    await rebuilt(model)

    assert {table: await model.rows(table) for table in KEPT} == kept


async def test_dead_letters_that_have_left_kafka_stay(model: ReadModel):
    await publish_all(model, range(6))
    await model.run_once()
    before = await model.rows("dead_letters")
    await forget(model, model.topics.dead_letters.name)

    assert differences(await rebuilt(model)) == {}
    assert await model.rows("dead_letters") == before


async def test_notifications_that_have_left_kafka_stay(model: ReadModel):
    await notify(model, range(6), days=410)
    expired = await model.ends()
    await notify(model, range(6, 12), days=1)
    await model.run_once()
    before = await model.everything()
    await forget(model, model.topics.webhooks.name, expired)

    assert differences(await rebuilt(model)) == {}
    assert await model.everything() == before

    await model.connection.execute("delete from webhook_log_keys where external_id in ('res-1', 'res-7')")
    await model.connection.execute("update webhook_logs set note = 'damaged' where external_id = 'res-8'")
    await model.connection.execute("delete from webhook_logs where external_id = 'res-9'")
    found = differences(await rebuilt(model))
    assert found == {"webhook_logs": (1, 0, 1), "webhook_log_keys": (2, 0, 0)}
    assert await model.everything() == before


@pytest.mark.parametrize("first_with_order", [True, False])
async def test_a_notification_whose_first_record_has_left_kafka_keeps_its_count(
    model: ReadModel, *, first_with_order: bool
):
    order_id, none = records.order(1), None
    first_id, again_id = (order_id, none) if first_with_order else (none, order_id)
    first = records.webhook(1, received=days_ago(410), order_id=first_id)
    again = records.webhook(1, received=days_ago(2), order_id=again_id, note="again")
    await model.publish(model.topics.webhooks, first, key="res-1")
    await model.publish(model.topics.webhooks, first, key="res-1")
    await model.publish(model.topics.webhooks, again, key="res-1")
    await model.run_once()
    before = await model.everything()
    (row,) = before["webhook_logs"]
    assert (row["repeats"], row["note"], str(row["order_id"])) == (2, "again", records.order(1))
    await forget(model, model.topics.webhooks.name)

    assert differences(await rebuilt(model)) == {}
    assert await model.everything() == before

    await model.connection.execute("update webhook_logs set note = 'damaged', last_received_at = now()")
    await model.connection.execute("delete from webhook_log_keys")
    assert differences(await rebuilt(model)) == {"webhook_logs": (0, 0, 1), "webhook_log_keys": (1, 0, 0)}
    assert await model.everything() == before


async def test_a_notification_whose_last_record_has_left_kafka_keeps_what_that_said(model: ReadModel):
    """Partitions lose their records at different times: the first one may outlive its repeat in another."""
    first = records.webhook(1, received=days_ago(420), note="first")
    last = records.webhook(1, received=days_ago(410), note="last", order_id=None)
    first_key, last_key = "res-1", key_of_another_partition("res-1")
    await model.publish(model.topics.webhooks, first, key=first_key)
    await model.publish(model.topics.webhooks, last, key=last_key)
    await model.publish(model.topics.webhooks, records.webhook(2, received=days_ago(1)), key=last_key)
    await model.run_once()
    before = await model.everything()
    (row,) = [each for each in before["webhook_logs"] if each["external_id"] == "res-1"]
    assert (row["repeats"], row["note"], str(row["order_id"])) == (1, "last", records.order(1))
    await forget(model, model.topics.webhooks.name)

    assert differences(await rebuilt(model)) == {}
    assert await model.everything() == before


async def test_a_notification_keeps_its_count_where_only_a_repeat_between_first_and_last_has_left_kafka(
    model: ReadModel,
):
    outer, inner = "res-1", key_of_another_partition("res-1")
    for days, key in ((420, outer), (415, inner), (410, outer)):
        await model.publish(model.topics.webhooks, records.webhook(1, received=days_ago(days)), key=key)
    await model.run_once()
    before = await model.everything()
    (row,) = before["webhook_logs"]
    assert row["repeats"] == 2
    cut = {each: 0 if each[1] == row["kafka_partition"] else end for each, end in (await model.ends()).items()}
    await forget(model, model.topics.webhooks.name, cut)

    assert differences(await rebuilt(model)) == {}
    assert await model.everything() == before


async def test_a_repeat_that_no_sink_has_read_yet_is_counted_on_what_stayed(model: ReadModel):
    await notify(model, range(3), days=410)
    await model.publish(model.topics.state, records.snapshot(1))
    await model.run_once()
    known = {row["external_id"]: row["first_received_at"] for row in await model.rows("webhook_logs")}
    await forget(model, model.topics.webhooks.name, await model.ends())
    await model.connection.execute("delete from orders")  # where something differs a rebuild reads to the ends
    await model.publish(model.topics.webhooks, records.webhook(1, received=days_ago(1), note="again"))

    assert differences(await rebuilt(model)) == {"orders": (1, 0, 0)}

    assert await model.stored() == await model.ends()
    await model.run_once()
    rows = {row["external_id"]: row for row in await model.rows("webhook_logs")}
    assert {name: row["repeats"] for name, row in rows.items()} == {"res-0": 0, "res-1": 1, "res-2": 0}
    assert rows["res-1"]["note"] == "again"
    assert rows["res-1"]["first_received_at"] == known["res-1"]
    assert differences(await rebuilt(model)) == {}


async def test_what_is_lost_in_kafka_before_its_time_is_not_taken_from_the_tables(model: ReadModel):
    await notify(model, range(6), days=200)
    await model.run_once()
    before = await model.everything()
    await forget(model, model.topics.webhooks.name)

    with pytest.raises(Impossible, match=r"webhook_logs differs .* were deleted from .*webhooks\.log\.v1 before"):
        await rebuilt(model, drop_surplus=True)
    assert await model.everything() == before
    assert await leftovers(model) == []


async def test_rows_that_kafka_knows_nothing_of_are_left_unless_that_is_asked_for(model: ReadModel):
    await publish_all(model, range(2))
    await model.run_once()
    await model.connection.execute("update orders set id = gen_random_uuid() where email = 'buyer1@example.test'")
    before = await model.everything()

    with pytest.raises(Impossible, match=r"orders differs \(1 rows missing, 1 surplus, 0 changed\).*--drop-surplus"):
        await rebuilt(model)
    assert await model.everything() == before
    assert differences(await rebuilt(model, drop_surplus=True)) == {"orders": (1, 1, 0)}
    assert differences(await rebuilt(model)) == {}


async def test_a_topic_that_was_made_anew_is_refused(model: ReadModel):
    await publish_all(model, range(2))
    await model.run_once()
    await model.connection.execute(
        "update kafka_topics set topic_id = 'another' where topic = $1", model.topics.state.name
    )
    before = await model.everything()

    with pytest.raises(LogLost, match="was deleted and made anew"):
        await rebuilt(model, drop_surplus=True)
    assert await model.everything() == before


async def forget(model: ReadModel, topic: str, before: Mapping[tuple[str, int], int] | None = None) -> None:
    """Delete the first records of each partition, as a topic's retention does: those before offsets, or all but one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=model.settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        before = before or {each: max(end - 1, 0) for each, end in (await model.ends()).items()}
        await admin.delete_records(
            {
                TopicPartition(topic, number): RecordsToDelete(before_offset=before[topic, number])
                for number in range(PARTITIONS)
            }
        )
    finally:
        await admin.close()


def days_ago(days: float) -> float:
    """A time as `records` has it: Kafka keeps notifications for 400 days, the table for whole months of them."""
    return (datetime.now(UTC) - records.START).total_seconds() // 1 - days * 86_400


def key_of_another_partition(key: str) -> str:
    """Find it as the producer does."""
    numbers = list(range(PARTITIONS))
    partition = DefaultPartitioner()
    taken = partition(key.encode(), numbers, numbers)
    return next(other for other in map(str, range(1000)) if partition(other.encode(), numbers, numbers) != taken)


async def notify(model: ReadModel, orders: range, *, days: float) -> None:
    for number in orders:
        await model.publish(model.topics.webhooks, records.webhook(number, received=days_ago(days)))


async def test_another_broker_is_refused(model: ReadModel):
    await publish_all(model, range(2))
    await model.run_once()
    await model.connection.execute("update sink_offsets set next_offset = next_offset + 100")

    with pytest.raises(Impossible, match="is it another broker"):
        await rebuilt(model)


async def test_two_rebuilds_at_once_are_one(model: ReadModel):
    await publish_all(model, range(2))
    await model.run_once()
    results = await asyncio.gather(rebuilt(model), rebuilt(model), return_exceptions=True)

    assert sorted(type(each).__name__ for each in results) == ["Impossible", "Rebuilt"]


async def test_a_killed_rebuild_changes_nothing_and_the_next_one_begins_anew(model: ReadModel):
    await publish_all(model, range(10))
    await model.run_once()
    await model.connection.execute("delete from orders")
    before = await model.everything()
    reading = asyncio.Event()
    settings = RebuildSettings.model_validate(model.settings.model_dump())
    task = asyncio.create_task(rebuild(settings, lambda read, wanted: reading.set(), topics=model.topics))
    await reading.wait()
    (pid,) = [
        row["pid"] for row in await model.connection.fetch("select pid from pg_locks where locktype = 'advisory'")
    ]
    await model.connection.execute("select pg_terminate_backend($1)", pid)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await task

    assert await model.everything() == before
    assert differences(await rebuilt(model)) == {"orders": (10, 0, 0)}
    assert await leftovers(model) == []


async def test_a_payment_of_two_orders_goes_to_the_same_one_in_any_order(model: ReadModel):
    shared = records.snapshot(1).payments
    later = tuple(each.model_copy(update={"updated_at": each.updated_at + timedelta(seconds=1)}) for each in shared)
    await model.publish(model.topics.state, records.snapshot(1, payments=later))
    await model.run_once()
    await model.publish(model.topics.state, records.snapshot(2, payments=shared))
    await model.run_once()

    (payment,) = await model.rows("payments")
    assert str(payment["order_id"]) == records.order(1)
    assert differences(await rebuilt(model)) == {}


async def test_other_columns_than_ours_are_refused(model: ReadModel):
    await model.connection.execute("alter table orders add column extra text")
    with pytest.raises(Impossible, match="orders have other columns"):
        await rebuilt(model)


async def test_a_notification_is_the_same_row_in_whatever_order_its_partitions_are_read(model: ReadModel):
    early = records.webhook(1, received=1, order_id=None, note="early")
    late = records.webhook(1, received=2, note="late")
    await model.publish(model.topics.webhooks, late)
    await model.run_once()
    await model.publish(model.topics.webhooks, early, key="res-1")
    await model.run_once()

    (row,) = await model.rows("webhook_logs")
    assert (row["note"], row["repeats"], str(row["order_id"])) == ("late", 1, records.order(1))
    assert (row["first_received_at"], row["last_received_at"]) == (records.at(1), records.at(2))
    assert differences(await rebuilt(model)) == {}


async def test_a_notification_whose_first_arrival_is_read_last_moves_into_the_month_of_that(model: ReadModel):
    day = 86_400
    now = (datetime.now(UTC) - records.START).total_seconds()
    early = records.webhook(1, received=now - 40 * day, order_id=None, note="early")
    late = records.webhook(1, received=now, note="late")
    await model.publish(model.topics.webhooks, late)
    await model.run_once()
    (first,) = await model.rows("webhook_logs")
    await model.publish(model.topics.webhooks, early, key="res-1")
    await model.run_once()

    (row,) = await model.rows("webhook_logs")
    (known,) = await model.rows("webhook_log_keys")
    assert (row["note"], row["repeats"], str(row["order_id"])) == ("late", 1, records.order(1))
    assert (row["first_received_at"], row["last_received_at"]) == (records.at(now - 40 * day), records.at(now))
    assert (known["log_id"], known["first_received_at"]) == (row["id"], row["first_received_at"])
    assert row["id"] != first["id"]
    month = f"webhook_logs_{records.at(now - 40 * day):%Y_%m}"
    assert await model.connection.fetchval("select tableoid::regclass::text from webhook_logs") == month
    assert differences(await rebuilt(model)) == {}


async def test_a_rebuild_fills_months_of_its_own(model: ReadModel):
    now = (datetime.now(UTC) - records.START).total_seconds()
    for number in range(6):
        log = records.webhook(number, received=now - number * 20 * 86_400)
        await model.publish(model.topics.webhooks, log)
    await model.run_once()
    query = "select distinct tableoid::regclass::text as month from webhook_logs"
    months = {row["month"] for row in await model.connection.fetch(query)}
    assert len(months) >= 3
    assert "webhook_logs_default" not in months
    await model.connection.execute("delete from webhook_logs where id % 2 = 0")

    assert differences(await rebuilt(model)).keys() == {"webhook_logs"}
    assert {row["month"] for row in await model.connection.fetch(query)} == months
    assert differences(await rebuilt(model)) == {}
