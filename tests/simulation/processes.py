"""Processes that run our real code on the virtual broker and can die or stand still at any named point."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bitloot.consumer.dispatch import Entry, Lanes, Window
from bitloot.consumer.records import Attempts, Handle
from bitloot.contracts.base import Record
from bitloot.contracts.codec import encode
from bitloot.contracts.topics import DEAD_LETTERS, Topic
from bitloot.dead_letters import Allowance
from bitloot.errors import Cause, Transient
from tests.simulation.broker import TOPICS, Slot, Written, partition_of
from tests.simulation.mutations import Bug
from tests.simulation.schedule import PARTITIONS, Group

if TYPE_CHECKING:
    from tests.simulation.world import World

SESSION_SECONDS = 10.0
SEND_SECONDS = 30.0
"""A producer gives a record up after this, and nobody knows whether the broker has it."""


class Process:
    """One start of one process. When it dies all of it stops, and of what it was sending some may have left."""

    group: Group

    def __init__(self, world: "World", incarnation: str) -> None:
        self.world = world
        self.incarnation = incarnation
        self.ahead = world.clock_error(self.group)
        self.alive = True
        self.frozen_until = 0.0
        self.news = asyncio.Event()
        self.buffer: list[tuple[str, bytes, bytes | None]] = []
        self.flushed = asyncio.Event()
        self.flushed.set()
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def clock(self) -> datetime:
        """Return the time as this machine has it."""
        return self.world.clocks.read(self.ahead)

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
            left[slot] = left.get(slot, not self.world.away("broker")) and self.world.rng.random() < 0.6
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

    def on_broker_away(self) -> None:
        """The broker has been away for longer than a session."""

    def on_clock_set(self) -> None:
        """The machine's clock was set."""

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

    def put(self, topic: str, key: bytes, value: bytes | None) -> None:
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
        if self.world.has(Bug.LATE_OUTCOME_DROPPED) and record.event_id.endswith("/late"):
            return
        self.put(topic.name, key.encode(), encode(record))
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self.flushed.wait()
        except TimeoutError:  # it may go out later all the same
            raise Transient(Cause.BROKER_UNAVAILABLE, "no broker") from None
        if how is not None:
            raise Transient(Cause.BROKER_UNAVAILABLE, "not confirmed")
        await self.passes("published")

    def _flush(self) -> None:
        if not self.alive:
            return
        wait = max(self.frozen_until - self.world.loop.time(), self.world.away("broker"))
        if wait > 0:
            self.world.later(wait + 0.001, self._flush)
            return
        sent, self.buffer = self.buffer, []
        self.flushed.set()
        for topic, key, value in sent:
            self.world.broker.append(topic, key, value)

    async def broker_there(self) -> None:
        """Wait while the broker is away."""
        while wait := self.world.away("broker"):
            await asyncio.sleep(wait)
        self.live()

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
        self.group = group
        super().__init__(world, incarnation)
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
            self,  # type: ignore[arg-type]
            DEAD_LETTERS,
            Allowance(1000),
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
            if wait := self.world.away("broker"):
                await asyncio.sleep(wait)
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
            if await self._attempts.attempt(record):
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
        await self.broker_there()
        for partition, window in tuple(self._windows.items()):
            await self._commit_one(partition, window)
        await self.passes("committed")

    async def _commit_one(self, partition: int, window: Window) -> None:
        self.live()
        head = self._highest.get(partition) if self.world.has(Bug.HIGHEST_OFFSET) else window.uncommitted
        if head is not None and self.world.broker.commit(self, self._topic.name, partition, head):
            window.committed = head
