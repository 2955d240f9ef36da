"""Which events a stream hands over, and which of them it takes for done."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.faust_app import bytes_topic, create_app
from bitloot.faust_app.transport import NotOurWay
from bitloot.settings import KafkaSettings
from tests.fakes.eventually import eventually_async

_PARTITION = TP(ORDER_EVENTS.name, 0)


class _Outputs:
    """A producer for whom a broker is fast enough, or not."""

    def __init__(self) -> None:
        self.caught_up = asyncio.Event()
        self.caught_up.set()
        self.asked = 0

    def is_high(self, _most: int, _seconds: float) -> bool:
        return not self.caught_up.is_set()

    async def ebb(self, _most: int, _seconds: float) -> None:
        self.asked += 1
        await self.caught_up.wait()


class _Reading:
    """A stream with events in its queue, and the consumer that is told of what is done."""

    def __init__(self, tmp_path) -> None:
        self.outputs: Any = _Outputs()
        settings = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1")
        self.app = create_app(settings, app_id="app", datadir=tmp_path, partitions=1, outputs=self.outputs)
        topic = bytes_topic(self.app, ORDER_EVENTS)
        self.app.topics.add(topic)
        self.app.topics._acking_topics.add(topic.get_topic_name())
        self.stream = topic.stream()
        self.consumer = self.app.consumer
        self.app.flow_control.resume()

    def put(self, offset: int, *, generation: int | None = None) -> None:
        message = ConsumerMessage(*_PARTITION, offset, 0.0, 0, {}, b"key", b"value", None)
        message.generation_id = self.app.consumer_generation_id if generation is None else generation
        message.incref()
        self.stream.channel.queue.put_nowait(self.app.create_event(b"key", b"value", {}, message))

    @property
    def done(self) -> set[int]:
        return set(self.consumer._acked_index[_PARTITION])


@pytest.fixture
async def reading(tmp_path):
    return _Reading(tmp_path)


async def test_an_event_is_done_when_the_agent_comes_for_the_next_one(reading):
    reading.put(0)
    reading.put(1)
    async with aclosing(reading.stream.events()) as events:
        first = await anext(events)
        assert (first.message.offset, reading.done, len(reading.consumer.in_work)) == (0, set(), 1)
        second = await anext(events)
        assert (second.message.offset, reading.done, len(reading.consumer.in_work)) == (1, {0}, 1)


async def test_an_event_in_which_the_agent_ended_is_not_done(reading):
    """Faust takes it for done: the generator's end acknowledges."""
    reading.put(0)
    async with aclosing(reading.stream.events()) as events:
        await anext(events)
    assert reading.done == set()
    assert len(reading.consumer.in_work) == 0


async def test_an_event_of_an_older_generation_is_skipped_and_not_done(reading):
    reading.put(0, generation=reading.app.consumer_generation_id + 1)
    reading.put(1)
    async with aclosing(reading.stream.events()) as events:
        assert (await anext(events)).message.offset == 1
    assert reading.done == set()


async def test_while_the_flow_is_suspended_nothing_is_handed_over_or_done(reading):
    reading.put(0)
    reading.put(1)
    async with aclosing(reading.stream.events()) as events:
        await anext(events)
        reading.app.flow_control.suspend()
        reading.stream._stopped.set()  # else it waits for what comes after the suspension
        with pytest.raises(StopAsyncIteration):
            await anext(events)
    assert reading.done == {0}


async def test_events_wait_for_a_broker_that_is_slower_than_the_agent(reading):
    reading.put(0)
    reading.put(1)
    async with aclosing(reading.stream.events()) as events:
        await anext(events)
        reading.outputs.caught_up.clear()
        following = asyncio.ensure_future(anext(events))
        await eventually_async(lambda: reading.outputs.asked == 1)
        assert reading.done == {0}
        assert len(reading.consumer.in_work) == 0, "partitions can be taken away meanwhile"
        assert not following.done()
        reading.outputs.caught_up.set()
        assert (await following).message.offset == 1


async def test_a_stream_ends_when_faust_tells_its_agent_to_end(reading):
    reading.put(0)
    async with aclosing(reading.stream.events()) as events:
        await anext(events)
        reading.stream.channel._throw(StopAsyncIteration())
        with pytest.raises(StopAsyncIteration):
            await anext(events)
    assert reading.done == {0}


async def test_a_stream_is_read_by_events_only(reading):
    with pytest.raises(TypeError, match="events"):
        aiter(reading.stream)


async def test_faust_sends_nothing_itself(reading):
    with pytest.raises(NotOurWay):
        reading.app.producer.send_soon(None)
    with pytest.raises(NotOurWay):
        await reading.app.producer.send("topic", b"key", b"value", None, None, None)
