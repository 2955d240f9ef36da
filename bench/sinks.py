"""How many rows the sink writes a second, beside the best that asyncpg does with the very same rows.

The sink reads full topics into an empty read model. Then the rows that came of it go into a second, equally empty
database, by COPY into a table beside and one idempotent `insert … on conflict do update` for each thousand. What the
sink does more: it reads and decodes Kafka's records, several of which often make one row, opens what is sealed of the
buyer, and keeps its offsets. Tables, indexes, partitions and durability are the same for both.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from admin_api.migrations import migrate
from admin_api.rebuild.shadow import READ_TABLES
from bench.buyers import give_keys, sealed_anew
from bench.recording import Told, copies
from bench.stage import Drained, Stage, drain
from bitloot.contracts.topics import ORDER_EVENTS, ORDER_STATE, WEBHOOKS_LOG

TOPICS = (ORDER_EVENTS, ORDER_STATE, WEBHOOKS_LOG)
_AT_ONCE = 1000
_LOOK_SECONDS = 0.05
_READ = "select coalesce(sum(next_offset), 0)::bigint from sink_offsets where topic = any($1::text[])"
_CONFLICT = """
select string_agg(quote_ident(attribute.attname), ', ' order by place.number)
from pg_index, unnest(indkey) with ordinality as place(attnum, number)
join pg_attribute attribute on attribute.attrelid = $1::regclass and attribute.attnum = place.attnum
where indrelid = $1::regclass and indisprimary
group by indexrelid
"""


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of both. `rows` are those in the read model at the end, `records` those that they came of."""

    sink: Drained
    rows: int
    records: int
    best_seconds: float

    @property
    def sink_rows(self) -> float:
        """Return the sink's rows per second: as many as came of the records that were measured, after the first."""
        return self.rows / self.records * self.sink.per_second

    @property
    def best_rows(self) -> float:
        """Return asyncpg's rows per second."""
        return self.rows / self.best_seconds

    @property
    def ratio(self) -> float:
        """Return the sink's rows per second as a part of asyncpg's."""
        return self.sink_rows / self.best_rows


async def measure(
    directory: Path,
    settings: Mapping[str, str],
    recorded: Mapping[str, Sequence[Told]],
    *,
    rounds: int,
    times: int,
) -> Sequence[Round]:
    """Return `rounds` measurements of `times` what was recorded."""
    return [await _round(directory, settings, recorded, times) for _ in range(rounds)]


async def _round(
    directory: Path, settings: Mapping[str, str], recorded: Mapping[str, Sequence[Told]], times: int
) -> Round:
    async with Stage(directory, settings, stores=True) as stage:
        for topic in TOPICS:
            await stage.fill(topic, sealed_anew(copies(recorded[topic.name], times)))
        await give_keys(stage.postgres.dsn, copies(recorded[ORDER_STATE.name], times))
        count = times * sum(len(recorded[topic.name]) for topic in TOPICS)
        connection = await asyncpg.connect(stage.postgres.dsn)
        try:
            async with stage.service("sink") as process:
                names = [topic.name for topic in TOPICS]
                drained = await drain(
                    lambda: connection.fetchval(_READ, names), [process.pid], count, every=_LOOK_SECONDS
                )
            found = {table: await connection.fetch(f"select * from {table}") for table in READ_TABLES}
            await connection.execute("create database best")
            best = await _best(_other(stage.postgres.dsn, "best"), found)
        finally:
            await connection.close()
        return Round(drained, sum(map(len, found.values())), count, best)


async def _best(dsn: str, found: Mapping[str, Sequence[asyncpg.Record]]) -> float:
    """Return the seconds that it takes to write these rows."""
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        seconds = 0.0
        for table, rows in found.items():
            if rows:
                seconds += await _write(connection, table, rows)
        return seconds
    finally:
        await connection.close()


async def _write(connection: "asyncpg.Connection[asyncpg.Record]", table: str, rows: Sequence[asyncpg.Record]) -> float:
    generated = await _generated(connection, table)
    names = [name for name in rows[0].keys() if name not in generated]  # noqa: SIM118 - a record iterates over its values
    columns = ", ".join(names)
    news = ", ".join(f"{name} = excluded.{name}" for name in names)
    key = await connection.fetchval(_CONFLICT, table)
    await connection.execute(f"create temp table beside as select {columns} from {table} limit 0")
    begun = time.perf_counter()
    for at in range(0, len(rows), _AT_ONCE):
        records = [tuple(row[name] for name in names) for row in rows[at : at + _AT_ONCE]]
        async with connection.transaction():
            await connection.copy_records_to_table("beside", records=records, columns=names)
            await connection.execute(
                f"insert into {table} ({columns}) overriding system value select {columns} from beside"
                f" on conflict ({key}) do update set {news}; truncate beside"
            )
    seconds = time.perf_counter() - begun
    await connection.execute("drop table beside")
    return seconds


async def _generated(connection: "asyncpg.Connection[asyncpg.Record]", table: str) -> set[str]:
    rows = await connection.fetch(
        "select attname from pg_attribute where attrelid = $1::regclass and attgenerated <> ''", table
    )
    return {row["attname"] for row in rows}


def _other(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
