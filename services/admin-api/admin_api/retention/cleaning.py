"""Deletes from Postgres what the retention table says, in small parts or whole months, so that nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg

from admin_api.retention.months import drop_months, keep_months
from admin_api.retention.table import POSTGRES, Rule
from bitloot import log
from bitloot.errors import Transient
from bitloot.ledger import translated

_AT_ONCE = 500
_EVERY_SECONDS = 3600.0

_log = log.get(__name__)


async def clean(pool: asyncpg.Pool) -> dict[str, int]:
    """Delete all that is due; return how many rows of which table. Raises `Transient` while Postgres is away."""
    return {rule.name: count async for rule, count in _cleaned(pool) if count}


async def _cleaned(pool: asyncpg.Pool) -> AsyncIterator[tuple[Rule, int]]:
    for rule in POSTGRES:
        if rule.sql is None or rule.kept is None:
            continue
        total = await _months(pool, rule.kept.days) if rule.by_month else 0
        while count := await _part(pool, rule.sql, rule.kept.days):
            total += count
        yield rule, total


async def _months(pool: asyncpg.Pool, days: int) -> int:
    dropped = await drop_months(pool, days)
    await keep_months(pool, days)
    return dropped


async def _part(pool: asyncpg.Pool, sql: str, days: int) -> int:
    with translated():
        status: str = await pool.execute(sql, days, _AT_ONCE)
    return int(status.rpartition(" ")[2])


async def keep_clean(pool: asyncpg.Pool) -> None:
    """Clean now and each hour, for ever. Several processes may: each takes what the others have not locked."""
    while True:
        try:
            if deleted := await clean(pool):
                _log.info("retention.cleaned", **deleted)
        except (Transient, asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
            _log.warning("retention.put_off", error=type(error).__name__)
        await asyncio.sleep(_EVERY_SECONDS)
