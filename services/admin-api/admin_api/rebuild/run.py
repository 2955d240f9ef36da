"""The rebuild: build beside the tables in use, compare at the same offsets, put right in one transaction.

    1  Make empty tables in a schema of their own and fill them from Kafka, up to where the sinks are.
    2  Again and again, as the sinks go on meanwhile, until little is left.
    3  In one transaction: hold the sinks at their offsets, read up to exactly these, compare table by table, and
       where a table differs give it the rows that were built. What Kafka no longer has by its retention is taken
       over from the tables in use.

Until the end of 3 nobody sees a change, and a crash before it leaves nothing but tables that the next rebuild
drops. Readers see the old rows or the new ones, as of any transaction. Sinks go on where they were.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from admin_api.erasure.erase import SQL as ERASING
from admin_api.migrations import Connection
from admin_api.rebuild import shadow
from admin_api.rebuild.compare import Compared, compared, put_right
from admin_api.rebuild.expired import Expired
from admin_api.rebuild.filling import Filling
from admin_api.rebuild.history import History, open_history
from admin_api.settings import RebuildSettings
from admin_api.sink.source import Topics
from admin_api.sink.store import Partition, Store
from admin_api.sql import named_queries
from bitloot.cluster import Cluster, look_at
from bitloot.ledger import open_pool
from bitloot.settings import KafkaSettings
from bitloot.witness import PostgresWitness, Witness

_SQL = named_queries("admin_api.rebuild")
_LOCK = 0x6269_746C_6F6F_7401  # the migrations have the number before
_FEW = 2000  # records: the sinks are held while this many are written
_ROUNDS = 20
_LOGS = ("webhook_logs", "webhook_log_keys")

Progress = Callable[[int, int], None]
"""Is told how many records were read, and how many there are to read so far."""


class Impossible(Exception):  # noqa: N818 - it says what a rebuild is at the moment
    """It cannot be done now; the sentence says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came out: each table, the records that were read, and those that could not be used."""

    tables: tuple[Compared, ...]
    records: int
    skipped: int


async def rebuild(
    settings: RebuildSettings, progress: Progress, *, topics: Topics | None = None, drop_surplus: bool = False
) -> Rebuilt:
    """Rebuild the read model; returns how each table was and is.

    Rows that Kafka knows nothing of may be all that is left of a lost log: they are deleted with `drop_surplus` only.
    Raises `Impossible`, `LogLost`, `MigrationError`, `Transient`, KafkaError and asyncpg's errors: then nothing was
    changed.
    """
    topics = topics or Topics()
    dsn = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(_alone(dsn))
        live = await connection.fetchval("select current_schema()")
        await shadow.create(connection)
        stack.push_async_callback(_clear, connection)
        if strange := await shadow.unlike(connection, live):
            raise Impossible(f"The tables {', '.join(strange)} have other columns than this release gives them.")
        pool = await stack.enter_async_context(open_pool(shadow.address(dsn, live), max_size=2))
        known = await stack.enter_async_context(open_pool(dsn, max_size=1))
        log = _Log(settings, topics, PostgresWitness(known))
        history = await stack.enter_async_context(open_history(settings, await log.look()))
        filling = Filling(Store(pool), topics)
        expired = Expired(dsn, live, topics, history.bounds)
        return await _Rebuild(
            connection, live, history, filling, expired, log, progress, drop_surplus=drop_surplus
        ).run()


async def _clear(connection: Connection) -> None:
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # the next rebuild does it
        await shadow.drop(connection)


@asynccontextmanager
async def _alone(dsn: str) -> AsyncIterator[Connection]:
    """Connect, for as long as statements take. Raises `Impossible` when another rebuild runs."""
    connection: Connection = await asyncpg.connect(dsn)
    try:
        if not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):
            raise Impossible("Another rebuild runs.")
        yield connection
    finally:
        await connection.close()


class _Log:
    """The topics, as long as they are those that the read model is from."""

    def __init__(self, settings: KafkaSettings, topics: Topics, witness: Witness) -> None:
        self.topics = topics
        self._settings = settings
        self._witness = witness

    async def look(self) -> Cluster:
        """Make sure of it. Raises `LogLost`, `Impossible`, `Transient` and KafkaError."""
        cluster = await look_at(self._settings, self.topics.names)
        if missing := cluster.missing(self.topics.names):
            raise Impossible(f"Kafka does not have the topics {', '.join(missing)}.")
        await self._witness.confirm(cluster, self.topics.names)
        return cluster


class _Rebuild:
    def __init__(
        self,
        connection: Connection,
        live: str,
        history: History,
        filling: Filling,
        expired: Expired,
        log: _Log,
        progress: Progress,
        *,
        drop_surplus: bool,
    ) -> None:
        self._connection = connection
        self._live = live
        self._history = history
        self._filling = filling
        self._expired = expired
        self._log = log
        self._drop_surplus = drop_surplus
        self._progress = progress
        self._read = 0
        self._reached = {each: first for each, (first, _) in history.bounds.items()}

    async def run(self) -> Rebuilt:
        await self._expired.keep_letters(self._connection)
        for _ in range(_ROUNDS):
            if await self._read_to(await self._offsets()) < _FEW:
                break
        async with self._connection.transaction():
            await self._connection.execute(f"lock table {self._live}.sink_offsets in exclusive mode")
            await self._read_to(await self._offsets())
            await self._expired.keep_logs()
            await self._blank_erased()
            tables = tuple([await compared(self._connection, self._live, table) for table in shadow.READ_TABLES])
            if different := [each for each in tables if not each.equal]:
                await self._refuse_to_forget(different)
                await self._log.look()
                # A compacted topic may have replaced what the sinks have read by what they have not.
                await self._read_to(await self._history.ends())
                await self._blank_erased()
                for table in shadow.READ_TABLES:  # those that were equal have none of what was read since
                    await put_right(self._connection, self._live, table)
            await self._move_sinks()
        return Rebuilt(tables, self._read, self._filling.skipped)

    async def _offsets(self) -> dict[Partition, int]:
        """Return where the sinks are; for partitions that none has begun, where they ended at the start."""
        stored = await self._stored()
        offsets = {each: max(first, stored.get(each, end)) for each, (first, end) in self._history.bounds.items()}
        ends = await self._history.ends()
        for (topic, number), offset in offsets.items():
            if offset > ends[topic, number]:
                raise Impossible(f"{topic}/{number} ends before what the sinks have read: is it another broker?")
            if offset < self._reached[topic, number]:
                raise Impossible("The sinks were set back meanwhile.")
        return offsets

    async def _stored(self) -> dict[Partition, int]:
        rows = await self._connection.fetch(_SQL["offsets"].format(live=self._live))
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def _read_to(self, targets: Mapping[Partition, int]) -> int:
        """Fill the new tables up to these offsets; return how many records that were."""
        before = self._read
        wanted = before + sum(target - self._reached[each] for each, target in targets.items())
        async for records in self._history.read(targets):
            await self._filling.write(records)
            self._read += len(records)
            self._progress(self._read, max(wanted, self._read))
        self._reached = dict(targets)
        return self._read - before

    async def _blank_erased(self) -> None:
        """Take out what was opened for the new tables before its key was destroyed. Later erasures wait for us."""
        before = await self._connection.fetchval("show search_path")
        await self._connection.execute(f"set local search_path = {shadow.SCHEMA}, {self._live}")
        erased = [row["id"] for row in await self._connection.fetch(ERASING["erased_orders"])]
        await self._connection.execute(ERASING["blank_orders"], erased)
        await self._connection.execute("select set_config('search_path', $1, true)", before)

    async def _refuse_to_forget(self, different: list[Compared]) -> None:
        """Raise `Impossible` when rows may differ because Kafka has lost what they were made of."""
        topics = self._log.topics
        for each in different:
            if each.table == "order_events" and self._expired.is_cut(topics.events):
                raise Impossible(f"{_described(each)}, and older records were deleted from {topics.events.name}.")
            if each.table in _LOGS and (lost := await self._expired.lost_logs(self._connection)):
                raise Impossible(
                    f"{_described(each)}, and records of {lost} notifications were deleted from "
                    f"{topics.webhooks.name} before the {topics.webhooks.retention.days} days for which it keeps them."
                )
        if not self._drop_surplus and (surplus := [each for each in different if each.surplus]):
            raise Impossible(
                f"{'; '.join(map(_described, surplus))}. Kafka knows nothing of surplus rows: they may be all that is "
                "left of a lost log. To delete them, add --drop-surplus."
            )

    async def _move_sinks(self) -> None:
        """Where nothing differed this changes nothing, and the sinks do not notice."""
        query = _SQL["move_offset"].format(live=self._live)
        stored = await self._stored()
        moves = [(*each, offset) for each, offset in self._reached.items() if stored.get(each) != offset]
        if moves:
            await self._connection.executemany(query, moves)


def _described(each: Compared) -> str:
    return f"{each.table} differs ({each.missing} rows missing, {each.surplus} surplus, {each.changed} changed)"
