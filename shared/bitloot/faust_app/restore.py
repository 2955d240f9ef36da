"""Tables come back from their changelogs, completely, before an event is handled.

Stock Faust reads changelogs through the queues of its event flow. These are cleared while records are in them, and
records fetched for paused partitions are dropped, so that a table can miss some (tried: with two workers that are
killed and frozen in turn, a few of 3,000 events were gone). Here each changelog is read by a consumer of its own,
from the record after the last one that RocksDB has, to the end; nothing else is in between.
"""

import asyncio
import time
from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service

from bitloot import log
from bitloot.crash_points import CrashPoint, reach
from bitloot.faust_app import changelog

_POLL_MS = 1_000
_BATCH = 500  # records written in one go; events wait for nothing else on this loop

_log = log.get(__name__)


class Restore(Recovery):  # type: ignore[misc]
    """Restores the tables of newly assigned partitions, then lets events flow."""

    _term = 0  # of what is ours: what was fetched in an older one is not written

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Write to no store any more, from this moment on: its database may be closed."""
        self._term += 1
        super().on_partitions_revoked(revoked)

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

    def add_standby(self, table: Any, tp: TP) -> None:
        """Note a partition to follow; stock Faust opens its database here, and fails when it cannot yet."""
        self.standby_tps.add(tp)
        self.standbys_for_table[table].add(tp)
        self.tp_to_table[tp] = table

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
            records = await self._unless_rebalanced(self._restore())
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
        self.mark()
        app.standbys.follow({tp: self.tp_to_table[tp].data for tp in self.standby_tps})
        app.on_rebalance_end()

    def mark(self) -> None:
        """Note that the tables of our partitions are complete, as they are while events flow."""
        for tp in self.active_tps if self.app.ready else ():
            self.tp_to_table[tp].data.mark(tp.partition)

    async def _unless_rebalanced(self, work: Any) -> Any:
        """Return the result of `work`; raise `RebalanceAgain` or `ServiceStopped` if that comes first."""
        task = asyncio.ensure_future(work)
        try:
            await self._wait(task)
        finally:
            if not task.done():
                task.cancel()
        return task.result()

    async def _restore(self) -> int:
        """Read the changelogs to their present ends; return how many records that were."""
        stores, term = {tp: self.tp_to_table[tp].data for tp in self.active_tps}, self._term
        async with changelog.reading(self.app, "restore") as consumer:
            known = await changelog.extents(consumer, stores)
            if term != self._term:
                raise RebalanceAgain
            ends, count = changelog.begin(consumer, stores, known), 0
            while ends:
                polled = await consumer.getmany(*ends, timeout_ms=_POLL_MS, max_records=_BATCH)
                if term != self._term:
                    raise RebalanceAgain
                for partition, records in polled.items():
                    # What was written after we looked can only be a dead owner's, see `Guard`.
                    stores[TP(*partition)].apply(partition.partition, changelog.changes(records, ends[partition]))
                    count += len(records)
                    reach(CrashPoint.RESTORE_HALFWAY)
                ends = {p: end for p, end in ends.items() if await consumer.position(p) < end}
        return count


class Tables(TableManager):  # type: ignore[misc]
    """Faust's table manager, with our recovery."""

    _recovery: Restore | None

    @property
    def recovery(self) -> Restore:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = Restore(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Follow nobody until it is known who follows whom. Called by Faust."""
        self.app.standbys.release()
        super().on_partitions_revoked(revoked)

    async def on_stop(self) -> None:
        """Follow nobody any more. Called by Faust."""
        self.app.standbys.release()
        await super().on_stop()
