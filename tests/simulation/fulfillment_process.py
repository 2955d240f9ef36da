"""The fulfillment process: the real agents and timers over virtual tables and streams."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bitloot.contracts.topics import (
    KINGUIN_NOTICES,
    ORDER_EVENTS,
    ORDERS_CHANGELOG,
    RETIRED_CHANGELOG,
    ROUTES_CHANGELOG,
)
from bitloot.errors import Cause, Malformed
from fulfillment.agents import OrdersAgent, OrderTables, ReservationRouter
from fulfillment.dialects import rules
from fulfillment.due import Due, DueIndex
from fulfillment.order.policy import Asking, Policy
from fulfillment.routing import HELD_FOR
from fulfillment.set_aside import DeadLetters
from fulfillment.steady import SteadyClock
from fulfillment.timers import Timers, of_notices, of_orders
from tests.simulation.broker import TOPICS, Written, partition_of
from tests.simulation.mutations import Bug
from tests.simulation.processes import Process
from tests.simulation.schedule import HOUR, Dialect, Group

if TYPE_CHECKING:
    from tests.simulation.world import World


class VirtualTable:
    """A table and its changelog."""

    def __init__(self, process: "FulfillmentProcess", changelog: str) -> None:
        self._process = process
        self._changelog = changelog
        self.parts: dict[int, dict[bytes, bytes]] = {}

    def get(self, key: bytes) -> bytes | None:
        if self._changelog == RETIRED_CHANGELOG.name and self._process.world.has(Bug.MARK_LOST):
            return None
        value = self.parts.get(partition_of(key), {}).get(key)
        return self._process.world.read_value(self._changelog, value)

    def __delitem__(self, key: bytes) -> None:
        self.parts.get(partition_of(key), {}).pop(key, None)
        self._process.put(self._changelog, key, None)
        self._process.passing("stored")

    def __setitem__(self, key: bytes, value: bytes) -> None:
        value = self._process.world.written_value(self._changelog, value)
        self.parts.setdefault(partition_of(key), {})[key] = value
        self._process.put(self._changelog, key, value)
        self._process.passing("stored")

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        for part in self.parts.values():
            yield from tuple(part.items())

    def restore(self, partition: int) -> None:
        part = self.parts[partition] = {}
        for record in self._process.world.broker.records(self._changelog, partition):
            if record.value is not None:
                part[record.key] = record.value
            elif not self._process.world.has(Bug.TOMBSTONE_NOT_RESTORED):
                part.pop(record.key, None)


class VirtualStream:
    """What an agent iterates over: going on to the next event acknowledges the last."""

    def __init__(self, process: "FulfillmentProcess", topic: str) -> None:
        self._process = process
        self._topic = topic
        self.positions: dict[int, int] = {}
        self.acked: dict[int, int] = {}

    def begin(self, partition: int) -> None:
        start = self._process.world.broker.start("fulfillment", self._topic, partition)
        self.positions[partition] = self.acked[partition] = start

    async def events(self) -> AsyncIterator[Any]:
        process = self._process
        while True:
            record = self._next()
            if record is None:
                process.wakeups[self._topic].clear()
                await process.wakeups[self._topic].wait()
                continue
            await process.passes("taken")
            if self.positions.get(record.partition) != record.offset:
                continue  # taken away while we stood still
            self.positions[record.partition] = record.offset + 1
            if process.world.has(Bug.AGENT_ACKS_EARLY):
                self.acked[record.partition] = record.offset + 1
                process.handled()
                await asyncio.sleep(process.world.latency())
            yield SimpleNamespace(message=SimpleNamespace(**{n: getattr(record, n) for n in _FIELDS}, headers={}))
            if record.partition in self.acked:
                self.acked[record.partition] = record.offset + 1
            process.world.broker.handled.add((self._topic, record.partition, record.offset))
            process.passing("handled")
            process.handled()

    def _next(self) -> Written | None:
        if self._process.world.away("broker"):
            return None
        for partition, position in self.positions.items():
            records = self._process.world.broker.records(self._topic, partition)
            if position < len(records):
                return records[position]
        return None


# A question that is asked for the hundredth time finds nothing that it did not find the tenth time.
_ASKING = Asking(slowest=timedelta(days=2), moving=timedelta(hours=12))
POLICIES: dict[Dialect, Policy] = {
    dialect: Policy(
        retention=timedelta(days=30), look_ups=rules(dialect).look_ups, limits=rules(dialect).limits, asking=_ASKING
    )
    for dialect in ("reservations", "esa")
}
_FORGETS = {False: Bug.DEAD_LETTER_DROPPED, True: Bug.EXPIRY_FORGETS_NOTICES}
_SLEWING = 5 * HOUR
"""A steady clock needs so long at most until it agrees with one that was set by an hour."""
_FIELDS = ("topic", "partition", "offset", "key", "value", "timestamp")


class FulfillmentProcess(Process):
    """The real agents and timers over virtual tables and streams."""

    group: Group = "fulfillment"

    def __init__(self, world: "World", incarnation: str) -> None:
        super().__init__(world, incarnation)
        self.ready = True
        self.rebalancing_count = 0
        self.orders = VirtualTable(self, ORDERS_CHANGELOG.name)
        self.routes = VirtualTable(self, ROUTES_CHANGELOG.name)
        self.retired = VirtualTable(self, RETIRED_CHANGELOG.name)
        self.due: DueIndex[str] = Unruly() if world.has(Bug.TIMER_STORM) else DueIndex()
        self._due_notices: DueIndex[str] = DueIndex()
        steady = SteadyClock(self.clock, world.loop.time)
        self.steady = self.clock if world.has(Bug.WALL_CLOCK_TIMERS) else steady
        self._dead_letters = DeadLetters(self, consumer=self.group)  # type: ignore[arg-type]
        self._streams = {topic.name: VirtualStream(self, topic.name) for topic in TOPICS["fulfillment"]}
        self.wakeups = {name: asyncio.Event() for name in self._streams}
        sources = of_orders(self.orders, self.due), of_notices(self.routes, self._due_notices, HELD_FOR)
        self._timers = Timers(self, self, sources, self.steady)
        self._slewing_until = 0.0
        self._alarm_for: datetime | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._committing = False
        put_aside: Any = SimpleNamespace(send=self.put_aside)
        tables = OrderTables(self.orders, self.retired)
        orders = OrdersAgent(tables, self, put_aside, self.due, clock=self.steady, policy=world.policy)
        router = ReservationRouter(self.routes, self, put_aside, self._due_notices, clock=self.steady)
        self.spawn(orders.run(self._streams[ORDER_EVENTS.name]))
        self.spawn(router.run(self._streams[KINGUIN_NOTICES.name]))
        self.spawn(self._spread_news())

    async def _spread_news(self) -> None:
        while True:
            await self.news.wait()
            self.news.clear()
            for wakeup in self.wakeups.values():
                wakeup.set()

    async def put_aside(self, message: Any, error: Exception) -> None:
        """Take what an agent cannot handle. Nothing here may fail for any other reason than its form."""
        if not isinstance(error, Malformed):
            self.world.defects.append(error)
        elif not self.world.has(_FORGETS[error.cause is Cause.UNKNOWN_RESERVATION]):
            await self._dead_letters.send(message, error)

    # --- the group ---

    def assign(self, partition: int) -> None:
        self.rebalancing_count += 1
        self.spawn(self._restore(partition))

    async def _restore(self, partition: int) -> None:
        await asyncio.sleep(self.world.rng.uniform(0.1, 1.0))
        await self.broker_there()
        if self.world.broker.owners.get((self.group, partition)) is not self:
            return
        self.orders.restore(partition)
        self.retired.restore(partition)
        self.routes.restore(partition)
        for stream in self._streams.values():
            stream.begin(partition)
        if not self.world.has(Bug.TIMERS_FORGOTTEN):
            await self._timers._fill()
        self.news.set()
        self._set_alarm()

    def forget(self, partitions: list[int]) -> None:
        for partition in self.not_ours(partitions):
            for stream in self._streams.values():
                stream.positions.pop(partition, None)
                stream.acked.pop(partition, None)
            self.orders.parts.pop(partition, None)
            self.retired.parts.pop(partition, None)
            self.routes.parts.pop(partition, None)
        self.rebalancing_count += 1
        if self.alive:
            self.spawn(self._timers._fill())

    async def give_up(self, partition: int) -> None:
        for stream in self._streams.values():
            stream.positions.pop(partition, None)
        await self._commit_all()

    def on_woken(self) -> None:
        """Who stood still for too long must not write any more, not even what it was about to send."""
        if self.world.has(Bug.ZOMBIE_WRITES):
            super().on_woken()
        elif self.alive:
            self.buffer.clear()
            self.die()

    def on_broker_away(self) -> None:
        """Whoever has not heard of the group for a session must not write any more: the process ends."""
        self.die()

    def on_clock_set(self) -> None:
        self._alarm_for = None
        # Each time that it is set adds to what is to be caught up with.
        self._slewing_until = max(self._slewing_until, self.world.loop.time()) + _SLEWING
        self._set_alarm()

    # --- commits and timers ---

    def handled(self) -> None:
        self._set_alarm()
        if not self._committing:
            self._committing = True
            self.spawn(self._commit())

    async def _commit(self) -> None:
        if not self.world.has(Bug.COMMIT_BEFORE_OUTPUTS) and not self.world.has(Bug.AGENT_ACKS_EARLY):
            await asyncio.sleep(self.world.rng.choice((0.05, 1.0, 3.0)))
        self._committing = False
        await self.passes("committing")
        await self._commit_all()
        await self.passes("committed")

    async def _commit_all(self) -> None:
        heads = {(s._topic, p): head for s in self._streams.values() for p, head in s.acked.items()}
        if not self.world.has(Bug.COMMIT_BEFORE_OUTPUTS) and not self.world.has(Bug.AGENT_ACKS_EARLY):
            await self.flushed.wait()
        await self.gate()
        await self.broker_there()
        for (topic, partition), head in heads.items():
            self.world.broker.commit(self, topic, partition, head)

    def _set_alarm(self) -> None:
        oldest = min((at for due in (self.due, self._due_notices) if (at := due.oldest()) is not None), default=None)
        if oldest == self._alarm_for:
            return
        self._alarm_for = oldest
        if self._alarm is not None:
            self._alarm.cancel()
        if oldest is not None:
            wait = (oldest - self.steady()).total_seconds() + 0.001
            if self.world.loop.time() < self._slewing_until:  # its seconds are not ours
                wait = min(wait, 60.0)
            self._alarm = self.world.loop.call_later(max(wait, 0.1), self._fire)

    def _fire(self) -> None:
        if not self.alive:
            return
        if self.frozen_until <= self.world.loop.time():
            try:
                self.passing("firing")
                self._timers._tick(self.steady())
            except asyncio.CancelledError:
                return
        self._alarm_for = None
        self._set_alarm()

    @property
    def waiting(self) -> int:
        """How many orders and reservations wait for a time."""
        return len(self.due) + len(self._due_notices)


class Unruly(DueIndex[str]):
    """The planted bug of timers that fire again and again."""

    def due(self, now: datetime, limit: int) -> list[Due[str]]:
        found = super().due(now, limit)
        for due in found:
            self.set(due.key, None)
            self.set(due.key, due.wake_at, now)
        return found
