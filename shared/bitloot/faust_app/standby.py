"""Standbys: copies of other workers' tables, kept up in the background, so that a takeover has little left to read.

Faust's assignor says which partitions to follow, one copy of each when there are two workers or more, and prefers
whoever has a copy when an owner is gone. Faust's own standbys fill through queues that lose records (see `restore`);
here their changelogs are read as for restoring. Following is given up before partitions are shared out anew, and
begins again when events flow: each database has one writer at any time. Whatever fails here is told and tried again;
the partitions that are ours never wait for it.
"""

import asyncio
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from bitloot import log, metrics
from bitloot.cluster import LogLost
from bitloot.faust_app import changelog
from bitloot.faust_app.store import Store

_POLL_MS = 500
_BATCH = 500  # records written in one go: a few milliseconds
_AGAIN_SECONDS = 2.0
_STUCK_SECONDS = 60.0
_MARK_SECONDS = 10.0

_log = log.get(__name__)


@dataclass(slots=True)
class _Copy:
    """How far the copy of one partition is."""

    lag: int | None = None
    moved_at: float = 0.0
    marked_at: float = -math.inf


class Standbys:
    """Follows the changelogs that it is given. `stuck` is in seconds."""

    def __init__(self, app: Any, stuck: float = _STUCK_SECONDS) -> None:
        self._app = app
        self._stuck = stuck
        self._stores: Mapping[TP, Store] = {}
        self._copies: dict[TP, _Copy] = {}
        self._term = 0  # of what is followed: what was fetched in an older one is not written
        self._given = asyncio.Event()
        self._failure: str | None = None

    def follow(self, stores: Mapping[TP, Store]) -> None:
        """Keep up these partitions from now on, until `release`."""
        self.release()
        self._stores = dict(stores)
        self._copies = {tp: _Copy(moved_at=time.monotonic()) for tp in stores}
        if stores:
            self._given.set()

    def release(self) -> None:
        """Write to no store any more, from this moment on."""
        self._term += 1
        for tp in self._copies:
            metrics.STANDBY_LAG.remove(tp.topic, str(tp.partition))
        self._stores, self._copies = {}, {}
        self._given.clear()

    async def run(self) -> None:
        """Follow until canceled; raises nothing."""
        while True:
            await self._given.wait()
            try:
                await self._session()
                self._failure = None
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and tried again
                # Texts of foreign errors may hold addresses with passwords; what a check tells is public.
                self._failure = str(error) if isinstance(error, LogLost) else type(error).__name__
                expected = isinstance(error, LogLost | KafkaError)
                _log.warning("standbys.failed", error=repr(error), exc_info=None if expected else error)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def check(self) -> str | None:
        """Return why copies are not kept up, or None. They may lag, as long as they move."""
        if not self._stores:
            return None
        if self._failure is not None:
            return f"copies of other workers' tables are not kept up: {self._failure}"
        now = time.monotonic()
        stuck = [
            f"{tp.topic}/{tp.partition}"
            for tp, copy in self._copies.items()
            if copy.lag != 0 and now - copy.moved_at > self._stuck
        ]
        return f"copies of other workers' tables stand still: {', '.join(sorted(stuck))}" if stuck else None

    @property
    def lags(self) -> dict[TP, int | None]:
        """How many records each copy lacks; None where that is not known yet."""
        return {tp: copy.lag for tp, copy in self._copies.items()}

    async def _session(self) -> None:
        """Follow with one consumer, until there is nothing to follow."""
        async with changelog.reading(self._app, "standby") as consumer:
            while self._stores:
                await self._follow(consumer, self._term)

    async def _follow(self, consumer: AIOKafkaConsumer, term: int) -> None:
        """Follow for one term."""
        stores = self._stores
        known = await changelog.extents(consumer, stores)
        if term == self._term:
            ends = changelog.begin(consumer, stores, known)
            self._note(dict.fromkeys(stores, 0) | {TP(*p): end - await _at(consumer, p) for p, end in ends.items()})
        while term == self._term:
            polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH)
            if term != self._term:
                return
            began = time.monotonic()
            self._write(stores, polled)
            self._failure = None
            lags = {TP(*p): await _lag(consumer, p) for p in consumer.assignment()}
            if term == self._term:
                self._note(lags, moved={TP(*partition) for partition, records in polled.items() if records})
            if polled:
                await asyncio.sleep(time.monotonic() - began)  # half of the time is for the events

    def _write(self, stores: Mapping[TP, Store], polled: Mapping[TopicPartition, Sequence[Any]]) -> None:
        for partition, records in polled.items():
            stores[TP(*partition)].apply(partition.partition, changelog.changes(records))

    def _note(self, lags: Mapping[TP, int | None], moved: Collection[TP] = ()) -> None:
        now = time.monotonic()
        for tp, lag in lags.items():
            copy = self._copies[tp]
            if lag == 0 or tp in moved:
                copy.moved_at = now
            if lag is not None:
                copy.lag = lag
                if lag == 0 and now - copy.marked_at > _MARK_SECONDS:
                    copy.marked_at = now
                    self._stores[tp].mark(tp.partition)
                metrics.STANDBY_LAG.labels(tp.topic, str(tp.partition)).set(lag)


async def _at(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
    position: int = await consumer.position(partition)
    return position


async def _lag(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    end = consumer.highwater(partition)
    return None if end is None else max(0, end - await _at(consumer, partition))
