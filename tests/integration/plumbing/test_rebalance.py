"""Partitions change hands while calls run: nothing is lost, little is repeated, and the group is not held up."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from bitloot.consumer import Consumed, Limits, OrderedConsumer
from bitloot.contracts.topics import Topic
from bitloot.health import Health
from bitloot.kafka import Producer
from tests.fakes.eventually import eventually_async
from tests.integration.plumbing.broker import Broker, revealed
from tests.integration.plumbing.worker import LIMITS

PARTITIONS = 4


@dataclass
class Group:
    """A topic and the members that share it."""

    broker: Broker
    producer: Producer
    topic: Topic

    @asynccontextmanager
    async def member(self, handle, limits: Limits):
        consumer = OrderedConsumer(
            self.broker.settings,
            group=self.topic.name,
            topics=[self.topic],
            handle=handle,
            dead_letters=self.producer,
            name="test",
            health=Health(),
            limits=limits,
        )
        running = asyncio.create_task(consumer.run())
        try:
            yield consumer
        finally:
            running.cancel()
            await asyncio.wait({running})

    async def send(self, *numbers: int) -> None:
        await asyncio.gather(
            *(self.producer.post(self.topic, revealed(n).order_id, revealed(n)) for n in numbers),
        )

    async def committed(self) -> int:
        """Return how many records the group has done with."""
        offsets = [await self.broker.committed(self.topic.name, self.topic, p) for p in range(PARTITIONS)]
        return sum(offset or 0 for offset in offsets)


@pytest.fixture
async def group(broker: Broker):
    async with Producer(broker.settings, client_id="test") as producer:
        yield Group(broker, producer, await broker.topic(partitions=PARTITIONS))


async def test_a_slow_call_holds_the_group_up_for_no_longer_than_allowed(group: Group):
    """As calls of 30 s would with real limits: the group goes on, and the call is begun again by the next owner."""
    may_end, handled = asyncio.Event(), Counter()
    begun: list[str] = []

    async def slow(consumed: Consumed) -> None:
        begun.append(consumed.record.event_id)
        await may_end.wait()
        handled[consumed.record.event_id] += 1

    limits = replace(LIMITS, drain_on_revoke=0.2, drain_on_stop=0.2, window=16)
    await group.send(*range(24))
    async with group.member(slow, limits) as first:
        await eventually_async(lambda: len(begun) == 24)
        async with group.member(slow, limits) as second:
            # Both are given partitions while not one of the calls has ended.
            await eventually_async(lambda: first._windows and second._windows)
            await eventually_async(lambda: len(begun) > 24)
            assert not handled
            assert await group.committed() == 0
            may_end.set()
            async with asyncio.timeout(30):
                while await group.committed() != 24:
                    await asyncio.sleep(0.05)
    assert set(handled) == {f"event-{number}" for number in range(24)}


async def test_what_is_done_is_committed_before_partitions_change_hands(group: Group):
    """Without that commit each rebalance would repeat all that was done since the last one."""
    handled = Counter()

    async def handle(consumed: Consumed) -> None:
        handled[consumed.record.event_id] += 1

    hardly_ever = replace(LIMITS, commit_interval=3600)
    await group.send(*range(40))
    async with group.member(handle, hardly_ever) as first:
        await eventually_async(lambda: len(handled) == 40)
        assert await group.committed() == 0
        async with group.member(handle, hardly_ever) as second:
            await eventually_async(lambda: first._windows and second._windows)
            await group.send(*range(40, 60))
            await eventually_async(lambda: len(handled) == 60)
    assert set(handled.values()) == {1}
    assert await group.committed() == 60
