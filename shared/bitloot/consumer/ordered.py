"""Membership in a group: connect, poll, commit, give partitions up, connect again."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from bitloot import log, metrics
from bitloot.consumer.dispatch import Entry, Lanes, Window
from bitloot.consumer.limits import Limits
from bitloot.consumer.records import Attempts, Handle
from bitloot.contracts.topics import DEAD_LETTERS, Topic
from bitloot.dead_letters import Allowance
from bitloot.health import Health
from bitloot.kafka import RETRY_BACKOFF_MS, Producer
from bitloot.settings import KafkaSettings

_POLL_MS = 500
_RECONNECT_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.1

_log = log.get(__name__)


class OrderedConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Consumes `topics` as a member of `group`, at most `concurrency` records at once. See the package."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        group: str,
        topics: Sequence[Topic],
        handle: Handle,
        dead_letters: Producer,
        name: str,
        health: Health,
        concurrency: int = 64,
        limits: Limits | None = None,
        dead_letters_topic: Topic = DEAD_LETTERS,
    ) -> None:
        self._bootstrap_servers = settings.kafka_bootstrap_servers
        self._group = group
        self._name = name
        self._limits = limits or Limits()
        self._topics = {topic.name: topic for topic in topics}
        self._allowance = Allowance(self._limits.defects_per_minute)
        self._attempts = Attempts(handle, self._topics, name, dead_letters, dead_letters_topic, self._allowance)
        self._slots = asyncio.Semaphore(concurrency)
        self._lanes = Lanes()
        self._windows: dict[TopicPartition, Window] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._stop = asyncio.Event()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moved_at = self._committed_at = time.monotonic()
        self._outside_since: float | None = time.monotonic()
        metrics.COMMIT_AGE_SECONDS.labels(group).set_function(self._commit_age)
        health.register(f"{name} consumer", self._check_alive, vital=True)
        health.register(f"{name} consumer ready", self._check_ready)

    async def run(self) -> None:
        """Consume until canceled or stopped. Raises `ProducerFailed` when the process must end."""
        try:
            while not self._stop.is_set():
                try:
                    await self._session()
                except KafkaError as error:
                    _log.warning("consumer.disconnected", group=self._group, error=repr(error))
                    await self._sleep(_RECONNECT_SECONDS)
        finally:
            self._lanes.cancel()

    def stop(self) -> None:
        """Let `run` end: what runs gets `Limits.drain_on_stop` seconds, then the heads are committed."""
        self._stop.set()

    # --- one connection ---

    async def _session(self) -> None:
        """Join the group and consume until the connection breaks, the consumer stops or the process must end."""
        self._outside_since = time.monotonic()
        self._consumer = consumer = self._connect()
        try:
            await _first(self._consume(consumer), self._stop.wait(), self._failure)
        finally:
            await self._give_up(consumer, self._windows, self._limits.drain_on_stop)
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await consumer.stop()
            self._consumer = None
            self._forget(tuple(self._windows))  # assigned while we were leaving

    def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            client_id=self._name,
            group_id=self._group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=int(self._limits.session * 1000),
            heartbeat_interval_ms=int(self._limits.heartbeat * 1000),
            rebalance_timeout_ms=int(self._limits.rebalance * 1000),
            metadata_max_age_ms=int(self._limits.metadata * 1000),
            max_poll_records=self._limits.window,
            retry_backoff_ms=RETRY_BACKOFF_MS,
        )
        consumer.subscribe(list(self._topics), listener=self)
        return consumer

    async def _consume(self, consumer: AIOKafkaConsumer) -> None:
        await consumer.start()
        await _first(self._poll(consumer), self._commit_regularly(consumer), self._watch_fetching(consumer))

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        """Take records. Always polls, even when all partitions are paused: a member that does not is thrown out."""
        while True:
            for partition, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                window = self._windows.get(partition)
                if window is None:
                    continue  # taken away meanwhile; its next owner reads them
                for record in records:
                    self._take(partition, window, record)
                if window.unfinished >= self._limits.window:
                    consumer.pause(partition)

    async def _commit_regularly(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await asyncio.sleep(self._limits.commit_interval)
            await self._commit(consumer, self._windows)

    async def _commit(self, consumer: AIOKafkaConsumer, windows: Mapping[TopicPartition, Window]) -> None:
        moved = {p: (window, head) for p, window in windows.items() if (head := window.uncommitted) is not None}
        if moved:
            try:
                await consumer.commit({partition: head for partition, (_, head) in moved.items()})
            except (CommitFailedError, IllegalStateError) as error:
                # The group has moved on without us; the next owner repeats what was not committed.
                _log.warning("consumer.commit_refused", group=self._group, error=repr(error))
                return
            for window, head in moved.values():
                window.committed = head
        self._committed_at = time.monotonic()

    async def _watch_fetching(self, consumer: AIOKafkaConsumer) -> None:
        """Raise KafkaError, for a new connection, when the broker has records for us and nothing comes.

        Fetching has been seen to stand still after broker trouble, without an error:
        https://github.com/aio-libs/aiokafka/issues/1154.
        """
        before: dict[TopicPartition, int] = {}
        while True:
            await asyncio.sleep(self._limits.fetch_stall)
            behind: dict[TopicPartition, int] = {}
            with contextlib.suppress(TimeoutError, IllegalStateError):
                async with asyncio.timeout(self._limits.fetch_stall):
                    behind = await self._idle_behind(consumer)
            stuck = [partition for partition, position in behind.items() if before.get(partition) == position]
            if stuck:
                raise KafkaError(f"nothing comes from {_names(stuck)}")
            before = behind

    async def _idle_behind(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Return the positions of partitions that hold nothing here though there is more at the broker."""
        idle = [partition for partition, window in self._windows.items() if not window.unfinished]
        ends = await consumer.end_offsets(idle) if idle else {}
        positions = {partition: await consumer.position(partition) for partition in idle}
        return {partition: position for partition, position in positions.items() if position < ends[partition]}

    # --- the group ---

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin anew at the committed offsets. Called by aiokafka."""
        for partition in assigned:
            self._windows[partition] = window = Window()
            labels = (partition.topic, str(partition.partition))
            metrics.OLDEST_UNHANDLED_SECONDS.labels(*labels).set_function(window.age)
            metrics.CONSUMER_LAG.labels(*labels).set_function(partial(self._lag, partition, window))
        self._outside_since = None
        _log.info("consumer.assigned", group=self._group, partitions=_names(self._windows))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """End what runs, commit the heads, forget the rest. Called by aiokafka, which goes on heartbeating."""
        self._outside_since = time.monotonic()
        if self._consumer is not None:
            await self._give_up(self._consumer, revoked, self._limits.drain_on_revoke)

    async def _give_up(
        self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition], drain_seconds: float
    ) -> None:
        windows = {p: self._windows[p] for p in partitions if p in self._windows}
        if not windows:
            return
        self._forget(windows)
        # After a failure there is nothing worth waiting for.
        seconds = 0 if self._failure.done() else drain_seconds
        await asyncio.gather(*(window.drain(seconds) for window in windows.values()))
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._commit(consumer, windows)
        except (TimeoutError, KafkaError) as error:
            _log.warning("consumer.not_committed", group=self._group, error=repr(error))
        unfinished = sum(window.unfinished for window in windows.values())
        _log.info("consumer.gave_up", group=self._group, partitions=_names(windows), unfinished=unfinished)

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            del self._windows[partition]
            metrics.OLDEST_UNHANDLED_SECONDS.remove(partition.topic, str(partition.partition))
            metrics.CONSUMER_LAG.remove(partition.topic, str(partition.partition))

    # --- one record ---

    def _take(self, partition: TopicPartition, window: Window, record: ConsumerRecord) -> None:
        entry = window.take(record.offset, record.timestamp / 1000)
        self._moved_at = time.monotonic()
        work = partial(self._work, partition, window, entry, record)
        task = self._lanes.submit((record.topic, record.key), work)
        window.tasks.add(task)
        task.add_done_callback(window.tasks.discard)
        task.add_done_callback(self._on_ended)

    async def _work(self, partition: TopicPartition, window: Window, entry: Entry, record: ConsumerRecord) -> None:
        """Try a record until it is handled or put aside, or the partition is taken away."""
        pause = _FIRST_PAUSE_SECONDS
        while not window.closed:
            async with self._slots:
                handled = await self._attempt(window, entry, record)
            if handled:
                self._finish(partition, window, entry)
                return
            await window.pause(pause)
            pause = min(2 * pause, self._limits.longest_pause)

    async def _attempt(self, window: Window, entry: Entry, record: ConsumerRecord) -> bool:
        if window.closed:
            return False  # taken away while we waited for the slot
        entry.begun = time.monotonic()
        handled = await self._attempts.attempt(record)
        entry.begun = None
        self._moved_at = time.monotonic()
        return handled

    def _finish(self, partition: TopicPartition, window: Window, entry: Entry) -> None:
        window.finish(entry)
        metrics.RECORDS_CONSUMED.labels(partition.topic).inc()
        consumer = self._consumer
        if window.closed or consumer is None or window.unfinished > self._limits.window // 2:
            return
        if partition in consumer.paused():
            consumer.resume(partition)

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            _log.critical("consumer.failed", group=self._group, error=repr(error))
            self._failure.set_exception(error)

    # --- how it is ---

    async def _check_alive(self) -> str | None:
        now, stall = time.monotonic(), self._limits.stall
        if self._failure.done():
            return "it failed"
        if self._outside_since is not None and now - self._outside_since > stall:
            return f"not in its group for {now - self._outside_since:.0f} s"
        held = [window for window in self._windows.values() if window.unfinished]
        if held and now - self._moved_at > stall:
            return f"nothing has moved for {now - self._moved_at:.0f} s"
        longest = max((window.longest_attempt(now) for window in held), default=0.0)
        return f"a record has been handled for {longest:.0f} s" if longest > stall else None

    async def _check_ready(self) -> str | None:
        if self._outside_since is not None:
            return "no partitions assigned yet"
        return "too many unexpected failures: they wait" if self._allowance.exhausted else None

    def _commit_age(self) -> float:
        settled = all(window.uncommitted is None and not window.unfinished for window in self._windows.values())
        return 0.0 if settled else time.monotonic() - self._committed_at

    def _lag(self, partition: TopicPartition, window: Window) -> float:
        consumer = self._consumer
        if consumer is None or partition not in consumer.assignment():
            return 0.0
        end = consumer.highwater(partition)
        return 0.0 if end is None or window.position is None else float(max(0, end - window.position))

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()


async def _first(*work: Awaitable[Any]) -> None:
    """Run all until the first ends; cancel the others; raise what it raised."""
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            if isinstance(task, asyncio.Task):
                task.cancel()
        await asyncio.wait([task for task in tasks if isinstance(task, asyncio.Task)])
    for task in done:
        task.result()


def _names(partitions: Iterable[TopicPartition]) -> str:
    return " ".join(sorted(f"{partition.topic}/{partition.partition}" for partition in partitions))
