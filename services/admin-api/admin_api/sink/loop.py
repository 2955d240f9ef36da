"""The sink's loop: poll, write, go on; from the stored offsets after every doubt."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter

from aiokafka.errors import KafkaError

from admin_api.sink.ahead import OneAhead
from admin_api.sink.progress import Progress
from admin_api.sink.reader import Reader
from admin_api.sink.source import RawRecord, Topics, recorded_at
from admin_api.sink.store import Move, Overtaken, Partition
from admin_api.sink.writer import Prepared, Writer
from bitloot import log, metrics
from bitloot.backoff import delay
from bitloot.cluster import LogLost, complaints
from bitloot.consumer import first_of
from bitloot.errors import Cause, Transient
from bitloot.health import Gate, Health
from bitloot.settings import KafkaSettings
from bitloot.standstill import Standstill
from bitloot.witness import Witness

GROUP = "sink"

_BASE = timedelta(seconds=0.25)
_CAP = timedelta(seconds=5)
_FEW = 20
_MANY = 200
_GATHER_SECONDS = 0.05
_GATHER_MORE_SECONDS = 0.2
_WATCH_SECONDS = 2.0
_SILENCE_SECONDS = 30.0  # then the consumer is made anew: aiokafka has been seen not to come back by itself
_STALL_SECONDS = 120.0  # every wait in the loop is shorter

_offset = attrgetter("offset")
_log = log.get(__name__)


def gather_seconds(taken: int, waiting: Callable[[], int]) -> float:
    """Return for how long to let more records come together when so many were taken and so many are known to wait.

    What waits is asked only where it counts: not in a backlog.

    A transaction costs the same for one record as for a hundred, and of an order's snapshots only the newest is
    written. It is the shorter, the less there is: people who work by themselves see at once what they did. Nothing
    that moves an order waits for the sink.
    """
    if taken >= _MANY or waiting() >= _MANY:
        return 0.0
    return _GATHER_SECONDS if taken < _FEW else _GATHER_MORE_SECONDS


class Sink:
    """Follows the topics until it is canceled. Outages of Kafka and Postgres are waited for.

    A log that is not the one that the read model is from is refused: neither ready nor alive, until it is back or
    a person has decided.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        writer: Writer,
        health: Health,
        *,
        topics: Topics,
        witness: Witness,
        group: str = GROUP,
    ) -> None:
        self.progress = Progress()
        self._settings = settings
        self._writer = writer
        self._topics = topics
        self._group = group
        self._witness = witness
        self._failures = 0
        self._lost: LogLost | None = None
        self._standstill: Standstill[Partition] = Standstill()
        self._turned_at = time.monotonic()
        self._following: Gate = health.gate("sink", "not following yet")
        health.register("sink loop", self._check_loop, vital=True)
        metrics.LOG_LOST.labels(group).set_function(lambda: self._lost is not None)

    async def run(self) -> None:
        """Read and write, for ever."""
        while True:
            try:
                async with self._reader() as reader:
                    await first_of(self._follow(reader), self._watch(reader))
            except LogLost as error:
                self._refuse(error)
                await self._wait(error)
            except (KafkaError, Transient) as error:
                await self._wait(error)

    def _reader(self) -> Reader:
        return Reader(
            self._settings,
            self._topics.names,
            group=self._group,
            client_id=self._settings.service_instance,
            witness=self._witness,
        )

    async def _follow(self, reader: Reader) -> None:
        """Place and read, anew for each era and after each failure of the database."""
        while True:
            self._turned_at = time.monotonic()
            if reader.silence() > _SILENCE_SECONDS:
                raise Transient(Cause.BROKER_UNAVAILABLE, "Kafka has not answered for a while")
            try:
                await self._read(reader, reader.era)
            except Overtaken as error:
                _log.info("sink.overtaken", detail=str(error))
            except Transient as error:
                await self._wait(error)

    async def _read(self, reader: Reader, era: int) -> None:
        """Read from the stored offsets until the era ends or Kafka falls silent."""
        cursors = await self._place(reader, era)
        async with OneAhead() as writing:
            while era == reader.era and reader.silence() <= _SILENCE_SECONDS:
                self._turned_at = time.monotonic()
                records = await reader.poll(cursors)
                if era != reader.era:
                    return
                if records:
                    await self._hand_over(writing, cursors, records)
                    waiting = partial(reader.waiting, cursors)
                    if seconds := gather_seconds(sum(map(len, records.values())), waiting):
                        await writing.settle()
                        await asyncio.sleep(seconds)
                else:  # an idle sink, too, must hear of a rebuild and of a database that is away
                    await writing.settle()
                    await self._writer.confirm(cursors)
                self._failures = 0
                self._lost = None
                self._following.open()

    async def _place(self, reader: Reader, era: int) -> dict[Partition, int]:
        """Return the stored offset of each partition that is ours, and read on from there."""
        bounds = await reader.bounds()
        cursors = await self._writer.offsets({each: first for each, (first, _) in bounds.items()}) if bounds else {}
        if era != reader.era:
            return {}
        for partition, (first, end) in bounds.items():
            _check_bounds(partition, cursors[partition], first, end)
        reader.seek({each: max(cursor, bounds[each][0]) for each, cursor in cursors.items()})
        self.progress.place(cursors)
        self.progress.found_ends({each: end for each, (_, end) in bounds.items()})
        _log.info("sink.placed", partitions=len(cursors), lag=sum(self.progress.lags().values()))
        return cursors

    async def _hand_over(
        self, writing: OneAhead, cursors: dict[Partition, int], records: Mapping[Partition, Sequence[RawRecord]]
    ) -> None:
        """Prepare one poll's records, move the cursors, and have them written once those before them are.

        PostgreSQL writes a batch while the next one is being read and decoded.
        """
        # A fetch may begin earlier than asked for, as batches are stored whole.
        new = {each: fresh for each, found in records.items() if (fresh := _from(found, cursors[each]))}
        if not new:
            return
        moves = {each: Move(cursors[each], found[-1].offset + 1) for each, found in new.items()}
        prepared = await self._writer.prepare([raw for found in new.values() for raw in found])
        cursors.update({each: move.new for each, move in moves.items()})
        oldest = {each: recorded_at(found[0]) for each, found in new.items()}
        newest = max(recorded_at(found[-1]) for found in new.values())
        await writing.begin(self._write(prepared, moves, oldest, newest))

    async def _write(
        self,
        prepared: Prepared,
        moves: Mapping[Partition, Move],
        oldest: Mapping[Partition, datetime],
        newest: datetime,
    ) -> None:
        for each, since in oldest.items():
            self.progress.took(each, since)
        started = time.perf_counter()
        await self._writer.write(prepared, moves)
        self.progress.wrote(moves, newest)
        duration = round((time.perf_counter() - started) * 1000, 2)
        _log.debug("sink.wrote", records=len(prepared.records), partitions=len(moves), duration_ms=duration)

    async def _watch(self, reader: Reader) -> None:
        """Ask Kafka now and then where the partitions end: the lag, and a sign of life; and whose they are.

        Raises `LogLost`.
        """
        while True:
            try:
                self.progress.found_ends(await reader.ends())
                found = complaints(reader.cluster, await reader.look())
            except KafkaError:
                found = []
            if found:
                raise LogLost(*found)
            # While we wait for something outside, nothing moves, and no restart would help.
            waits = await self._following() is not None
            self._standstill.note({} if waits else self.progress.behind(), time.monotonic())
            await asyncio.sleep(_WATCH_SECONDS)

    def _refuse(self, error: LogLost) -> None:
        if self._lost is None or str(self._lost) != str(error):
            _log.critical("sink.log_lost", error=str(error))
        self._lost = error

    async def _wait(self, error: Exception) -> None:
        self._turned_at = time.monotonic()
        self._failures += 1
        detail = str(error) if isinstance(error, Transient | LogLost) else type(error).__name__
        self._following.close(detail)
        wait = delay(self._failures, _BASE, seed=self._settings.service_instance, cap=_CAP)
        _log.warning("sink.waiting", error=detail, seconds=round(wait.total_seconds(), 2))
        await asyncio.sleep(wait.total_seconds())

    async def _check_loop(self) -> str | None:
        if self._lost is not None:
            return str(self._lost)
        now = time.monotonic()
        if now - self._turned_at > _STALL_SECONDS:
            return f"no turn for {now - self._turned_at:.0f} s"
        return self._standstill.complaint(now, _STALL_SECONDS)


def _from(records: Sequence[RawRecord], cursor: int) -> Sequence[RawRecord]:
    """Return the records, in the order of their offsets, that do not lie before the cursor."""
    return records[bisect_left(records, cursor, key=_offset) :]


def _check_bounds(partition: Partition, cursor: int, first: int, end: int) -> None:
    """Complain about records that are gone. Raises `LogLost` when there is no telling what the topic now holds."""
    name = f"{partition[0]}/{partition[1]}"
    if cursor > end:
        raise LogLost(f"{name} ends at {end}, but was read up to {cursor}")
    if cursor < first:
        _log.error("sink.expired_unread", partition=name, records=first - cursor)
        metrics.RECORDS_EXPIRED.labels(partition[0]).inc(first - cursor)
