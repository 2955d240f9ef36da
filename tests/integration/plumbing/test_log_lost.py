"""Kafka lost what was worked on: nothing begins anew by itself, and nobody can overlook it."""

import asyncio
import shutil
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from bitloot import topics
from bitloot.cluster import LogLost, complaints, look_at
from bitloot.consumer import Consumed, OrderedConsumer
from bitloot.contracts.topics import DELIVERIES, ORDER_EVENTS, Topic
from bitloot.errors import Transient
from bitloot.health import Health
from bitloot.kafka import Producer, ProducerFailed
from bitloot.ledger import open_pool
from bitloot.settings import KafkaSettings
from bitloot.witness import PostgresWitness
from embedded.kafka import Kafka
from tests.fakes.eventually import eventually_async
from tests.integration.plumbing.broker import Broker, revealed
from tests.integration.plumbing.worker import LIMITS

WATCHFUL = replace(LIMITS, metadata=0.3, refused=0.2)
GROUP = "group"


@pytest.fixture
async def witness(database: str):
    async with open_pool(database, max_size=2) as pool:
        yield PostgresWitness(pool)


class Process:
    """What one start of a worker has: its health, and what it handled."""

    def __init__(self) -> None:
        self.health = Health()
        self.handled: list[str] = []

    async def handle(self, consumed: Consumed) -> None:
        self.handled.append(consumed.record.event_id)

    async def until_red(self, *words: str) -> None:
        """Wait until both probes say all the words."""
        async with asyncio.timeout(30):
            for vital_only in (True, False):
                while not _has_all(str(await self.health.failures(vital_only=vital_only)), words):
                    await asyncio.sleep(0.02)

    async def until_green(self) -> None:
        async with asyncio.timeout(30):
            while await self.health.failures():
                await asyncio.sleep(0.02)


def _has_all(text: str, words: tuple[str, ...]) -> bool:
    return all(word in text for word in words)


@asynccontextmanager
async def process(settings: KafkaSettings, topic: Topic, producer: Producer, witness: PostgresWitness | None):
    running = Process()
    consumer = OrderedConsumer(
        settings,
        group=topic.name + GROUP,
        topics=[topic],
        handle=running.handle,
        dead_letters=producer,
        name="test",
        health=running.health,
        limits=WATCHFUL,
        witness=witness,
    )
    task = asyncio.create_task(consumer.run())
    try:
        yield running
    finally:
        task.cancel()
        await asyncio.wait({task})


async def make_anew(broker: Broker, topic: Topic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic.name])
        while topic.name in await admin.list_topics():
            await asyncio.sleep(0.02)
    finally:
        await admin.close()
    assert await topics.ensure(broker.settings, [topic], partitions=1, replication=1) == []


async def test_a_topic_that_was_made_anew_is_refused_until_a_person_decides(broker: Broker, witness: PostgresWitness):
    topic = await broker.topic()
    async with (
        Producer(broker.settings, client_id="old") as producer,
        process(broker.settings, topic, producer, witness) as worker,
    ):
        await producer.send(topic, revealed(1).order_id, revealed(1))
        await eventually_async(lambda: worker.handled == ["event-1"])
        await make_anew(broker, topic)
        await worker.until_red("made anew", topic.name, "broker-lost")
        async with Producer(broker.settings, client_id="new") as anew:
            for number in range(2, 6):
                await anew.send(topic, revealed(number).order_id, revealed(number))

            async with process(broker.settings, topic, anew, witness) as other:  # a restart cures nothing
                await other.until_red("made anew")
            assert (worker.handled, other.handled) == (["event-1"], [])

        assert await witness.begin_anew(await look_at(broker.settings, [topic.name])) == [topic.name]
        await eventually_async(lambda: len(worker.handled) == 5)
        assert sorted(worker.handled) == [f"event-{number}" for number in range(1, 6)]
        await worker.until_green()


async def test_without_a_witness_the_running_process_notices(broker: Broker):
    topic = await broker.topic()
    async with (
        Producer(broker.settings, client_id="test") as producer,
        process(broker.settings, topic, producer, None) as worker,
    ):
        await worker.until_green()
        await make_anew(broker, topic)
        await worker.until_red("made anew")


async def test_an_offset_that_is_gone_is_no_reason_to_begin_at_zero(broker: Broker, witness: PostgresWitness):
    topic = await broker.topic()
    cluster = await look_at(broker.settings, [topic.name])
    await witness.begin(topic.name + GROUP, cluster, [TopicPartition(topic.name, 0)])
    async with Producer(broker.settings, client_id="test") as producer:
        await producer.send(topic, revealed(1).order_id, revealed(1))
        async with process(broker.settings, topic, producer, witness) as worker:
            await worker.until_red("its offset is gone", f"{topic.name}/0")
    assert worker.handled == []
    assert await broker.committed(topic.name + GROUP, topic) is None


async def commit(broker: Broker, topic: Topic, offset: int, metadata: str) -> None:
    partition = TopicPartition(topic.name, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, group_id=topic.name + GROUP, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.commit({partition: (offset, metadata)})
    finally:
        await consumer.stop()


async def test_an_offset_beyond_the_end_is_refused(broker: Broker, witness: PostgresWitness):
    topic = await broker.topic()
    await commit(broker, topic, 100, "")
    async with Producer(broker.settings, client_id="test") as producer:
        await producer.send(topic, revealed(1).order_id, revealed(1))
        async with process(broker.settings, topic, producer, witness) as worker:
            await worker.until_red("ends at 1, but the group has read up to 100")
    assert worker.handled == []
    assert await broker.committed(topic.name + GROUP, topic) == 100


async def test_the_offset_of_another_log_of_the_same_name_is_none(broker: Broker, witness: PostgresWitness):
    """A late commit to a log that was made anew, and accepted, must not skip what is in it."""
    topic = await broker.topic()
    await commit(broker, topic, 1, "AAAAAAAAAAAAAAAAAAAAAA")
    async with Producer(broker.settings, client_id="test") as producer:
        await producer.send(topic, revealed(1).order_id, revealed(1))
        async with process(broker.settings, topic, producer, witness) as worker:
            await eventually_async(lambda: worker.handled == ["event-1"])


async def insist(producer: Producer) -> None:
    """Send a record, however long that takes."""
    while True:
        with suppress(Transient):
            return await producer.send(ORDER_EVENTS, revealed(2).order_id, revealed(2))


async def test_a_broker_that_comes_back_empty(tmp_path: Path, witness: PostgresWitness):
    kafka = Kafka(tmp_path)
    settings = KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap)

    async def create() -> None:
        assert await topics.ensure(settings, [ORDER_EVENTS, DELIVERIES], partitions=1, replication=1) == []

    await kafka.start()
    try:
        await create()
        before = await look_at(settings, [ORDER_EVENTS.name])
        async with (
            Producer(settings, client_id="test", timeout_seconds=10) as producer,
            process(settings, ORDER_EVENTS, producer, witness) as worker,
        ):
            await producer.send(ORDER_EVENTS, revealed(1).order_id, revealed(1))
            producer._timeout = 1.0  # what is sent later never arrives
            await eventually_async(lambda: worker.handled == ["event-1"])
            await worker.until_green()

            await kafka.kill()
            shutil.rmtree(kafka.topics_dir)
            kafka._prepared = False  # it formats its disk again
            await kafka.start()
            await worker.until_red("this is Kafka cluster", before.cluster_id)
            async with process(settings, ORDER_EVENTS, producer, witness) as other:
                await other.until_red("this is Kafka cluster")
                names = [ORDER_EVENTS.name, DELIVERIES.name]
                assert await topics.losses(settings, names, witness) == [
                    *complaints(before, await look_at(settings, [ORDER_EVENTS.name])),
                    f"topic {ORDER_EVENTS.name} is gone, though it was worked with",
                ]
                await create()  # by whoever does not ask the witness

                # Not one batch with the old numbers may get through: the broker could take it for a repeat.
                with pytest.raises(ProducerFailed) as failed:
                    await insist(producer)
                assert isinstance(failed.value.__cause__, LogLost)
                assert await Broker(settings, "").read(ORDER_EVENTS) == []
                await other.until_red("this is Kafka cluster")
            assert worker.handled == ["event-1"]
            assert other.handled == []
    finally:
        await kafka.stop()
