"""The log of notifications is kept in months: those to come are made ahead, and what is old goes month by month."""

import re
from datetime import UTC, datetime

import asyncpg

from admin_api.database import Connection, Pool
from admin_api.sink.months import add_months
from admin_api.sql import named_queries
from bitloot import log
from bitloot.ledger import translated

_AHEAD = 2
_PATIENCE = "2s"
"""Who waits for the lock of the whole table keeps all others waiting."""
_DROP_SECONDS = 600.0
_NAME = re.compile(r"webhook_logs_(\d{4})_(\d{2})")

_SQL = named_queries("admin_api.retention")
_log = log.get(__name__)


async def keep_months(pool: Pool, days: int) -> None:
    """Make the partitions of this month and the next ones, and of what the net has caught of the last `days` days.

    Raises `Transient` while Postgres is away.
    """
    with translated():
        async with pool.acquire() as connection:
            rows = await connection.fetch(_SQL["months_needed"], _AHEAD, days)
            await add_months(connection, [row["moment"] for row in rows])


async def drop_months(pool: Pool, days: int) -> int:
    """Drop the months that ended more than `days` days ago; return how many notifications went with them.

    Those of open orders, and those that came again since, go into the net. Raises `Transient` while Postgres is away.
    """
    dropped = 0
    with translated():
        async with pool.acquire() as connection:
            for row in await connection.fetch(_SQL["months"]):
                if _is_over(row["name"], row["now"], days):
                    dropped += await _dropped(connection, row["name"], days)
    return dropped


def _is_over(name: str, now: datetime, days: int) -> bool:
    match = _NAME.fullmatch(name)
    if match is None:
        return False
    year, month = int(match[1]), int(match[2])
    ends = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return (now - ends).days >= days


async def _dropped(connection: Connection, name: str, days: int) -> int:
    try:
        async with connection.transaction():
            await connection.execute("select set_config('lock_timeout', $1, true)", _PATIENCE)
            await connection.execute(_SQL["hold_month"].format(month=name))
            forgotten = await connection.execute(_SQL["forget_keys"].format(month=name), days, timeout=_DROP_SECONDS)
            spared = await connection.fetchval(_SQL["spared"].format(month=name), days, timeout=_DROP_SECONDS)
            await connection.execute(_SQL["detach_month"].format(month=name))
            await connection.execute(_SQL["spare"].format(month=name), spared, timeout=_DROP_SECONDS)
            await connection.execute(f"drop table {name}")
    except (asyncpg.LockNotAvailableError, asyncpg.UndefinedTableError) as error:  # somebody reads long, or was first
        _log.warning("retention.month_put_off", partition=name, error=type(error).__name__)
        return 0
    _log.info("retention.month_dropped", partition=name, spared=len(spared))
    return int(forgotten.rpartition(" ")[2])
