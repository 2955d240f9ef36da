"""The partitions of the log of notifications, a month (UTC) each: made before anything is written into them.

What finds no partition is caught by the net, the default partition, and leaves it when its month is there.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import asyncpg

from admin_api.database import Connection
from admin_api.sink.batch import Batch
from admin_api.sql import named_queries
from bitloot import log

_SQL = named_queries("admin_api.sink")
_log = log.get(__name__)


class Months:
    """Remembers which months need no more looking after."""

    def __init__(self) -> None:
        self._known: set[tuple[int, int]] = set()

    async def prepare(self, connection: Connection, batch: Batch) -> None:
        """Make the partitions that a batch needs, in transactions of their own."""
        times = [row["first_received_at"].astimezone(UTC) for row in batch.webhooks.values()]
        needed = {(time.year, time.month) for time in times}
        for year, month in sorted(needed - self._known):
            if await add_months(connection, [datetime(year, month, 1, tzinfo=UTC)]):
                self._known.add((year, month))


async def add_months(connection: Connection, moments: Iterable[datetime]) -> bool:
    """Make the partitions for the months of some moments where they are missing.

    Returns False when somebody held them up for too long: the net has what comes meanwhile.
    """
    for moment in moments:
        try:
            name = await connection.fetchval(_SQL["add_month"], moment)
        except asyncpg.LockNotAvailableError:
            _log.warning("sink.month_put_off", month=f"{moment:%Y-%m}")
            return False
        if name is not None:
            _log.info("sink.month_added", partition=name)
    return True
