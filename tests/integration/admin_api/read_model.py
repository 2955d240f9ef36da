"""Kafka and Postgres of a test's own, and a sink between them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from pydantic import SecretStr

from admin_api.settings import SinkSettings
from admin_api.sink.app import run
from admin_api.sink.source import Topics
from bitloot import topics
from bitloot.contracts.base import Record
from bitloot.contracts.state import OrderSnapshot
from bitloot.contracts.topics import Topic
from bitloot.health import Health
from bitloot.kafka import Producer
from bitloot.ledger import open_pool
from tests.fakes.buyers import keep_key

PARTITIONS = 2
_SECONDS = 90

READ_TABLES = (
    "orders",
    "order_items",
    "keys",
    "payments",
    "reservations",
    "webhook_logs",
    "webhook_log_keys",
    "order_events",
    "code_hashes",
    "dead_letters",
    "time_to_key_days",
)


@dataclass
class ReadModel:
    """What a test of the sink needs."""

    settings: SinkSettings
    topics: Topics
    group: str
    connection: asyncpg.Connection
    producer: Producer
    keys: asyncpg.Pool
    sinks: list[asyncio.Task[None]] = field(default_factory=list)

    async def publish(self, topic: Topic, *records: Record, key: str | None = None) -> None:
        for record in records:
            if isinstance(record, OrderSnapshot):
                await keep_key(self.keys, record.order_id)
            own = getattr(record, "order_id", None) or getattr(record, "external_id", None) or record.event_id
            await self.producer.send(topic, key or own, record)

    async def publish_raw(self, topic: Topic, key: bytes | None, value: bytes | None) -> None:
        await self.producer.send_raw(topic.name, key, value, [("traceparent", b"00-1-2-01")])

    @asynccontextmanager
    async def sink(
        self, *, settings: SinkSettings | None = None, group: str | None = None, health: Health | None = None
    ) -> AsyncIterator[None]:
        """Run a sink; it is stopped in order at the end."""
        stop = asyncio.Event()
        work = run(
            settings or self.settings, stop, topics=self.topics, group=group or self.group, checks=health or Health()
        )
        task = asyncio.create_task(work)
        self.sinks.append(task)
        try:
            yield
            stop.set()
            await task
        finally:
            self.sinks.remove(task)
            task.cancel()
            await asyncio.wait({task})

    async def catch_up(self) -> None:
        """Wait until all that is in the topics now has been written."""
        ends = await self.ends()
        async with asyncio.timeout(_SECONDS):
            while not await self._has_read(ends):
                for task in self.sinks:
                    assert not task.done(), task.exception()
                await asyncio.sleep(0.02)

    async def _has_read(self, ends: dict[tuple[str, int], int]) -> bool:
        stored = await self.stored()
        return all(stored.get(each, -1) >= end for each, end in ends.items())

    async def run_once(self) -> None:
        """Run a sink until it has written all that is in the topics now, and its own dead letters about that."""
        async with self.sink():
            await self.catch_up()
            await self.catch_up()

    async def ends(self) -> dict[tuple[str, int], int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        await consumer.start()
        try:
            partitions = [TopicPartition(name, number) for name in self.topics.names for number in range(PARTITIONS)]
            consumer.assign(partitions)
            return {(each.topic, each.partition): end for each, end in (await consumer.end_offsets(partitions)).items()}
        finally:
            await consumer.stop()

    async def stored(self) -> dict[tuple[str, int], int]:
        rows = await self.connection.fetch("select topic, partition, next_offset from sink_offsets")
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def rebuild(self) -> None:
        """Empty what the sink has written, so that it writes it again."""
        await self.connection.execute(f"truncate {', '.join(READ_TABLES)}, sink_offsets")

    async def rows(self, table: str) -> list[dict[str, object]]:
        """Return a table's rows in a fixed order."""
        return [dict(row) for row in await self.connection.fetch(f"select * from {table} as t order by t::text")]  # noqa: S608

    async def everything(self) -> dict[str, list[dict[str, object]]]:
        return {table: await self.rows(table) for table in READ_TABLES}


def own_topics(prefix: str) -> Topics:
    return Topics(
        **{
            field.name: replace(field.default, name=prefix + field.default.name)  # each has its topic as default
            for field in fields(Topics)
        }
    )


@asynccontextmanager
async def read_model(bootstrap: str, database: str, prefix: str) -> AsyncIterator[ReadModel]:
    settings = SinkSettings(
        kafka_bootstrap_servers=bootstrap, database_url=SecretStr(database), http_port=0, service_instance="sink-1"
    )
    own = own_topics(prefix)
    created = (own.events, own.state, own.webhooks, own.dead_letters)
    assert await topics.ensure(settings, created, partitions=PARTITIONS, replication=1) == []
    connection = await asyncpg.connect(database)
    try:
        async with (
            open_pool(database, max_size=1) as keys,
            Producer(settings, client_id="test", linger_ms=5, timeout_seconds=60) as producer,
        ):
            yield ReadModel(settings, own, prefix + "sink", connection, producer, keys)
    finally:
        await connection.close()
