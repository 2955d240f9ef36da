"""Faust's consumer and producer, with the gaps in their guarantees closed."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.futures import maybe_async

from bitloot import log
from bitloot.cluster import LogLost
from bitloot.consumer.placing import Found
from bitloot.crash_points import CrashPoint, reach
from bitloot.faust_app.guard import InWork
from bitloot.faust_app.progress import Progress
from bitloot.fetch_sessions import by_sessions

DRAIN_SECONDS = 20.0
"""What an event may take while partitions are taken away; below the time that the group waits."""
_FETCH_WAIT_MS = 250
_POLL_SECONDS = 1.0

_log = log.get(__name__)


class NotOurWay(RuntimeError):  # noqa: N818 - it names what was tried
    """Something was about to be sent by Faust itself, past what holds commits back until it is acknowledged."""


class Producer(driver.Producer):  # type: ignore[misc]  # Faust has no usable types
    """Sends nothing and connects nowhere: outputs and changelogs go through `bitloot.kafka.Producer`."""

    async def on_start(self) -> None:
        """Connect nowhere."""

    async def on_stop(self) -> None:
        """There is nothing to close."""

    async def flush(self) -> None:
        """There is nothing to wait for; called by Faust when it stops."""

    def send_soon(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuse."""
        raise NotOurWay(NotOurWay.__doc__)

    async def send(self, *_args: Any, **_kwargs: Any) -> Awaitable[Any]:
        """Refuse."""
        raise NotOurWay(NotOurWay.__doc__)


class _ConsumerOnLoop(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Talks to the broker, on the loop that the agents run on.

    Faust gives it a thread and a loop of its own, to which each call goes and from which each answer comes back: an
    event by itself cost 45 changes of context, and the two loops wait for one interpreter anyway. Heartbeats are sent
    by the loop that does the work, so a worker that stands still loses its partitions; the guard ends it before that.
    """

    wait_for_shutdown = False  # nobody else ends it

    def __init__(self, consumer: "Consumer", *, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, **kwargs)

    async def start(self) -> None:
        """Start, as a service without a thread does."""
        self._thread_started.set()
        await self._default_start()

    async def stop(self) -> None:
        """Stop, as a service without a thread does, and leave the group."""
        if self._started.is_set():
            await super().stop()

    async def on_stop(self) -> None:
        """Leave the group. Called by `stop`."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def _stop_children(self) -> None:
        await self._default_stop_children()

    async def _stop_futures(self) -> None:
        await self._default_stop_futures()

    async def _stop_exit_stacks(self) -> None:
        await self._default_stop_exit_stacks()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call it here."""
        return await maybe_async(fun(*args, **kwargs))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Tell the consumer."""
        await self.consumer.on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Tell the consumer."""
        await self.consumer.on_partitions_assigned(assigned, generation_id)

    def _create_worker_consumer(self, transport: Any) -> Any:
        """Return the consumer, with short fetches.

        A broker answers the requests of one connection in turn, so each question of a rebalance (where does a
        partition begin?) waits behind a fetch that waits for records: 1.5 s, which Faust does not let one set.
        """
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS  # noqa: SLF001 - read when it starts
        return by_sessions(consumer)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; False when the group has moved on. Stock Faust crashes then, or takes it for done."""
        owned = self.assignment()
        ids = self.app.cluster.topic_ids  # with them an offset in a log that was made anew is told apart
        wanted = {
            _aiokafka(tp): OffsetAndMetadata(offset, ids[tp.topic]) for tp, offset in offsets.items() if tp in owned
        }
        try:
            await self._ensure_consumer().commit(wanted)
        except (CommitFailedError, IllegalStateError) as error:
            _log.warning("faust.commit_refused", error=type(error).__name__)
            return False
        except Exception as error:  # noqa: BLE001 - nothing may go on that cannot commit
            await self.crash(error)
            return False
        self.tp_last_committed_at.update(dict.fromkeys(owned, time.monotonic()))
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Complain of nothing: `bitloot.faust_app.watch` knows better, and Faust asks sensors that are not called."""

    async def committed(self, tps: Iterable[TP]) -> dict[TP, OffsetAndMetadata]:
        """Return the offsets that the group has committed; partitions without one are left out."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001 - one request for all, unlike `committed`
        partitions = [_aiokafka(tp) for tp in tps]
        found = await coordinator.fetch_committed_offsets(partitions)
        return {TP(tp.topic, tp.partition): known for tp, known in found.items()}

    def next_offset(self, tp: TP) -> int | None:
        """Return the offset of the next record that a poll returns, or None when that is not settled."""
        subscription = self._ensure_consumer()._subscription.subscription  # noqa: SLF001
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None or _aiokafka(tp) not in assignment.tps:
            return None
        state = assignment.state_value(_aiokafka(tp))
        return state.position if state.has_valid_position else None


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Hands over each record, in order, until it is done; commits only that and whose consequences are stored.

    What changelogs hold does not come this way: see `restore`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_work = self._unacked_messages = InWork(self.app.guard)
        self._progress: dict[TP, Progress] = {}
        self._epoch = 0  # of the positions: what was fetched in an older one is not handed over
        self._assignment_number = 0
        self._committed_at = time.monotonic()
        self._pending_since: float | None = None
        self._noted: set[TP] = set()  # for whom the witness has heard of a commit

    def _new_consumer_thread(self) -> _ConsumerOnLoop:
        return _ConsumerOnLoop(self, loop=self.loop, beacon=self.beacon)

    # --- from Kafka to the agents ---

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand over records until the fetcher is stopped. Called by the fetcher.

        Faust makes two tasks for each record, so as to leave it when the flow stops: a turn of the loop for each, after
        which agents find one event to handle and its outputs leave by themselves.
        """
        try:
            while not (self.should_stop or fetcher.should_stop):
                await asyncio.sleep(0)
                await self._hand_over()
        except (*self.consumer_stopped_errors, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def _hand_over(self) -> None:
        """Fetch records and hand them over; each partition's come in order and without holes, from where it stands."""
        await self._align()
        epoch, flowing = self._epoch, self.app.flow_control.is_active
        records, wanted = await self._wait_next_records(_POLL_SECONDS)
        for tp, record in self.scheduler.iterate(records):
            if epoch != self._epoch or not flowing():
                return  # what is left is read again when the flow goes on
            progress = self._progress.get(tp)
            if (
                progress is not None
                and (tp in wanted or tp in self._buffered_partitions)
                and progress.deliver(record.offset)
            ):
                await self.callback(self._to_message(tp, record))

    async def _align(self) -> None:
        """Read on from where each partition stands. Nothing is on its way from the broker to us meanwhile."""
        if self.flow_active:
            active = self._get_active_partitions()
            expected = {tp: progress.expected for tp, progress in self._progress.items() if tp in active}
            moved = {tp: offset for tp, offset in expected.items() if self._thread.next_offset(tp) != offset}
            if moved:
                with contextlib.suppress(IllegalStateError):  # taken away meanwhile
                    await self.seek_wait(moved)

    async def perform_seek(self) -> None:
        """Nothing: `_align` does it. Called by Faust, not only when partitions are new."""

    async def locate(self) -> None:
        """Find out where newly assigned partitions stand: at the committed offset, or where nobody has begun yet.

        Raises `LogLost` when what the group has read is gone.
        """
        assignment = self._assignment_number
        tps = [tp for tp in self.assignment() if self.app.topics.acks_enabled_for(tp.topic)]
        found = await self._find(tps)
        if assignment != self._assignment_number:
            return  # the partitions were taken away meanwhile
        if complaints := [complaint for each in found.values() if (complaint := each.complaint()) is not None]:
            raise LogLost(*complaints)
        for tp, each in found.items():
            self._committed_offset[tp] = each.place
            self._progress[tp] = Progress(each.start())
        await self._begin({tp: self._progress[tp].head for tp, each in found.items() if each.place is None})

    async def _find(self, tps: Sequence[TP]) -> dict[TP, Found]:
        app = self.app
        begun = await app.witness.begun(app.conf.id, app.cluster, [_aiokafka(tp) for tp in tps])
        committed = await self._thread.committed(tps)
        first, ends = await self.earliest_offsets(*tps), await self.highwaters(*tps)
        return {
            tp: Found(
                _aiokafka(tp),
                app.cluster.topic_ids[tp.topic],
                first[tp],
                ends[tp],
                committed.get(tp),
                _aiokafka(tp) in begun,
            )
            for tp in tps
        }

    async def _begin(self, starts: Mapping[TP, int]) -> None:
        """Commit where partitions begin that nobody has read yet; who finds no offset later has lost it."""
        if starts:
            _log.warning("faust.begins", partitions=len(starts))
            await self._commit(starts)

    def stop_flow(self) -> None:
        """Hand over nothing more. Called by Faust."""
        self._epoch += 1
        super().stop_flow()

    def resume_flow(self) -> None:
        """Begin again with what is not done: Faust has just cleared its queues. Called by Faust."""
        self._epoch += 1
        self._advance()
        for progress in self._progress.values():
            progress.rewind()
        super().resume_flow()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let what is in work end, and commit it, before the partitions are given away."""
        if revoked and not self.app.should_stop:
            self.stop_flow()
            self.app.flow_control.suspend()
            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self.wait_empty()
                    await self.maybe_wait_for_commit_to_finish()
                    await self.force_commit()
            except TimeoutError as error:
                self.app.guard.fail(error)
        self._epoch += 1
        self._assignment_number += 1
        for tp in revoked:
            self._progress.pop(tp, None)
        if revoked:
            self.app.on_give_up()
        await super().on_partitions_revoked(revoked)

    # --- from the agents to the commit ---

    def _advance(self) -> None:
        """Move the heads over what agents have finished."""
        self._clean_unacked_messages()
        for tp, progress in self._progress.items():
            done = self._acked_index[tp]
            head = progress.advance(done)
            done.difference_update([offset for offset in done if offset < head])
            self._acked[tp][:] = done

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:  # noqa: ARG002 - all of them
        self._advance()
        return {tp: progress.head for tp, progress in self._progress.items() if self._should_commit(tp, progress.head)}

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002 - Faust's signature
        try:
            await self.app.sends.settle()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be committed any more
            self.app.guard.fail(error)
            return False
        owned = self.assignment()
        ours = {tp: offset for tp, offset in offsets.items() if tp in owned}
        if ours:
            reach(CrashPoint.AGENTS_SETTLED)
        if not ours or not await self._commit(ours):
            return False  # tried again with the next commit, unless the partitions are gone
        reach(CrashPoint.AGENTS_COMMITTED)
        self._committed_offset.update(ours)
        await self._note_begun(ours)
        self.app.monitor.on_tp_commit(ours)
        self._committed_at = time.monotonic()
        return True

    async def _note_begun(self, committed: Iterable[TP]) -> None:
        new = set(committed) - self._noted
        if new:
            self._noted |= new
            await self.app.witness.begin(self.app.conf.id, self.app.cluster, [_aiokafka(tp) for tp in new])

    # --- how it is ---

    def ages(self) -> dict[TP, float]:
        """Return for how many seconds the oldest record of each partition has been handed over and is not done."""
        self._advance()
        return {tp: progress.oldest for tp, progress in self._progress.items()}

    def uncommitted_seconds(self) -> float:
        """Return for how long something has been done and nothing committed. Call it now and then."""
        behind = any(self._should_commit(tp, progress.head) for tp, progress in self._progress.items())
        if not behind and not any(self._acked_index.values()):
            self._pending_since = None
            return 0.0
        now = time.monotonic()
        self._pending_since = self._pending_since or now
        return now - max(self._pending_since, self._committed_at)

    def heads(self) -> dict[TP, int]:
        """Return how far each partition that agents read is done; -1 where that is not known."""
        self._advance()
        owned = (tp for tp in self.assignment() if self.app.topics.acks_enabled_for(tp.topic))
        return {tp: self._progress[tp].head if tp in self._progress else -1 for tp in owned}

    async def behind(self) -> dict[TP, int]:
        """Return the heads of the partitions in which the broker has more."""
        heads = self.heads()
        ends = await self.highwaters(*heads) if heads else {}
        return {tp: head for tp, head in heads.items() if head < ends[tp]}


def _aiokafka(tp: TP) -> Any:
    return driver.ensure_aiokafka_TP(tp)


class Transport(driver.Transport):  # type: ignore[misc]
    """Puts the two to use."""

    Consumer: ClassVar[type] = Consumer
    Producer: ClassVar[type] = Producer
