"""Tables come back from their changelogs, completely, before an event is handled.

Stock Faust reads changelogs through the queues of its event flow. These are cleared while records are in them, and
records fetched for paused partitions are dropped, so that a table can miss some (tried: with two workers that are
killed and frozen in turn, a few of 3,000 events were gone). Here each changelog is read by a consumer of its own,
from the record after the last one that RocksDB has, to the end; nothing else is in between.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service

from bitloot import log
from bitloot.crash_points import CrashPoint, reach

_POLL_MS = 1_000
_BATCH = 500  # records written in one go; events wait for nothing else on this loop

_log = log.get(__name__)


class TableAhead(RuntimeError):  # noqa: N818 - it names what is wrong
    """RocksDB has read further than its changelog goes: the changelog was made anew. Remove the worker's data."""


class _Message(NamedTuple):
    """A changelog record, as a store wants it."""

    tp: TP
    partition: int
    offset: int
    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class _Event:
    message: _Message


class BytesTable(faust.Table):  # type: ignore[misc]  # Faust has no usable types
    """A table that notes how far its changelog goes only as long as its partitions are surely ours."""

    def _on_changelog_sent(self, fut: asyncio.Future[Any]) -> None:
        # A late acknowledgement may stand behind records of a new owner, which we have not read.
        if self.app.guard.may_write:
            super()._on_changelog_sent(fut)


class Restore(Recovery):  # type: ignore[misc]
    """Restores the tables of newly assigned partitions, then lets events flow."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _restart_recovery(self) -> None:
        while not await self.wait_for_stopped(self.signal_recovery_start):
            self.signal_recovery_start.clear()
            try:
                await self._recover(self._generation_id, self.app.rebalancing_count)
            except RebalanceAgain:
                continue
            except ServiceStopped:
                return

    @Service.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None:
        """Nothing comes through Faust's queue."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _publish_stats(self) -> None:
        """`restore` tells."""

    async def _recover(self, generation: int, rebalance: int) -> None:
        if self.active_tps:
            self._set_recovery_started()
            started = time.monotonic()
            records = await self._unless_rebalanced(self._restore(sorted(self.active_tps)))
            _log.info("tables.restored", records=records, seconds=round(time.monotonic() - started, 3))
        self._set_recovery_ended()
        consumer = self.app.consumer
        consumer.resume_partitions({tp for tp in consumer.assignment() if not self._is_changelog_tp(tp)})
        await self._unless_rebalanced(consumer.locate())
        if self.app.consumer_generation_id == generation and self.app.rebalancing_count == rebalance:
            await self._let_flow(rebalance)

    async def _let_flow(self, rebalance: int) -> None:
        app = self.app
        await app.on_rebalance_complete.send()
        app.on_restored(rebalance)
        self.completed.set()
        app.flow_control.resume()
        app.consumer.resume_flow()
        await app._fetcher.maybe_start()  # noqa: SLF001 - as Faust's own recovery does
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()

    async def _unless_rebalanced(self, work: Any) -> Any:
        """Return the result of `work`; raise `RebalanceAgain` or `ServiceStopped` if that comes first."""
        task = asyncio.ensure_future(work)
        try:
            await self._wait(task)
        finally:
            if not task.done():
                task.cancel()
        return task.result()

    async def _restore(self, tps: list[TP]) -> int:
        """Read the changelogs to their present ends; return how many records that were."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers(),
            client_id=f"{self.app.conf.id}-restore",
            enable_auto_commit=False,
            auto_offset_reset="none",
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(*tp) for tp in tps]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            starts = self._starts(await consumer.beginning_offsets(partitions), ends)
            for partition, start in starts.items():
                consumer.seek(partition, start)
            return await self._copy(consumer, {p: ends[p] for p in partitions if starts[p] < ends[p]})
        finally:
            await consumer.stop()

    def _bootstrap_servers(self) -> list[str]:
        return [f"{url.host}:{url.port}" for url in self.app.conf.broker_consumer]

    def _starts(
        self, beginnings: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        starts = {}
        for partition, beginning in beginnings.items():
            tp = TP(partition.topic, partition.partition)
            persisted = self.tp_to_table[tp].persisted_offset(tp)
            if persisted is not None and persisted >= ends[partition]:
                raise TableAhead(f"{tp.topic}/{tp.partition}: {persisted} of {ends[partition]}. {TableAhead.__doc__}")
            starts[partition] = beginning if persisted is None else max(beginning, persisted + 1)
        return starts

    async def _copy(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> int:
        count = 0
        while ends:
            polled = await consumer.getmany(*ends, timeout_ms=_POLL_MS, max_records=_BATCH)
            for partition, records in polled.items():
                # What was written after we looked can only be a dead owner's, see `Guard`.
                wanted = [record for record in records if record.offset < ends[partition]]
                self._apply(TP(partition.topic, partition.partition), wanted)
                count += len(wanted)
                reach(CrashPoint.RESTORE_HALFWAY)
            ends = {p: end for p, end in ends.items() if await consumer.position(p) < end}
        return count

    def _apply(self, tp: TP, records: Iterable[Any]) -> None:
        messages = [_Message(tp, tp.partition, record.offset, record.key, record.value) for record in records]
        if messages:
            self.tp_to_table[tp].apply_changelog_batch([_Event(message) for message in messages])


class Tables(TableManager):  # type: ignore[misc]
    """Faust's table manager, with our recovery."""

    _recovery: Restore | None

    @property
    def recovery(self) -> Restore:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = Restore(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
