"""The broker is away, comes, dies and comes back. One story for all clients: a start of a broker costs seconds."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bitloot import faust_app, topics
from bitloot.consumer import Consumed, OrderedConsumer
from bitloot.contracts.codec import decode
from bitloot.contracts.topics import DELIVERIES, ORDER_EVENTS, ORDERS_CHANGELOG
from bitloot.errors import Transient
from bitloot.health import Health
from bitloot.kafka import Producer
from bitloot.settings import KafkaSettings
from embedded.child import Child
from embedded.kafka import Kafka
from embedded.paths import CHECKOUT
from tests.integration.plumbing import tally
from tests.integration.plumbing.broker import Broker, revealed
from tests.integration.plumbing.worker import LIMITS


async def until_sent(producer: Producer, event) -> None:
    while True:
        try:
            return await producer.send(ORDER_EVENTS, event.order_id, event)
        except Transient:
            await asyncio.sleep(0.05)


async def until_waiting(health: Health) -> None:
    """Wait until it says that it waits for the broker; it is alive, for a restart would cure nothing."""
    while "Kafka does not answer" not in str(await health.failures()):
        await asyncio.sleep(0.02)
    assert await health.failures(vital_only=True) == {}


async def until_committed(broker: Broker) -> None:
    partitions = [record.partition for record in await broker.read(ORDER_EVENTS)]
    for partition in set(partitions):
        while await broker.committed("group", ORDER_EVENTS, partition) != partitions.count(partition):
            await asyncio.sleep(0.1)


def faust_process(broker: Broker, directory: Path) -> Child:
    return Child(
        "faust",
        [sys.executable, "-m", "tests.integration.plumbing.tally", "", str(directory)],
        log_file=directory / "log",
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap},
        cwd=CHECKOUT,
    )


async def test_everything_comes_back_by_itself(tmp_path: Path):
    kafka, health, handled = Kafka(tmp_path), Health(), []

    async def handle(consumed: Consumed) -> None:
        handled.append(consumed.record.event_id)

    broker = Broker(KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap), "")
    async with Producer(broker.settings, client_id="test", timeout_seconds=0.3) as producer:
        producer.register(health)
        with pytest.raises(Transient):
            await producer.send(ORDER_EVENTS, "key", revealed(0))
        consumer = OrderedConsumer(
            broker.settings,
            group="group",
            topics=[ORDER_EVENTS],
            handle=handle,
            dead_letters=producer,
            name="test",
            health=health,
            limits=LIMITS,
        )
        consuming = asyncio.create_task(consumer.run())  # before there is anything to connect to
        await until_waiting(health)
        await kafka.start()
        await topics.ensure(broker.settings, [ORDER_EVENTS, DELIVERIES], partitions=tally.PARTITIONS, replication=1)
        out = await broker.topic(partitions=tally.PARTITIONS, name=tally.OUT)
        await broker.topic(ORDERS_CHANGELOG, partitions=tally.PARTITIONS, name=tally.CHANGELOG)
        faust = faust_process(broker, tmp_path)
        try:
            await until_sent(producer, revealed(1))
            while "event-1" not in handled or not (tmp_path / "ready").exists():
                assert faust.exit_code is None, faust.output()
                await asyncio.sleep(0.02)

            await kafka.kill()
            with pytest.raises(Transient):
                await producer.send(ORDER_EVENTS, revealed(2).order_id, revealed(2))
            producer.post(ORDER_EVENTS, revealed(3).order_id, revealed(3))
            await kafka.start()
            await until_sent(producer, revealed(4))
            with pytest.raises(Transient):  # of the post that nobody awaited
                await producer.flush()

            # What timed out was written nevertheless, and only once: the promise of an idempotent producer.
            wanted = {f"event-{number}" for number in range(1, 5)}
            sent = [decode(ORDER_EVENTS, record.value).event_id for record in await broker.read(ORDER_EVENTS)]
            assert wanted == set(sent)
            assert sent.count("event-2") == 1
            while not wanted <= set(handled):
                await asyncio.sleep(0.02)
            while {decode(out, record.value).event_id for record in await broker.read(out)} != wanted:
                # Whoever cannot send for most of a session ends, on purpose, and is started again.
                if faust.exit_code is not None:
                    assert faust.exit_code == faust_app.EXIT_CRASHED, faust.output()
                    faust = faust_process(broker, tmp_path)
                await asyncio.sleep(0.1)
            while await health.failures():  # between two assignments it says so
                await asyncio.sleep(0.05)
            # The group may have forgotten the consumer and refuse a commit: then records come again.
            await until_committed(broker)
        finally:
            consuming.cancel()
            await asyncio.wait({consuming})
            await faust.kill()
            await kafka.stop()
