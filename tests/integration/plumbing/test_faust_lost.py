"""What a Faust worker does when Kafka is away, came back empty, or lost what the worker's disk knows of."""

import asyncio
import shutil
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from bitloot import topics
from bitloot.cluster import look_at
from bitloot.contracts.topics import ORDERS_CHANGELOG
from bitloot.faust_app.witness import DiskWitness
from bitloot.settings import KafkaSettings
from embedded.kafka import Kafka
from tests.integration.plumbing import tally
from tests.integration.plumbing.broker import Broker
from tests.integration.plumbing.faust_workers import KEYS, Worker, Workers, start, until, workers

RUNBOOK = "broker-lost.md"


@pytest.fixture
async def tallied(broker: Broker, tmp_path: Path):
    async with workers(broker, tmp_path) as bench:
        yield bench


def refused(worker: Worker, whys: tuple[str, ...]) -> bool:
    """Whether both probes are red, and say one of the reasons and where to look."""
    return all(
        any(why in reason and RUNBOOK in reason for reason in worker.failures(probe).values() for why in whys)
        for probe in ("readyz", "healthz")
    )


async def until_refused(worker: Worker, *whys: str) -> None:
    await until(lambda: refused(worker, whys), worker.process)


def databases(worker: Worker) -> set[Path]:
    return set(worker.directory.glob("**/*.db"))


async def test_a_worker_waits_for_a_broker_and_believes_none_that_came_back_empty(tmp_path: Path):
    kafka = Kafka(tmp_path / "kafka")
    broker = Broker(KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap), "")
    worker = start(broker, tmp_path, "one")
    try:
        await until(lambda: "does not answer" in worker.failures().get("kafka", ""), worker.process)
        assert worker.failures("healthz") == {}
        await kafka.start()
        async with workers(broker, tmp_path) as tallied:
            await until(worker.ready, worker.process)
            await tallied.send(*range(30))
            await until(lambda: worker.rows() == tallied.sent, worker.process)
            await tallied.until_committed()

        kept = databases(worker)
        await kafka.kill()
        shutil.rmtree(kafka.topics_dir)
        kafka._prepared = False  # it formats its disk again
        await kafka.start()
        async with workers(broker, tmp_path) as tallied:
            await until_refused(worker, "this is Kafka cluster")
            assert await worker.process.stop() != 0
            worker = start(broker, tmp_path, "one")  # nor does a new process begin anew
            await until_refused(worker, "this is Kafka cluster")
            await tallied.send(*range(30))
            assert await worker.process.stop() != 0
            assert databases(worker) == kept
            assert await tallied.forwarded() == set()
            assert await tallied.committed() == [0, 0]
    finally:
        await worker.process.kill()
        await kafka.stop()


async def test_topics_that_are_missing_are_told_and_made_by_no_worker(broker: Broker, tmp_path: Path):
    """Faust would make them with a number of partitions, copies and a retention that nobody chose."""
    worker = start(broker, tmp_path, "one")
    try:
        await until(lambda: "does not have the topics" in worker.failures().get("kafka", ""), worker.process)
        assert await names_on(broker) == set()
        async with workers(broker, tmp_path) as tallied:
            await until(worker.ready, worker.process)
            await tallied.send(*range(10))
            await until(lambda: worker.rows() == tallied.sent, worker.process)
            made = {topic.name for topic in (tallied.events, tallied.out, tallied.changelog)}
            assert await names_on(broker) == made  # neither a leader's topic nor any other
    finally:
        await worker.process.kill()


async def names_on(broker: Broker) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        return {name for name in await admin.list_topics() if name.startswith(broker.prefix)}
    finally:
        await admin.close()


@pytest.mark.parametrize("which", ["events", "changelog"])
async def test_a_topic_made_anew_is_not_taken_for_the_old_one(tallied: Workers, which: str):
    worker = tallied.worker()
    await tallied.send(*range(30))
    await until(lambda: worker.rows() == tallied.sent, worker.process)
    await tallied.until_committed()
    topic = getattr(tallied, which)
    await remade(tallied.broker, topic)
    # With a topic its offsets go: whichever of the two is seen first is told.
    await until_refused(worker, f"{topic.name} was deleted and made anew", "but its offset is gone")
    assert await worker.process.stop() != 0
    again = tallied.worker()
    await until_refused(again, f"{topic.name} was deleted and made anew", "but its offset is gone")


async def remade(broker: Broker, topic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic.name])
        while topic.name in await admin.list_topics():
            await asyncio.sleep(0.05)
    finally:
        await admin.close()
    await topics.ensure(broker.settings, [topic], partitions=tally.PARTITIONS, replication=1)


async def test_a_group_that_lost_its_offsets_does_not_begin_at_zero(tallied: Workers):
    """The disk knows that the group has begun, the broker does not."""
    await tallied.send(*range(10))
    directory = tallied.directory / "one"
    cluster = await look_at(tallied.broker.settings, [tallied.events.name, tallied.changelog.name])
    await DiskWitness(directory).confirm(cluster)
    await DiskWitness(directory).begin(group(tallied), cluster, [TopicPartition(tallied.events.name, 0)])
    worker = tallied.worker("one")
    await until_refused(worker, "its offset is gone")
    assert await tallied.forwarded() == set()


async def test_a_committed_offset_beyond_the_end_is_refused(tallied: Workers):
    await tallied.send(*range(10))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=tallied.broker.bootstrap, group_id=group(tallied), enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign([TopicPartition(tallied.events.name, 1)])
    await consumer.commit({TopicPartition(tallied.events.name, 1): 1_000_000})
    await consumer.stop()
    worker = tallied.worker()
    await until_refused(worker, "the group has read up to 1000000")


def group(tallied: Workers) -> str:
    return tallied.broker.prefix + tally.APP


async def test_a_changelog_that_was_cut_is_refused_by_who_has_not_read_it(tallied: Workers):
    one = tallied.worker("one")
    await tallied.send(*range(60))
    await until(lambda: one.rows() == tallied.sent, one.process)
    await tallied.until_committed()
    assert await one.process.stop() == 0
    await cut(tallied)

    one = tallied.worker("one")  # its disk has all of it
    await until(lambda: one.rows() == tallied.sent, one.process)
    assert await one.process.stop() == 0
    empty = tallied.worker("empty")
    await until_refused(empty, "but the table on this disk has not read 0 yet")


async def cut(tallied: Workers) -> None:
    """Let somebody think that the changelog may lose old records, as other topics do."""
    bootstrap, name = tallied.broker.bootstrap, tallied.changelog.name
    await alter(bootstrap, ConfigResourceType.TOPIC, name, {"cleanup.policy": "delete"})
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        partitions = [TopicPartition(name, number) for number in range(tally.PARTITIONS)]
        await admin.delete_records({partition: RecordsToDelete(before_offset=-1) for partition in partitions})
    finally:
        await admin.close()


async def test_recovery_from_a_changelog_of_which_compaction_left_nothing_ends(tmp_path: Path):
    """All rows deleted, and then the deletions compacted away, too: there is hardly a record up to its end."""
    kafka = Kafka(tmp_path / "kafka")
    await kafka.start()
    try:
        await clean_often(kafka)
        broker = Broker(KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap), "")
        async with workers(broker, tmp_path) as tallied:
            await compact_often(kafka, tallied)
            one = tallied.worker("one")
            await tallied.send(*range(60))
            await until(lambda: one.rows() == tallied.sent, one.process)
            for number in range(60, 66):
                one.tell("drop", number)
            await tallied.send(*range(60, 66))
            await until(lambda: one.rows() == {}, one.process)
            await tallied.until_committed()
            assert await one.process.stop() == 0
            await compacted(kafka, tallied)

            empty = tallied.worker("empty")
            await until(empty.ready, empty.process)
            assert empty.rows() == {}
            await tallied.send(70)
            await until(lambda: empty.rows() == {f"key-{70 % KEYS}": ["event-70"]}, empty.process)
    finally:
        await kafka.stop()


async def alter(bootstrap: str, kind: ConfigResourceType, name: str, configs: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(kind, name, configs=configs)])
    finally:
        await admin.close()


async def clean_often(kafka: Kafka) -> None:
    await alter(kafka.bootstrap, ConfigResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "100"})


async def compact_often(kafka: Kafka, tallied: Workers) -> None:
    often = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.0", "delete.retention.ms": "0"}
    await alter(kafka.bootstrap, ConfigResourceType.TOPIC, tallied.changelog.name, ORDERS_CHANGELOG.config | often)


async def compacted(kafka: Kafka, tallied: Workers) -> None:
    """Return when nothing but a few deletions of a key that never was are left."""
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        while {record.key for record in await tallied.broker.read(tallied.changelog)} - {b"filler"}:
            for partition in range(tally.PARTITIONS):  # a segment is compacted once there is a newer one
                await producer.send_and_wait(tallied.changelog.name, None, key=b"filler", partition=partition)
            await asyncio.sleep(0.1)
