"""The virtual broker, and processes that run our real code on it and can die or stand still at any named point."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bitloot.consumer.dispatch import Entry, Lanes, Window
from bitloot.consumer.records import Attempts, Handle
from bitloot.contracts.base import Record
from bitloot.contracts.codec import encode
from bitloot.contracts.events import EffectFailed
from bitloot.contracts.topics import (
    DEAD_LETTERS,
    DELIVERIES,
    KINGUIN_CALLS,
    KINGUIN_NOTICES,
    ORDER_EVENTS,
    ORDERS_CHANGELOG,
    RETIRED_CHANGELOG,
    ROUTES_CHANGELOG,
    Topic,
)
from bitloot.dead_letters import Allowance
from bitloot.errors import Cause, Malformed, Transient
from fulfillment.agents import OrdersAgent, OrderTables, ReservationRouter
from fulfillment.due import DueIndex
from fulfillment.routing import HELD_FOR
from fulfillment.timers import Timers, of_notices, of_orders
from tests.simulation.mutations import Bug
from tests.simulation.schedule import PARTITIONS, Group
from tests.simulation.virtual_time import START

if TYPE_CHECKING:
    from tests.simulation.world import World

SESSION_SECONDS = 10.0
TOPICS: dict[Group, tuple[Topic, ...]] = {
    "fulfillment": (ORDER_EVENTS, KINGUIN_NOTICES),
    "kinguin": (KINGUIN_CALLS,),
    "delivery": (DELIVERIES,),
}
Slot = tuple[str, int]
"""A topic's name and a partition."""


@dataclass(frozen=True, slots=True)
class Written:
    """A record in the log, as aiokafka would hand it out."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def partition_of(key: bytes) -> int:
    """Return where the records of a key go."""
    return sum(key) % PARTITIONS


@dataclass
class Broker:
    """The log, what each group has committed, and who owns what as far as the broker knows."""

    log: dict[Slot, list[Written]] = field(default_factory=dict)
    committed: dict[tuple[str, str, int], int] = field(default_factory=dict)
    owners: dict[tuple[str, int], "Process"] = field(default_factory=dict)
    handled: set[tuple[str, int, int]] = field(default_factory=set)
    """Topic, partition and offset of what somebody has handled to its end."""

    def records(self, topic: str, partition: int) -> list[Written]:
        return self.log.setdefault((topic, partition), [])

    def append(self, topic: str, key: bytes, value: bytes) -> None:
        partition = partition_of(key)
        records = self.records(topic, partition)
        records.append(Written(topic, partition, len(records), key, value))
        for (group, owned), process in self.owners.items():
            if owned == partition and any(t.name == topic for t in TOPICS[group]):  # type: ignore[index]
                process.news.set()

    def commit(self, process: "Process", topic: str, partition: int, head: int) -> None:
        """Move a group's offset; what a member says that is no longer the owner is refused."""
        if self.owners.get((process.group, partition)) is process:
            self.committed[process.group, topic, partition] = head

    def unhandled(self) -> list[tuple[str, int, int]]:
        """Return what was read over."""
        read = [topic.name for topics in TOPICS.values() for topic in topics]
        places = [(name, p, n) for (name, p), records in self.log.items() if name in read for n in range(len(records))]
        return [place for place in places if place not in self.handled]

    def start(self, group: str, topic: str, partition: int) -> int:
        return self.committed.get((group, topic, partition), 0)


class Process:
    """One start of one process. When it dies all of it stops, and of what it was sending some may have left."""

    group: Group

    def __init__(self, world: "World", incarnation: str) -> None:
        self.world = world
        self.incarnation = incarnation
        self.alive = True
        self.frozen_until = 0.0
        self.news = asyncio.Event()
        self.buffer: list[tuple[str, bytes, bytes]] = []
        self.flushed = asyncio.Event()
        self.flushed.set()
        self._tasks: dict[asyncio.Task[Any], None] = {}

    # --- life and death ---

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.adopt(self.world.loop.create_task(work))

    def adopt(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.world.defects.append(error)

    def die(self, restart_after: float = 1.0) -> None:
        """Stop at once. Of each partition's buffered records the first few may have left already."""
        if not self.alive:
            return
        self.alive = False
        left: dict[Slot, bool] = {}
        for topic, key, value in self.buffer:
            slot = (topic, partition_of(key))
            left[slot] = left.get(slot, True) and self.world.rng.random() < 0.6
            if left[slot]:
                self.world.broker.append(topic, key, value)
        self.buffer.clear()
        for task in tuple(self._tasks):
            task.cancel()
        self.world.on_death(self, restart_after)

    def live(self) -> None:
        """Raise where the process is dead: nothing of it goes on."""
        if not self.alive:
            raise asyncio.CancelledError

    def passing(self, point: str) -> None:
        """Pass a point at which nothing can be awaited: the process may die here."""
        self.live()
        crash = self.world.crash_at(f"{self.group}.{point}")
        if crash is not None:
            self.die(crash.seconds)
            raise asyncio.CancelledError

    async def passes(self, point: str) -> None:
        """Pass a point: the process may die or stand still here."""
        self.passing(point)
        stall = self.world.stall_at(f"{self.group}.{point}")
        if stall is not None:
            self.freeze(stall.seconds)
        await self.gate()

    async def gate(self) -> None:
        """Wait while the process stands still."""
        while self.alive and (wait := self.frozen_until - self.world.loop.time()) > 0:
            await asyncio.sleep(wait)
        self.live()

    def freeze(self, seconds: float) -> None:
        self.frozen_until = self.world.loop.time() + seconds
        if seconds > SESSION_SECONDS:
            self.world.later(SESSION_SECONDS, self.world.take_away, self)
            self.world.later(seconds, self.on_woken)

    def on_woken(self) -> None:
        """Find out, some time after standing still, that the group went on without us."""
        self.world.later(self.world.rng.uniform(0, 3), self.forget, list(range(PARTITIONS)))

    def not_ours(self, partitions: list[int]) -> list[int]:
        owners = self.world.broker.owners
        return [p for p in partitions if owners.get((self.group, p)) is not self]

    # --- sending (what `Producer` offers) ---

    def post(self, topic: Topic, key: str, record: Record) -> None:
        self.passing("posting")
        self.put(topic.name, key.encode(), encode(record))

    def put(self, topic: str, key: bytes, value: bytes) -> None:
        self.buffer.append((topic, key, value))
        if self.flushed.is_set():
            self.flushed.clear()
            self.world.later(self.world.rng.choice((0.002, 0.02, 0.5)), self._flush)

    async def send(self, topic: Topic, key: str, record: Record) -> None:
        await self.passes("publishing")
        how = self.world.fault("kafka.send")
        if how is not None and how.how != "lost_after":
            await asyncio.sleep(how.seconds)
            raise Transient(Cause.BROKER_UNAVAILABLE, "no broker")
        self.put(topic.name, key.encode(), encode(self.world.in_virtual_time(record)))
        await self.flushed.wait()
        if how is not None:
            raise Transient(Cause.BROKER_UNAVAILABLE, "not confirmed")
        await self.passes("published")

    def _flush(self) -> None:
        if not self.alive:
            return
        wait = self.frozen_until - self.world.loop.time()
        if wait > 0:
            self.world.later(wait + 0.001, self._flush)
            return
        sent, self.buffer = self.buffer, []
        self.flushed.set()
        for topic, key, value in sent:
            self.world.broker.append(topic, key, value)

    # --- the group ---

    def assign(self, partition: int) -> None:
        raise NotImplementedError

    def forget(self, partitions: list[int]) -> None:
        raise NotImplementedError

    async def give_up(self, partition: int) -> None:
        raise NotImplementedError


class WorkerProcess(Process):
    """A kinguin or delivery worker: the real lanes, windows and attempts around the real handler."""

    def __init__(self, world: "World", group: Group, incarnation: str) -> None:
        super().__init__(world, incarnation)
        self.group = group
        self._topic = TOPICS[group][0]
        self._lanes = Lanes()
        self._windows: dict[int, Window] = {}
        self._positions: dict[int, int] = {}
        self._highest: dict[int, int] = {}
        self._committing = False
        handle: Handle = world.handler(self)
        self._attempts = Attempts(
            handle,
            {self._topic.name: self._topic},
            group,
            self,
            DEAD_LETTERS,
            Allowance(1000),  # type: ignore[arg-type]
        )
        self.spawn(self._pump())

    def assign(self, partition: int) -> None:
        if partition in self._windows:  # lost and won again before we noticed
            self._windows[partition]._closed.set()
        self._windows[partition] = Window()
        self._positions[partition] = self.world.broker.start(self.group, self._topic.name, partition)
        self._highest.pop(partition, None)
        self.news.set()

    def forget(self, partitions: list[int]) -> None:
        for partition in self.not_ours(partitions):
            window = self._windows.pop(partition, None)
            if window is not None:
                window._closed.set()

    async def give_up(self, partition: int) -> None:
        window = self._windows.pop(partition, None)
        if window is not None:
            await window.drain(10.0)
            await self._commit_one(partition, window)

    async def _pump(self) -> None:
        while True:
            self.news.clear()
            await self.gate()
            for partition, window in tuple(self._windows.items()):
                records = self.world.broker.records(self._topic.name, partition)
                for record in records[self._positions[partition] :]:
                    self._take(partition, window, record)
                self._positions[partition] = len(records)
            await self.news.wait()

    def _take(self, partition: int, window: Window, record: Written) -> None:
        entry = window.take(record.offset, 0.0)
        task = self._lanes.submit((record.topic, record.key), lambda: self._work(partition, window, entry, record))
        window.tasks.add(task)
        task.add_done_callback(window.tasks.discard)
        self.adopt(task)

    async def _work(self, partition: int, window: Window, entry: Entry, record: Written) -> None:
        """As `OrderedConsumer` does."""
        if self.world.has(Bug.WORKER_ACKS_EARLY):
            self._finish(partition, window, entry)
        pause = 0.1
        while not window.closed:
            await self.passes("taken")
            if await self._attempts.attempt(record):  # type: ignore[arg-type]
                self.world.broker.handled.add((record.topic, partition, record.offset))
                if not entry.done:
                    self._finish(partition, window, entry)
                return
            await window.pause(pause)
            pause = min(2 * pause, 5.0)

    def _finish(self, partition: int, window: Window, entry: Entry) -> None:
        window.finish(entry)
        self._highest[partition] = max(self._highest.get(partition, 0), entry.offset + 1)
        if not self._committing:
            self._committing = True
            self.spawn(self._commit())

    async def _commit(self) -> None:
        await asyncio.sleep(self.world.rng.choice((0.05, 1.0)))
        self._committing = False
        await self.passes("committing")
        for partition, window in self._windows.items():
            await self._commit_one(partition, window)
        await self.passes("committed")

    async def _commit_one(self, partition: int, window: Window) -> None:
        self.live()
        head = self._highest.get(partition) if self.world.has(Bug.HIGHEST_OFFSET) else window.uncommitted
        if head is not None:
            self.world.broker.commit(self, self._topic.name, partition, head)
            window.committed = head


class VirtualTable:
    """A table and its changelog."""

    def __init__(self, process: "FulfillmentProcess", changelog: str) -> None:
        self._process = process
        self._changelog = changelog
        self.parts: dict[int, dict[bytes, bytes]] = {}

    def get(self, key: bytes) -> bytes | None:
        value = self.parts.get(partition_of(key), {}).get(key)
        return self._process.world.read_value(self._changelog, value)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        value = self._process.world.written_value(self._changelog, value)
        self.parts.setdefault(partition_of(key), {})[key] = value
        self._process.put(self._changelog, key, value)
        self._process.passing("stored")

    def __delitem__(self, key: bytes) -> None:
        self.parts.setdefault(partition_of(key), {}).pop(key, None)
        self._process.put(self._changelog, key, None)
        self._process.passing("stored")

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        for part in self.parts.values():
            yield from tuple(part.items())

    def restore(self, partition: int) -> None:
        records = self._process.world.broker.records(self._changelog, partition)
        rows = {record.key: record.value for record in records}
        self.parts[partition] = {key: value for key, value in rows.items() if value is not None}


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
        for partition, position in self.positions.items():
            records = self._process.world.broker.records(self._topic, partition)
            if position < len(records):
                return records[position]
        return None


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
        self._due, self._due_notices = DueIndex[str](), DueIndex[str]()
        self._streams = {topic.name: VirtualStream(self, topic.name) for topic in TOPICS["fulfillment"]}
        self.wakeups = {name: asyncio.Event() for name in self._streams}
        sources = of_orders(self.orders, self._due), of_notices(self.routes, self._due_notices, HELD_FOR)
        clock = world.clock
        self._timers = Timers(self, self, sources, clock)
        self._alarm: asyncio.TimerHandle | None = None
        self._committing = False
        orders = OrdersAgent(OrderTables(self.orders, self.retired), self, self, self._due, clock=clock)
        router = ReservationRouter(self.routes, self, self, self._due_notices, clock=clock)
        self.spawn(orders.run(self._streams[ORDER_EVENTS.name]))
        self.spawn(router.run(self._streams[KINGUIN_NOTICES.name]))
        self.spawn(self._spread_news())

    async def _spread_news(self) -> None:
        while True:
            await self.news.wait()
            self.news.clear()
            for wakeup in self.wakeups.values():
                wakeup.set()

    async def dead_letter(self, message: Any, error: Exception) -> None:
        known = isinstance(error, Malformed) and error.cause is Cause.UNKNOWN_RESERVATION
        if not known:  # a purchase that was made too late to be found
            self.world.defects.append(error)

    async def send(self, *about: Any) -> None:  # type: ignore[override]
        """Take a dead letter: there is no other awaited sending in this process."""
        await self.dead_letter(about[0], about[1])

    # --- the group ---

    def assign(self, partition: int) -> None:
        self.rebalancing_count += 1
        self.spawn(self._restore(partition))

    async def _restore(self, partition: int) -> None:
        await asyncio.sleep(self.world.rng.uniform(0.1, 1.0))
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
        for (topic, partition), head in heads.items():
            self.world.broker.commit(self, topic, partition, head)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        oldest = min((at for due in (self._due, self._due_notices) if (at := due.oldest()) is not None), default=None)
        if oldest is not None:
            at = (oldest - START).total_seconds() + 0.001
            self._alarm = self.world.loop.call_at(max(at, self.world.loop.time() + 0.1), self._fire)

    def _fire(self) -> None:
        if not self.alive:
            return
        if self.frozen_until <= self.world.loop.time():
            try:
                self.passing("firing")
                self._timers._tick(self.world.clock())
            except asyncio.CancelledError:
                return
        self._set_alarm()

    @property
    def waiting(self) -> int:
        """How many orders and reservations wait for a time."""
        return len(self._due) + len(self._due_notices)


def stamped(record: Record, world: "World") -> Record:
    """Give a failure that `perform` has reported the virtual time: it reads the machine's clock."""
    if isinstance(record, EffectFailed) and record.occurred_at < START:
        return record.model_copy(update={"occurred_at": world.clock()})
    return record
