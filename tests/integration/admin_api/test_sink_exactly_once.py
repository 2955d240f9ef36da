"""Each record counts once, whatever becomes of the sinks; and all is filled again from Kafka."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from pydantic import SecretStr

from admin_api.migrations import migrate
from admin_api.sink.batch import Batch, Decoder
from admin_api.sink.store import Move, Overtaken, Store
from bitloot.contracts import codec
from bitloot.health import Health
from bitloot.ledger import open_pool
from tests.integration.admin_api.read_model import ReadModel
from tests.unit.admin_api import records

ORDERS = 40
REPEATS = 25


async def publish_much(model: ReadModel) -> None:
    """Send each event and each notification REPEATS + 1 times, and versions of orders in any order."""
    choice = random.Random(1)  # noqa: S311 - repeatable disorder
    sends = []
    for _ in range(REPEATS + 1):
        for number in range(ORDERS):
            sends.append(model.publish(model.topics.events, records.revealed(number)))
            sends.append(model.publish(model.topics.webhooks, records.webhook(number)))
            sends.append(model.publish(model.topics.state, records.snapshot(number, choice.randint(1, 9))))
    sends.extend(model.publish(model.topics.state, records.snapshot(number, 10)) for number in range(ORDERS))
    await asyncio.gather(*sends)


def assert_each_counted_once(everything: dict[str, list[dict[str, object]]]) -> None:
    assert [row["repeats"] for row in everything["order_events"]] == [REPEATS] * ORDERS
    assert [row["repeats"] for row in everything["webhook_logs"]] == [REPEATS] * ORDERS
    assert [row["version"] for row in everything["orders"]] == [10] * ORDERS
    assert len(everything["keys"]) == 2 * ORDERS


@pytest.fixture
def killable(model: ReadModel, topic_prefix: str) -> Iterator[list[psutil.Popen]]:
    """A list for processes, which are killed in the end."""
    processes: list[psutil.Popen] = []
    yield processes
    for process in processes:
        if process.is_running():
            process.kill()
        process.wait()


def start_sink(model: ReadModel, prefix: str, group: str, processes: list[psutil.Popen]) -> psutil.Popen:
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": model.settings.kafka_bootstrap_servers,
        "DATABASE_URL": model.settings.database_url.get_secret_value(),
        "HTTP_PORT": "0",
        "LOG_LEVEL": "WARNING",
    }
    script = Path(__file__).with_name("sink_process.py")
    process = psutil.Popen(
        [sys.executable, "-m", f"tests.integration.admin_api.{script.stem}", prefix, group],
        env=environment,
        cwd=Path(__file__).parents[3],
    )
    processes.append(process)
    return process


async def moved(model: ReadModel, before: dict[tuple[str, int], int]) -> None:
    """Wait until a sink has written something."""
    async with asyncio.timeout(60):
        while await model.stored() == before:
            await asyncio.sleep(0.005)


async def healthy(health: Health) -> None:
    async with asyncio.timeout(60):
        while await health.failures():
            await asyncio.sleep(0.01)


async def unwell(health: Health, reason: str) -> None:
    """Wait until the sink says that it does not follow, and why."""
    async with asyncio.timeout(60):
        while reason not in (await health.failures()).get("sink", ""):
            await asyncio.sleep(0.01)
    assert await health.failures(vital_only=True) == {}


async def test_a_killed_sink_neither_loses_nor_repeats(
    model: ReadModel, topic_prefix: str, killable: list[psutil.Popen]
):
    before = await model.stored()
    for life in range(2):
        # A new group: in the old one the dead member would hold its partitions for the session's 10 s.
        process = start_sink(model, topic_prefix, f"{model.group}-{life}", killable)
        sending = asyncio.create_task(publish_much_slowly(model))
        await moved(model, before)
        process.send_signal(signal.SIGKILL)
        await sending
        before = await model.stored()
    await model.run_once()

    everything = await model.everything()
    assert [row["repeats"] for row in everything["order_events"]] == [2 * 30 - 1] * 10
    assert [row["repeats"] for row in everything["webhook_logs"]] == [2 * 30 - 1] * 10


async def publish_much_slowly(model: ReadModel) -> None:
    """Send in small waves, so that a sink needs many transactions."""
    for _ in range(30):
        for number in range(10):
            await model.publish(model.topics.events, records.revealed(number))
            await model.publish(model.topics.webhooks, records.webhook(number))


async def test_two_sinks_on_the_same_partitions_apply_nothing_twice(model: ReadModel):
    # Two groups: each believes that all partitions are its own, as a zombie does.
    async with model.sink(group=f"{model.group}-1"), model.sink(group=f"{model.group}-2"):
        await publish_much(model)
        await model.catch_up()

    assert_each_counted_once(await model.everything())


async def test_an_overtaken_sink_writes_nothing(model: ReadModel):
    key, value = records.order(1).encode(), codec.encode(records.revealed(1))
    raw = records.taken(model.topics.events.name, key, value, offset=7)
    batch = Batch()
    Decoder(model.topics).add(batch, raw)
    partition = (model.topics.events.name, 0)
    async with open_pool(model.settings.database_url.get_secret_value()) as pool:
        store = Store(pool)
        assert await store.offsets({partition: 5}) == {partition: 5}
        assert await store.offsets({partition: 0}) == {partition: 5}
        await store.write(Batch(), {partition: Move(5, 8)})

        with pytest.raises(Overtaken):
            await store.write(batch, {partition: Move(5, 8)})
        with pytest.raises(Overtaken):
            await store.write_apart([raw], {partition: Move(5, 8)}, Decoder(model.topics).usable, refuse=pytest.fail)

    assert await model.rows("order_events") == []
    assert (await model.stored())[partition] == 8


async def test_partitions_are_shared_and_taken_over(model: ReadModel):
    async with model.sink():
        async with model.sink():
            await publish_much(model)
            await model.catch_up()
        await model.publish(model.topics.state, records.snapshot(ORDERS, 10))
        await model.catch_up()

    everything = await model.everything()
    assert len(everything.pop("orders")) == ORDERS + 1
    assert [row["repeats"] for row in everything["order_events"]] == [REPEATS] * ORDERS


async def test_a_rebuild_under_a_running_sink_gives_the_same_rows(model: ReadModel):
    await publish_much(model)
    await model.publish_raw(model.topics.events, b"k", b"nonsense")
    async with model.sink():
        await model.catch_up()
        await model.catch_up()
        before = await model.everything()

        await model.rebuild()
        await model.catch_up()
        await model.catch_up()

    assert await model.everything() == before
    assert_each_counted_once(before)
    assert len(before["dead_letters"]) == 1


async def test_without_the_database_it_waits_and_goes_on(model: ReadModel, postgres):
    name = model.settings.database_url.get_secret_value().rsplit("/", 1)[1]
    health = Health()
    other = await asyncpg.connect(postgres.dsn)
    try:
        async with model.sink(health=health):
            await model.publish(model.topics.events, records.revealed(1))
            await model.catch_up()
            await healthy(health)
            await other.execute(f'alter database "{name}" with allow_connections false')
            await other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> $2",
                name,
                model.connection.get_server_pid(),
            )
            await model.publish(model.topics.events, records.revealed(2))
            await unwell(health, "PostgreSQL")
            await other.execute(f'alter database "{name}" with allow_connections true')
            await model.catch_up()
            await healthy(health)
    finally:
        await other.close()

    assert len(await model.rows("order_events")) == 2


async def test_without_the_schema_it_waits_for_the_migrations(model: ReadModel, postgres):
    other = await asyncpg.connect(postgres.dsn)
    name = model.group.replace(".", "_")
    dsn = postgres.dsn_of(name)
    await other.execute(f'create database "{name}"')
    try:
        health = Health()
        settings = model.settings.model_copy(update={"database_url": SecretStr(dsn)})
        await model.publish(model.topics.events, records.revealed(1))
        async with model.sink(settings=settings, health=health):
            await unwell(health, "not migrated")
            await migrate(dsn)
            await healthy(health)
    finally:
        await other.execute(f'drop database "{name}" with (force)')
        await other.close()


async def test_a_topic_that_ends_before_what_was_read_is_loud_and_left_alone(model: ReadModel):
    await model.publish(model.topics.events, records.revealed(1))
    await model.run_once()
    await model.connection.execute("update sink_offsets set next_offset = next_offset + 100")
    stored = await model.stored()
    health = Health()
    async with model.sink(health=health):
        async with asyncio.timeout(60):
            while "was read up to" not in (await health.failures(vital_only=True)).get("sink loop", ""):
                await asyncio.sleep(0.01)

    assert await model.stored() == stored


async def test_without_kafka_it_lives_and_is_not_ready(model: ReadModel):
    health = Health()
    settings = model.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    async with model.sink(settings=settings, health=health):
        await unwell(health, "Kafka")
