"""A broker of the test's own, because topics have fixed names, and the fulfillment process as an orchestrator runs it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from bitloot import topics
from bitloot.contracts.base import Record
from bitloot.contracts.codec import decode
from bitloot.contracts.effects import BuyKey
from bitloot.contracts.events import PaymentStatus
from bitloot.contracts.topics import KINGUIN_CALLS, ORDER_EVENTS, PAYMENT_CALLS, Topic
from bitloot.kafka import Producer
from bitloot.settings import KafkaSettings
from embedded.kafka import Kafka
from embedded.ports import free_port
from tests.unit.fulfillment.order_world import ORDER, World, payment, placed

SECONDS = 60
PARTITIONS = 4


@dataclass
class Worker:
    """One `python -m fulfillment`."""

    bootstrap: str
    datadir: Path
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None
    settings: dict[str, str] = field(default_factory=dict)
    """What is set beside the addresses, from the next start on."""

    async def start(self) -> None:
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "FAUST_DATADIR": str(self.datadir),
            "FAUST_STANDBYS": "0",
            "HTTP_PORT": str(self.port),
        }
        with (self.datadir.parent / "fulfillment.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "fulfillment", env=os.environ | settings | self.settings, stdout=log, stderr=log
            )

    async def ready(self) -> None:
        async with asyncio.timeout(SECONDS), httpx.AsyncClient(trust_env=False) as client:
            while True:
                assert self.process is not None
                assert self.process.returncode is None, "the worker ended"
                try:
                    answer = await client.get(f"http://127.0.0.1:{self.port}/readyz")
                except httpx.TransportError:
                    pass
                else:
                    if answer.status_code == 200:
                        return
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        return await self.process.wait()


@dataclass
class Broker:
    bootstrap: str
    producer: Producer

    async def send(self, topic: Topic, key: str, *records: Record) -> None:
        for record in records:
            await self.producer.send(topic, key, record)

    async def pay(self, at: datetime) -> tuple[ConsumerRecord, BuyKey]:
        """Place an order, tell of its payment and, when it is read, say the same; return what is to be bought then."""
        world, told = World(now=at), payment(PaymentStatus.FINISHED, at=at)
        await self.send(ORDER_EVENTS, ORDER, placed(at=at), told)
        ((_, check), *_) = await self.wait_for(PAYMENT_CALLS, 1)
        world.tell(told)
        await self.send(ORDER_EVENTS, ORDER, world.outcome(check))
        ((record, buy), *_) = await self.wait_for(KINGUIN_CALLS, 1)
        return record, buy

    async def wait_for(self, topic: Topic, count: int) -> list[tuple[ConsumerRecord, Record]]:
        """Return the first `count` records of a topic, as soon as they are there."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        found: list[ConsumerRecord] = []
        try:
            await consumer._client._wait_on_metadata(topic.name)
            partitions = [TopicPartition(topic.name, p) for p in consumer.partitions_for_topic(topic.name)]
            consumer.assign(partitions)
            async with asyncio.timeout(SECONDS):
                while len(found) < count:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found += records
        finally:
            await consumer.stop()
        return [(r, decode(topic, r.value)) for r in sorted(found, key=lambda r: (r.timestamp, r.offset))]

    async def wait_for_values(self, topic: Topic, count: int) -> dict[bytes, bytes]:
        """Return what a compacted topic comes to, as soon as that are `count` keys."""
        async with asyncio.timeout(SECONDS):
            while True:
                values: dict[bytes, bytes | None] = {}
                for record in await self._read(topic):
                    values[record.key] = record.value
                standing = {key: value for key, value in values.items() if value is not None}
                if values and len(standing) == count:
                    return standing
                await asyncio.sleep(0.1)

    async def _read(self, topic: Topic) -> list[ConsumerRecord]:
        """Return all that a topic holds now."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            await consumer._client._wait_on_metadata(topic.name)
            partitions = [TopicPartition(topic.name, p) for p in consumer.partitions_for_topic(topic.name)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[ConsumerRecord] = []
            while any([await consumer.position(p) < end for p, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
            return sorted(found, key=lambda r: (r.partition, r.offset))
        finally:
            await consumer.stop()


@pytest.fixture
async def broker(tmp_path) -> AsyncIterator[Broker]:
    kafka = Kafka(tmp_path / "kafka", log_dir=tmp_path)
    await kafka.start()
    try:
        settings = KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap)
        assert await topics.ensure(settings, partitions=PARTITIONS, replication=1) == []
        async with Producer(settings, client_id="test") as producer:
            yield Broker(kafka.bootstrap, producer)
    finally:
        await kafka.stop()


@pytest.fixture
async def worker(broker, tmp_path) -> AsyncIterator[Worker]:
    worker = Worker(broker.bootstrap, tmp_path / "tables")
    await worker.start()
    yield worker
    await worker.stop()
