"""What must never be on a topic is put aside with its reason, and the partition moves on: every plain consumer."""

import asyncio
import hashlib

import pytest

from bitloot.consumer import Consumed, OrderedConsumer
from bitloot.contracts.codec import MAX_RECORD_BYTES, decode
from bitloot.contracts.topics import DELIVERIES, KINGUIN_CALLS, Topic
from bitloot.dead_letters import MAX_VALUE_BYTES
from bitloot.errors import Cause
from bitloot.health import Health
from bitloot.kafka import Producer
from tests.fakes.eventually import eventually_async
from tests.integration.admin_api.read_model import PARTITIONS, ReadModel, read_model
from tests.integration.plumbing.broker import Broker
from tests.integration.plumbing.litter import HUGE, example, litter, raise_limit, throw
from tests.integration.plumbing.worker import LIMITS


@pytest.mark.parametrize("like", [KINGUIN_CALLS, DELIVERIES], ids=lambda topic: topic.name)
async def test_a_worker_puts_all_of_it_aside(broker: Broker, like: Topic):
    topic, dead = await broker.topic(like, partitions=2), await broker.dead_letters()
    await raise_limit(broker.bootstrap, topic)
    bad, good = litter(like.name), example(like.name)
    await throw(broker.bootstrap, topic, [*bad, good])
    handled: list[Consumed] = []
    health = Health()

    async def handle(consumed: Consumed) -> None:
        handled.append(consumed)

    async with Producer(broker.settings, client_id="test") as producer:
        consumer = OrderedConsumer(
            broker.settings,
            group=topic.name,
            topics=[topic],
            handle=handle,
            dead_letters=producer,
            dead_letters_topic=dead,
            name="test",
            health=health,
            limits=LIMITS,
        )
        running = asyncio.create_task(consumer.run())
        try:
            async with asyncio.timeout(60):
                while len(records := await broker.read(dead)) < len(bad):
                    await asyncio.sleep(0.1)
            await eventually_async(lambda: handled)
            assert await health.failures() == {}
        finally:
            running.cancel()
            await asyncio.wait({running})

    letters = [decode(dead, record.value) for record in records]
    assert len(letters) == len(bad)
    assert {letter.reason for letter in letters} == {Cause.BAD_RECORD}
    assert all(letter.error for letter in letters)
    assert max(len(record.value) for record in records) < MAX_RECORD_BYTES
    (huge,) = [letter for letter in letters if letter.value_cut]
    assert (huge.value_length, huge.value_sha256) == (len(HUGE), hashlib.sha256(HUGE).hexdigest())
    assert len(huge.value) == (MAX_VALUE_BYTES + 2) // 3 * 4  # in base64
    assert [consumed.key.encode() for consumed in handled] == [good[0]]


@pytest.fixture
async def model(kafka_bootstrap: str, database: str, topic_prefix: str):
    async with read_model(kafka_bootstrap, database, topic_prefix) as model:
        yield model


SINK_TOPICS = {"events": True, "state": True, "webhooks": False, "dead_letters": False}
"""The sink's topics, and whether the key says what the record is about."""


@pytest.mark.parametrize("which", SINK_TOPICS)
async def test_the_sink_puts_all_of_it_aside(model: ReadModel, which: str):
    topic: Topic = getattr(model.topics, which)
    name = topic.name.removeprefix(model.group.removesuffix("sink"))
    bootstrap = model.settings.kafka_bootstrap_servers
    await raise_limit(bootstrap, topic)
    bad = litter(name, key_matters=SINK_TOPICS[which])
    await throw(bootstrap, topic, [*bad, example(name)])
    health = Health()
    async with model.sink(health=health):
        await model.catch_up()  # with what was there,
        await model.catch_up()  # and with the dead letters that it wrote itself
        async with asyncio.timeout(30):
            while await health.failures():
                await asyncio.sleep(0.05)
    letters = [row for row in await model.rows("dead_letters") if row["topic"] == topic.name]
    assert len(letters) == len(bad)
    assert {row["reason"] for row in letters} == {Cause.BAD_RECORD}
    (huge,) = [row for row in letters if row["value_cut"]]
    assert (huge["value_length"], huge["value_sha256"]) == (len(HUGE), hashlib.sha256(HUGE).hexdigest())
    stored, ends = await model.stored(), await model.ends()
    assert all(stored[(topic.name, number)] == ends[(topic.name, number)] for number in range(PARTITIONS))
