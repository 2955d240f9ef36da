"""The filling itself: batches of orders with all that belongs to them."""

from collections.abc import Callable
from typing import Any

import asyncpg

from admin_api.access.audit import AuditLog, Entry, Result
from admin_api.access.rights import Asker, Role
from admin_api.sql import named_queries
from bitloot.ledger import open_pool

LOGS_PER_ORDER = 10
_ORDERS_AT_ONCE = 10_000
_ORDERS_PER_AUDIT_ENTRY = 500
_SQL = named_queries("bench.seeding", "fill.sql")
TABLES = tuple(name for name in _SQL if name not in {"begin", "indexes", "choose", "end_batch"})
"""What is filled, in this order."""
_SEED = Asker("seed", "command", frozenset({Role.ADMIN}))


class NotEmpty(Exception):  # noqa: N818 - it names what is wrong
    """The database has rows already."""


async def fill(dsn: str, logs: int, *, beside_others: bool, told: Callable[[str], None]) -> int:
    """Write so many notifications and a tenth as many orders, all or nothing; return how many orders.

    Nobody else can use the tables meanwhile: their indexes are made anew at the end, which takes a third of the time.
    Raises `NotEmpty` when there is something already, unless it may stand beside that.
    """
    orders = max(logs // LOGS_PER_ORDER, 1)
    connection: asyncpg.Connection[Any] = await asyncpg.connect(dsn)
    try:
        if not beside_others and (full := [table for table in TABLES if await _has_rows(connection, table)]):
            raise NotEmpty(", ".join(full))
        async with connection.transaction():
            await connection.execute(_SQL["begin"])
            indexes = await connection.fetch(_SQL["indexes"], TABLES)
            for index in indexes:
                await connection.execute(f"drop index {index['name']}")
            await _fill_tables(connection, orders, told)
            for number, index in enumerate(indexes, start=1):
                await connection.execute(index["definition"])
                await connection.execute(index["commented"])
                told(f"{number} of {len(indexes)} indexes")
        await _write_audit(dsn, orders // _ORDERS_PER_AUDIT_ENTRY)
        for table in (*TABLES, "webhook_log_keys", "audit_log"):
            await connection.execute(f"vacuum analyze {table}")
    finally:
        await connection.close()
    return orders


async def _fill_tables(connection: "asyncpg.Connection[Any]", orders: int, told: Callable[[str], None]) -> None:
    for first in range(1, orders + 1, _ORDERS_AT_ONCE):
        last = min(first + _ORDERS_AT_ONCE - 1, orders)
        await connection.execute(_SQL["choose"], first, last, orders)
        for table in TABLES:
            await connection.execute(_SQL[table])
        await connection.execute(_SQL["end_batch"])
        told(f"{last:,} of {orders:,} orders")


async def _has_rows(connection: "asyncpg.Connection[Any]", table: str) -> bool:
    found: bool = await connection.fetchval(f"select exists (select from {table})")  # noqa: S608 - ours
    return found


async def _write_audit(dsn: str, entries: int) -> None:
    """Write entries as the desk does: the chain of hashes stays whole."""
    async with open_pool(dsn, max_size=1) as pool:
        audit = AuditLog(pool)
        for number in range(entries):
            action = ("reprocessOrder", "sendMailAgain", "unmaskOrder", "replayDeadLetters")[number % 4]
            await audit.add(Entry(_SEED, action, f"seeded-{number}", Result.DONE, "a seeded entry"))
