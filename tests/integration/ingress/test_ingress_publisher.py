"""One suite for the publisher that the ingress has and for the one that its tests have."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from bitloot import ids
from bitloot.contracts.codec import MAX_RECORD_BYTES, decode
from bitloot.contracts.topics import Topic
from bitloot.errors import Cause, Malformed, Transient
from bitloot.kafka import Producer
from bitloot.settings import KafkaSettings
from ingress.ports import Publisher
from tests.fakes.producer import FakeProducer
from tests.integration.plumbing.broker import Broker, revealed

pytestmark = pytest.mark.stack

MINE = ids.order_id("publisher suite")


@dataclass
class Subject:
    """A publisher, one that has no broker, a topic, and what is on it."""

    publisher: Publisher
    away: Publisher
    topic: Topic
    stored: Callable[[], Awaitable[list[Any]]]


@pytest.fixture(params=["fake", "kafka"])
async def subject(request: pytest.FixtureRequest, kafka_bootstrap: str, topic_prefix: str) -> AsyncIterator[Subject]:
    broker = Broker(KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap), topic_prefix)
    topic = await broker.topic()
    if request.param == "fake":
        fake, away = FakeProducer(), FakeProducer()
        away.away = True

        async def held() -> list[Any]:
            return fake.on(topic)

        yield Subject(fake, away, topic, held)
        return

    async def read() -> list[Any]:
        return [decode(topic, record.value) for record in await broker.read(topic)]

    async with AsyncExitStack() as stack:
        nowhere = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:9")
        real = await stack.enter_async_context(Producer(broker.settings, client_id="test"))
        away = await stack.enter_async_context(Producer(nowhere, client_id="test", timeout_seconds=0.05))
        yield Subject(real, away, topic, read)


async def test_what_is_acknowledged_is_stored_in_the_order_of_the_posts(subject: Subject):
    events = [revealed(number, MINE) for number in range(20)]

    await asyncio.gather(*[subject.publisher.post(subject.topic, MINE, event) for event in events])

    assert await subject.stored() == events


async def test_a_record_that_is_too_large_is_refused_at_once(subject: Subject):
    event = revealed(1, MINE).model_copy(update={"event_id": "x" * MAX_RECORD_BYTES})

    with pytest.raises(Malformed) as refused:
        subject.publisher.post(subject.topic, MINE, event)

    assert refused.value.cause is Cause.TOO_LARGE
    assert await subject.stored() == []


async def test_without_a_broker_it_is_transient(subject: Subject):
    posted = subject.away.post(subject.topic, MINE, revealed(1, MINE))

    with pytest.raises(Transient) as failed:
        await posted
    assert failed.value.cause is Cause.BROKER_UNAVAILABLE
