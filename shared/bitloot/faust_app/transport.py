"""Faust's consumer and producer, with the gaps in their guarantees closed."""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, ClassVar

from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from bitloot import log
from bitloot.faust_app.guard import InWork

DRAIN_SECONDS = 20.0
"""What an event may take while partitions are taken away; below the time that the group waits."""
_FETCH_WAIT_MS = 250

_log = log.get(__name__)


def committable(acked: Iterable[int], first_in_work: int | None) -> int | None:
    """Return the offset up to which everything is done, or None.

    Messages come in the order of their offsets, so what is neither in work nor behind a message in work is done.
    Stock Faust looks for gaps between acknowledged offsets instead, and can pass one or stall on one.
    """
    done = [offset for offset in acked if first_in_work is None or offset < first_in_work]
    return max(done) + 1 if done else None


class Producer(driver.Producer):  # type: ignore[misc]  # Faust has no usable types
    """Idempotent, and every send is tracked."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    def send_soon(self, fut: asyncio.Future[Any]) -> None:
        """Buffer a changelog record. Tracked from here on: stock Faust cannot see it between two buffers."""
        self.app.sends.track(fut)
        super().send_soon(fut)

    async def send(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Hand a record to aiokafka. Raises when this process must not write any more."""
        self.app.guard.check()
        sent: asyncio.Future[Any] = await super().send(*args, **kwargs)
        self.app.sends.track(sent)
        return sent


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        """Return the consumer, with short fetches.

        A broker answers the requests of one connection in turn, so each question of a recovery (where do the
        changelogs end?) waits behind a fetch that waits for records: 1.5 s, which Faust does not let one set.
        """
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS  # noqa: SLF001 - read when it starts
        return consumer

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; False when the group has moved on. Stock Faust crashes then, or takes it for done."""
        owned = self.assignment()
        wanted = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in owned
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


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Commits only what is done and whose consequences are stored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_work = self._unacked_messages = InWork(self.app.guard)
        self._heads: dict[TP, int] = {}
        self._committed_at = time.monotonic()
        self._pending_since: float | None = None

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _new_offset(self, tp: TP) -> int | None:
        in_work = [message.offset for message in self.in_work if message.tp == tp and not message.acked]
        head = committable(self._acked[tp], min(in_work, default=None))
        if head is not None:
            done = {offset for offset in self._acked[tp] if offset < head}
            self._acked[tp][:] = [offset for offset in self._acked[tp] if offset >= head]
            self._acked_index[tp].difference_update(done)
            self._heads[tp] = head
        return self._heads.get(tp)  # also one that was refused before

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002 - Faust's signature
        try:
            await self.app.sends.settle()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be committed any more
            self.app.guard.fail(error)
            return False
        owned = self.assignment()
        ours = {tp: offset for tp, offset in offsets.items() if tp in owned}
        if not ours or not await self._commit(ours):
            return False
        self._committed_offset.update(ours)
        self.app.monitor.on_tp_commit(ours)
        self._committed_at = time.monotonic()
        return True

    def uncommitted_seconds(self) -> float:
        """Return for how long something has been done and nothing committed. Call it now and then."""
        behind = any(head > (self._committed_offset.get(tp) or 0) for tp, head in self._heads.items())
        if not behind and not any(self._acked.values()):
            self._pending_since = None
            return 0.0
        now = time.monotonic()
        self._pending_since = self._pending_since or now
        return now - max(self._pending_since, self._committed_at)

    def lags(self) -> Mapping[TP, int]:
        """Return how many records wait in each partition that agents read, as far as it is known."""
        lags = {}
        for tp in self.assignment():
            committed, end = self._committed_offset.get(tp), self.highwater(tp)
            if self.app.topics.acks_enabled_for(tp.topic) and committed is not None and end is not None:
                lags[tp] = max(0, end - committed)
        return lags

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
        for tp in revoked:
            self._heads.pop(tp, None)
        if revoked:
            self.app.on_give_up()
        await super().on_partitions_revoked(revoked)


class Transport(driver.Transport):  # type: ignore[misc]
    """Puts the two to use."""

    Consumer: ClassVar[type] = Consumer
    Producer: ClassVar[type] = Producer
