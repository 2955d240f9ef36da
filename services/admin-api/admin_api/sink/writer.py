"""Raw records into the database; what cannot be used into the dead letters."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import asyncpg

from admin_api.sink.batch import Batch, Decoder
from admin_api.sink.rows import dead_letter
from admin_api.sink.source import RawRecord, Topics
from admin_api.sink.store import REFUSALS, Move, Partition, Store
from bitloot import log, metrics, trace
from bitloot.contracts.codec import encode
from bitloot.errors import Cause, Malformed, Transient
from bitloot.kafka import Producer
from bitloot.ledger import translated

_log = log.get(__name__)


class Writer:
    """Writes what one poll gave. Dead letters are acknowledged by Kafka before the offsets move past them."""

    def __init__(self, store: Store, topics: Topics, producer: Producer) -> None:
        self._store = store
        self._decoder = Decoder(topics)
        self._dead_letters = topics.dead_letters.name
        self._producer = producer

    async def offsets(self, beginnings: Mapping[Partition, int]) -> dict[Partition, int]:
        """Return where to read on, given where the partitions begin. Raises `Transient`."""
        with _waited_for():
            return await self._store.offsets(beginnings)

    async def confirm(self, cursors: Mapping[Partition, int]) -> None:
        """Make sure that the database still says what was read from. Raises `Transient` and `Overtaken`."""
        with _waited_for():
            await self._store.confirm(cursors)

    async def write(self, records: Sequence[RawRecord], moves: Mapping[Partition, Move]) -> None:
        """Write records and move the offsets: all or nothing. Raises `Transient` and `Overtaken`."""
        batch = Batch()
        for raw in records:
            try:
                self._decoder.add(batch, raw)
            except Exception as error:  # noqa: BLE001 - one record must not stop the others
                await self._put_aside(raw, error)
        with _waited_for():
            try:
                await self._store.write(batch, moves)
            except REFUSALS as error:
                _log.warning("sink.batch_refused", error=type(error).__name__, records=len(records))
                await self._write_each(records, moves)

    async def _write_each(self, records: Sequence[RawRecord], moves: Mapping[Partition, Move]) -> None:
        usable: list[tuple[RawRecord, Batch]] = []
        for raw in records:
            batch = Batch()
            try:
                self._decoder.add(batch, raw)
            except Exception:  # noqa: BLE001, S112 - it has been put aside before
                continue
            usable.append((raw, batch))

        async def refuse(index: int, error: Exception) -> None:
            await self._put_aside(usable[index][0], error)

        await self._store.write_each([batch for _, batch in usable], moves, refuse)

    async def _put_aside(self, raw: RawRecord, error: Exception) -> None:
        origin = raw.origin
        defect = not isinstance(error, Malformed)
        letter = dead_letter(raw, error, "".join(traceback.format_exception(error)) if defect else "")
        fields = {"topic": origin.topic, "partition": origin.partition, "offset": origin.offset}
        metrics.DEAD_LETTERS.labels(origin.topic, letter.reason).inc()
        if origin.topic == self._dead_letters:
            # A letter about a letter would come back here for ever. It stays in its topic.
            _log.critical("sink.dead_letter_lost", **fields, error=letter.error, stack=letter.stack)
            return
        _log.error("sink.dead_letter", **fields, reason=letter.reason, error=letter.error, stack=letter.stack)
        await self._producer.send_raw(self._dead_letters, raw.key, encode(letter), trace.headers())


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
