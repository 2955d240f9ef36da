"""Membership in a group: connect, poll, commit, give partitions up, connect again."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from bitloot import log, metrics
from bitloot.cluster import Cluster, LogLost, finish, look
from bitloot.consumer.condition import Condition
from bitloot.consumer.connection import connect, first_of
from bitloot.consumer.dispatch import Entry, Lanes, Window
from bitloot.consumer.limits import Limits
from bitloot.consumer.placing import Places
from bitloot.consumer.records import Attempts, Handle
from bitloot.consumer.watching import in_words, names, watch_cluster, watch_fetching
from bitloot.contracts.topics import DEAD_LETTERS, Topic
from bitloot.dead_letters import Allowance
from bitloot.errors import Cause, Transient
from bitloot.health import Health
from bitloot.kafka import Producer
from bitloot.settings import KafkaSettings
from bitloot.witness import Memory, Witness

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
        witness: Witness | None = None,
    ) -> None:
        self._settings = settings
        self._group = group
        self._name = name
        self._limits = limits or Limits()
        self._topics = {topic.name: topic for topic in topics}
        self._witness = witness or Memory()
        allowance = Allowance(self._limits.defects_per_minute)
        self._attempts = Attempts(handle, self._topics, name, dead_letters, dead_letters_topic, allowance)
        self._slots = asyncio.Semaphore(concurrency)
        self._lanes = Lanes()
        self._windows: dict[TopicPartition, Window] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._places: Places | None = None
        self._stop = asyncio.Event()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._condition = Condition(group, self._windows, self._limits)
        self._condition.register(health, name, allowance)

    async def run(self) -> None:
        """Consume until canceled or stopped. Raises `ProducerFailed` when the process must end."""
        try:
            while not self._stop.is_set():
                try:
                    await self._session()
                except LogLost:
                    await self._sleep(self._limits.refused)
                except (KafkaError, Transient) as error:
                    _log.warning("consumer.disconnected", group=self._group, error=repr(error))
                    self._condition.waits(error.detail if isinstance(error, Transient) else in_words(error))
                    await self._sleep(_RECONNECT_SECONDS)
        finally:
            self._lanes.cancel()

    def stop(self) -> None:
        """Let `run` end: what runs gets `Limits.drain_on_stop` seconds, then the heads are committed."""
        self._stop.set()

    # --- one connection ---

    async def _session(self) -> None:
        """Join the group and consume until the connection breaks, the consumer stops or the process must end."""
        self._condition.outside()
        self._consumer = consumer = connect(self._settings, self._group, self._name, self._limits)
        try:
            await first_of(self._consume(consumer), self._stop.wait(), self._failure)
        except LogLost as error:
            self._condition.lost(error)  # before anything is committed
            raise
        finally:
            await self._give_up(consumer, self._windows, self._limits.drain_on_stop)
            await finish(consumer.stop(), _CLOSE_SECONDS)
            self._consumer = None
            self._condition.outside()
            self._forget(tuple(self._windows))  # assigned while we were leaving

    async def _consume(self, consumer: AIOKafkaConsumer) -> None:
        await consumer.start()
        cluster = await self._identify(consumer)
        self._places = Places(self._group, cluster, self._witness)
        self._condition.goes_on()
        consumer.subscribe(list(self._topics), listener=self)
        await first_of(
            self._poll(consumer),
            self._commit_regularly(consumer),
            watch_fetching(consumer, self._windows, self._limits.fetch_stall),
            watch_cluster(consumer, cluster, self._condition, self._limits.metadata),
        )

    async def _identify(self, consumer: AIOKafkaConsumer) -> Cluster:
        """Return the cluster, which is the one that we know. Raises `LogLost` if not, else as `_session` may."""
        cluster = await look(consumer._client, self._topics)  # noqa: SLF001 - the public client cannot ask for ids
        if self._places is None or self._places.cluster != cluster:
            await self._witness.confirm(cluster, self._topics)
        if missing := cluster.missing(self._topics):
            reason = f"Kafka does not have the topics {', '.join(missing)}"
            raise Transient(Cause.BROKER_UNAVAILABLE, reason)
        return cluster

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        """Take records. Always polls, even when all partitions are paused: a member that does not is thrown out."""
        while True:
            await self._place(consumer)
            placed = [partition for partition, window in self._windows.items() if window.position is not None]
            try:
                found = await consumer.getmany(*placed, timeout_ms=_POLL_MS)
            except (NoOffsetForPartitionError, OffsetOutOfRangeError):
                if placed:
                    raise
                continue  # of partitions that came just now: we shall see
            for partition, records in found.items():
                self._take_all(consumer, partition, records)

    async def _place(self, consumer: AIOKafkaConsumer) -> None:
        """Find out where the partitions begin that are new to us."""
        new = {partition: window for partition, window in self._windows.items() if window.position is None}
        if not new or self._places is None:
            self._condition.in_place()
            return
        try:
            starts = await self._places.find(consumer, new)
        except (CommitFailedError, IllegalStateError):
            return  # taken away meanwhile
        except Transient as error:
            self._condition.waits(error.detail)
            await self._sleep(_RECONNECT_SECONDS)
            return
        self._condition.goes_on()
        for partition, start in starts.items():
            if self._windows.get(partition) is new[partition]:
                consumer.seek(partition, start)
                new[partition].place(start)

    async def _commit_regularly(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await asyncio.sleep(self._limits.commit_interval)
            await self._commit(consumer, self._windows)

    async def _commit(self, consumer: AIOKafkaConsumer, windows: Mapping[TopicPartition, Window]) -> None:
        moved = {p: (window, head) for p, window in windows.items() if (head := window.uncommitted) is not None}
        if moved and self._places is not None:
            topic_id = self._places.topic_id
            try:
                await consumer.commit(
                    {partition: (head, topic_id(partition)) for partition, (_, head) in moved.items()}
                )
            except (CommitFailedError, IllegalStateError) as error:
                # The group has moved on without us; the next owner repeats what was not committed.
                _log.warning("consumer.commit_refused", group=self._group, error=repr(error))
                return
            for window, head in moved.values():
                window.note_committed(head)
        self._condition.committed()

    # --- the group ---

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take partitions over. Called by aiokafka."""
        for partition in assigned:
            self._windows[partition] = window = Window()
            self._condition.watch(partition, window)
        self._condition.assigned()
        _log.info("consumer.assigned", group=self._group, partitions=names(self._windows))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """End what runs, commit the heads, forget the rest. Called by aiokafka, which goes on heartbeating."""
        self._condition.outside()
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
        if not self._condition.is_lost:
            await self._commit_last(consumer, windows)
        unfinished = sum(window.unfinished for window in windows.values())
        _log.info("consumer.gave_up", group=self._group, partitions=names(windows), unfinished=unfinished)

    async def _commit_last(self, consumer: AIOKafkaConsumer, windows: Mapping[TopicPartition, Window]) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._commit(consumer, windows)
        except (TimeoutError, KafkaError) as error:
            _log.warning("consumer.not_committed", group=self._group, error=repr(error))

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            del self._windows[partition]
            self._condition.forget(partition)

    # --- one record ---

    def _take_all(self, consumer: AIOKafkaConsumer, partition: TopicPartition, records: list[ConsumerRecord]) -> None:
        window = self._windows.get(partition)
        if window is None or window.position is None:
            return  # taken away meanwhile, and perhaps given back: it is read again
        for record in records:
            self._take(partition, window, record)
        if (end := consumer.highwater(partition)) is not None:
            window.found_end(end)
        if window.unfinished >= self._limits.window:
            consumer.pause(partition)

    def _take(self, partition: TopicPartition, window: Window, record: ConsumerRecord) -> None:
        entry = window.take(record.offset, record.timestamp / 1000)
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
        window.moved_at = time.monotonic()
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
            self._condition.failed()
            self._failure.set_exception(error)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
