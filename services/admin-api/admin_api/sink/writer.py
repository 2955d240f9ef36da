"""Raw records into the database; what cannot be used into the dead letters."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from admin_api.sink import rows
from admin_api.sink.batch import Batch, Decoder
from admin_api.sink.source import RawRecord, Topics
from admin_api.sink.store import REFUSALS, Move, Partition, Store
from bitloot import log
from bitloot.dead_letters import Allowance, put_aside, reason
from bitloot.errors import Cause, Transient
from bitloot.health import Health
from bitloot.kafka import Producer
from bitloot.ledger import translated

_AT_ONCE = 32
"""So many records are decoded before whatever else waits has its turn: the batch before, which is being written."""
_DEFECTS_PER_MINUTE = 30  # a bad release must not divert whole topics: it waits, red, for the next one

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one poll gave, decoded; `records` are all of it."""

    records: Sequence[RawRecord]
    batch: Batch


class Writer:
    """Writes what one poll gave. Dead letters are acknowledged by Kafka before the offsets move past them."""

    def __init__(self, store: Store, topics: Topics, producer: Producer, health: Health) -> None:
        self._store = store
        self._decoder = Decoder(topics)
        self._dead_letters = topics.dead_letters
        self._defects = Allowance(_DEFECTS_PER_MINUTE)
        self._defects.register(health, rows.CONSUMER)
        self._producer = producer

    async def offsets(self, beginnings: Mapping[Partition, int]) -> dict[Partition, int]:
        """Return where to read on, given where the partitions begin. Raises `Transient`."""
        with _waited_for():
            return await self._store.offsets(beginnings)

    async def confirm(self, cursors: Mapping[Partition, int]) -> None:
        """Make sure that the database still says what was read from. Raises `Transient` and `Overtaken`."""
        with _waited_for():
            await self._store.confirm(cursors)

    async def prepare(self, records: Sequence[RawRecord]) -> Prepared:
        """Decode records; what cannot be used is a dead letter then. Raises `Transient`."""
        batch = Batch()
        for number, raw in enumerate(self._decoder.in_order(records), 1):
            try:
                self._decoder.add(batch, raw)
            except Exception as error:  # noqa: BLE001 - one record must not stop the others
                await self._put_aside(raw, error)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return Prepared(records, batch)

    async def write(self, prepared: Prepared, moves: Mapping[Partition, Move]) -> None:
        """Write what was prepared and move the offsets: all or nothing. Raises `Transient` and `Overtaken`."""
        with _waited_for():
            try:
                await self._store.write(prepared.batch, moves)
            except REFUSALS as error:
                _log.warning("sink.batch_refused", error=type(error).__name__, records=len(prepared.records))
                # What cannot be decoded has been put aside before.
                await self._store.write_apart(prepared.records, moves, self._decoder.usable, self._put_aside)

    async def _put_aside(self, raw: RawRecord, error: Exception) -> None:
        if reason(error) is Cause.DEFECT and not self._defects.take():
            raise Transient(Cause.DEFECT, f"too many records fail, the last one with {type(error).__name__}") from error
        if raw.topic == self._dead_letters.name:
            # A letter about a letter would come back here for ever. It stays in its topic.
            where = {"partition": raw.partition, "offset": raw.offset}
            _log.critical("sink.dead_letter_skipped", **where, exc_info=error)
            return
        await put_aside(self._producer, rows.CONSUMER, raw, error, topic=self._dead_letters)


@contextmanager
def _waited_for() -> Iterator[None]:
    """Take every failure of Postgres as passing: besides outages a schema not migrated yet, or a bug.

    The sink then stands still, red, and loses nothing.
    """
    with translated():
        try:
            yield
        except asyncpg.PostgresError as error:
            raise Transient(Cause.DATABASE_UNAVAILABLE, f"PostgreSQL: {type(error).__name__}") from error
