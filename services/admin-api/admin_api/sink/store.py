"""Postgres, as the sink writes to it: rows and offsets in one transaction."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import asyncpg
from pydantic_core import to_json

from admin_api.database import Connection, Pool
from admin_api.erasure.erase import erase_within
from admin_api.notices import CHANNEL, MAX_IDS
from admin_api.sink.batch import Batch, Unique
from admin_api.sink.months import Months
from admin_api.sink.personal import opened
from admin_api.sink.rows import OrderRows, Row
from admin_api.sink.source import RawRecord
from admin_api.sink.zeros import without_zeros
from admin_api.sql import named_queries
from bitloot import metrics
from bitloot.crash_points import CrashPoint, reach

_SQL = named_queries("admin_api.sink")
_IN_COLUMNS = ("order_events", "code_hashes", "webhook_logs")
"""What there is most of goes to Postgres column by column: it reads JSON in twice the time."""
_NAMES = re.compile(r"^insert into [^(]*\(([^)]*)\)", re.MULTILINE)
_COLUMNS = {table: _NAMES.findall(_SQL[f"write_{table}"])[0].replace(",", " ").split() for table in _IN_COLUMNS}
"""The parameters of their queries: the columns that they write, in the order in which they name them."""

_CLAIM = ("provider", "external_id", "event_type", "id", "first_received_at")
"""The parameters of `claim_webhook_logs`."""

REFUSALS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.CardinalityViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""What Postgres raises because of the rows and not of its own state: trying again changes nothing."""

Partition: TypeAlias = tuple[str, int]
"""A topic and a number."""


class Overtaken(Exception):  # noqa: N818 - it names what happened
    """The stored offsets are not those that were read from: another sink moved them. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Move:
    """The offset of a partition before and after a batch."""

    expected: int
    new: int


@dataclass(slots=True)
class Written:
    """What a transaction has written, for the metrics: they count when it is committed."""

    rows: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)

    def count(self) -> None:
        """Set the metrics."""
        for table, rows in self.rows.items():
            metrics.SINK_ROWS.labels(table).inc(rows)
        for provider, notifications in self.duplicates.items():
            metrics.WEBHOOKS_DUPLICATE.labels(provider).inc(notifications)


class Store:
    """Writes batches. All methods raise what asyncpg raises."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._months = Months()

    async def offsets(self, beginnings: Mapping[Partition, int]) -> dict[Partition, int]:
        """Return where to read on; a partition that was never read starts where `beginnings` says."""
        async with self._pool.acquire() as connection, connection.transaction():
            known = await _known(connection, beginnings.keys())
            new = beginnings.keys() - known.keys()
            if not new:
                return known
            await connection.executemany(_SQL["begin_partition"], [(*each, beginnings[each]) for each in sorted(new)])
            return await _known(connection, beginnings.keys())

    async def confirm(self, cursors: Mapping[Partition, int]) -> None:
        """Make sure that the offsets are still those that were read from. Raises `Overtaken`."""
        async with self._pool.acquire() as connection:
            if await _known(connection, cursors) != cursors:
                raise Overtaken("the stored offsets are others than those read from")

    async def write(self, batch: Batch, moves: Mapping[Partition, Move]) -> None:
        """Write a batch and move the offsets: all or nothing. Raises `Overtaken`."""
        async with self._pool.acquire() as connection:
            await self._months.prepare(connection, batch)
            async with connection.transaction():
                await _move(connection, moves)
                written = await _write(connection, batch)
                reach(CrashPoint.SINK_WRITTEN)
            reach(CrashPoint.SINK_COMMITTED)
            written.count()

    async def write_apart(
        self,
        records: Sequence[RawRecord],
        moves: Mapping[Partition, Move],
        batch_of: Callable[[Sequence[RawRecord]], Batch],
        refuse: Callable[[RawRecord, Exception], Awaitable[None]],
    ) -> None:
        """Write records that Postgres refused as one batch, leaving out those that it refuses by themselves.

        They are found by halves: by one record after the other a slow Postgres would take longer than a sink may stand
        still. `refuse` is told each that is left out and its error, before anything is committed.
        """
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                await _move(connection, moves)
                written = await _write_apart(connection, records, batch_of, refuse)
            for each in written:
                each.count()


async def _known(connection: Connection, partitions: Iterable[Partition]) -> dict[Partition, int]:
    pairs = list(partitions)
    rows = await connection.fetch(
        _SQL["known_offsets"], [topic for topic, _ in pairs], [partition for _, partition in pairs]
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def _move(connection: Connection, moves: Mapping[Partition, Move]) -> None:
    moved = await connection.fetch(
        _SQL["move"],
        [topic for topic, _ in moves],
        [partition for _, partition in moves],
        [move.expected for move in moves.values()],
        [move.new for move in moves.values()],
    )
    if len(moved) != len(moves):
        raise Overtaken(f"{len(moves) - len(moved)} of {len(moves)} partitions were moved by another sink")


async def _write_apart(
    connection: Connection,
    records: Sequence[RawRecord],
    batch_of: Callable[[Sequence[RawRecord]], Batch],
    refuse: Callable[[RawRecord, Exception], Awaitable[None]],
) -> list[Written]:
    try:
        async with connection.transaction():  # a savepoint
            return [await _write(connection, batch_of(records))]
    except REFUSALS as error:
        if len(records) == 1:
            await refuse(records[0], error)
            return []
    half = len(records) // 2
    return [
        each
        for part in (records[:half], records[half:])
        for each in await _write_apart(connection, part, batch_of, refuse)
    ]


async def _write(connection: Connection, batch: Batch) -> Written:
    written = Written()
    orders = await opened(connection, batch.orders) if batch.orders else {}
    changed = await _write_orders(connection, orders, written) if orders else []
    for table, rows in (
        ("order_events", batch.events),
        ("code_hashes", batch.code_hashes),
        ("dead_letters", batch.dead_letters),
    ):
        await _insert(connection, table, rows, written)
    logs = await _write_webhooks(connection, batch.webhooks, written) if batch.webhooks else []
    if batch.erased:
        await erase_within(connection, batch.erased)
    await _tell(connection, batch, logs)
    await _count_waits(connection, changed)
    return written


async def _write_webhooks(connection: Connection, webhooks: Mapping[Unique, Row], written: Written) -> list[int]:
    """Write notifications under the keys that their rows have, or get; return the ids of the rows."""
    rows = dict(webhooks)
    in_order = [rows[unique] for unique in sorted(rows)]
    for row in in_order:
        if row["repeats"]:
            written.duplicates[row["provider"]] += row["repeats"]
    known_before = await connection.fetch(
        _SQL["claim_webhook_logs"],
        *([row[name] for row in in_order] for name in _CLAIM),
    )
    for claim in known_before:
        unique = (claim["provider"], claim["external_id"], claim["event_type"])
        known, key = (claim["known_id"], claim["known_since"]), (claim["log_id"], claim["first_received_at"])
        if known != key:
            await connection.execute(_SQL["move_webhook_log"], *known, *key)
        written.duplicates[claim["provider"]] += 1
        rows[unique] = rows[unique] | {"id": key[0], "first_received_at": key[1]}
    await _insert(connection, "webhook_logs", rows, written)
    return [row["id"] for row in rows.values()]


async def _tell(connection: Connection, batch: Batch, logs: Iterable[int]) -> None:
    """Tell the desk what is new once this is committed."""
    orders = sorted({*batch.orders, *(order_id for order_id, _ in batch.events)})
    found = {
        "order": orders,
        "webhook_log": sorted(map(str, logs)),
        "dead_letter": sorted(str(row["id"]) for row in batch.dead_letters.values()),
    }
    notices = [{"kind": kind, "ids": ids if len(ids) <= MAX_IDS else []} for kind, ids in found.items() if ids]
    if notices:
        texts = [to_json(notice).decode() for notice in notices]
        await connection.execute("select pg_notify($1, notice) from unnest($2::text[]) as notice", CHANNEL, texts)


async def _write_orders(
    connection: Connection, orders: Mapping[str, OrderRows], written: Written
) -> list[asyncpg.Record]:
    """Write orders with their parts; return what `write_orders` does."""
    rows: dict[Unique, Row] = {(order_id,): each.order for order_id, each in orders.items()}
    changed = await connection.fetch(_SQL["write_orders"], _json([rows[key] for key in sorted(rows)]))
    written.rows["orders"] += len(changed)
    newer = [orders[row["id"]] for row in changed]
    # By key: a payment that two orders claim must not be in one statement twice, and always goes to the same one.
    parts: dict[str, dict[Unique, Row]] = {
        "order_items": {(str(row["id"]),): row for each in newer for row in each.items},
        "keys": {(str(row["order_item_id"]), str(row["position"])): row for each in newer for row in each.keys},
        "payments": _newest((row for each in newer for row in each.payments), "updated_at"),
        "reservations": _newest((row for each in newer for row in each.reservations), "reserved_at"),
    }
    for table, found in parts.items():
        await _insert(connection, table, found, written)
    versions = [{"id": each.order["id"], "version": each.order["version"]} for each in newer]
    await connection.execute(_SQL["drop_superseded"], _json(versions))
    return changed


async def _count_waits(connection: Connection, changed: Iterable[asyncpg.Record]) -> None:
    """Count how long buyers waited. All sinks count in the same rows: this comes last, so that none holds them long."""
    changes: list[tuple[datetime, datetime, int]] = []
    for row in changed:
        before, now = (row["paid_before"], row["mailed_before"]), (row["paid_at"], row["mailed_at"])
        if before != now:
            changes += [(*waited, change) for waited, change in ((before, -1), (now, 1)) if None not in waited]
    if changes:
        await connection.execute(_SQL["count_waits"], *(list(column) for column in zip(*changes, strict=True)))
        if any(change < 0 for *_, change in changes):
            await connection.execute(_SQL["drop_no_waits"])


def _newest(rows: Iterable[Row], when: str) -> dict[Unique, Row]:
    """Return rows by id, of those with the same one the newest by the column `when`; the query does the same."""
    ranked = sorted(rows, key=lambda row: (datetime.fromisoformat(row[when]), row["order_id"]))
    return {(str(row["id"]),): row for row in ranked}


async def _insert(connection: Connection, table: str, rows: Mapping[Unique, Row], written: Written) -> None:
    """Write rows in the order of their keys, so that two sinks that lock the same ones never wait in a circle."""
    if not rows:
        return
    in_order = [rows[key] for key in sorted(rows)]
    names = _COLUMNS.get(table)
    values = [_json(in_order)] if names is None else [[row[name] for row in in_order] for name in names]
    answer = await connection.execute(_SQL[f"write_{table}"], *values)
    written.rows[table] += int(answer.rpartition(" ")[2])  # INSERT 0 17


def _json(rows: Sequence[Row]) -> str:
    return without_zeros(to_json(rows)).decode()
