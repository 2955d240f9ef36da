"""Looks now and then at the read model as a whole: what stands still, and what providers should have told us.

A provider that has switched our endpoint off, or that we refuse, sends no errors: it is silent. So for each thing that
it should have told of, a payment, a purchase, a mail, we look whether it has (docs/runbooks/provider-silent.md).
"""

import asyncio
from typing import Final

import asyncpg

from admin_api.sql import named_queries
from bitloot import log, metrics
from bitloot.contracts.state import CLOSED, OrderStatus
from bitloot.errors import Transient
from bitloot.ledger import translated

PROVIDERS: Final = ("kinguin", "nowpayments", "resend")
STUCK_SECONDS: Final = 900.0
WINDOW_SECONDS: Final = 3600.0
MARGIN_SECONDS: Final = 300.0

_EVERY_SECONDS = 30.0
_OPEN = frozenset(OrderStatus) - CLOSED - {OrderStatus.UNPLACED}
_SQL = named_queries("admin_api.sink", "standing.sql")
_LAST_NOTIFICATIONS = named_queries("admin_api")["last_notifications"]

_log = log.get(__name__)


class Standing:
    """Sets the gauges that only the whole read model can tell. Every sink does; their figures are the same."""

    def __init__(self, pool: asyncpg.Pool, *, every: float = _EVERY_SECONDS) -> None:
        self._pool = pool
        self._every = every

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            try:
                await self.look()
            except Transient as error:  # the sink itself tells that the database is away
                _log.warning("standing.not_seen", cause=error.cause)
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Look once. Raises `Transient` while the database is away or not migrated."""
        with translated():
            orders = await self._pool.fetch(_SQL["orders"], STUCK_SECONDS, sorted(_OPEN))
            notices = await self._pool.fetch(_SQL["notices"], WINDOW_SECONDS + MARGIN_SECONDS, MARGIN_SECONDS)
            newest = await self._pool.fetch(_LAST_NOTIFICATIONS)
        counts = {row["status"]: row["orders"] for row in orders}
        for status in _OPEN:
            metrics.ORDERS_OPEN.labels(status).set(counts.get(status, 0))
        metrics.ORDERS_STUCK.set(sum(row["stuck"] for row in orders))
        metrics.ORDERS_OLDEST_SECONDS.set(max((row["oldest_seconds"] for row in orders), default=0.0))
        told = {row["provider"]: row for row in notices}
        for provider in PROVIDERS:
            row = told.get(provider)
            metrics.NOTICES_EXPECTED.labels(provider).set(row["expected"] if row else 0)
            metrics.NOTICES_SEEN.labels(provider).set(row["seen"] if row else 0)
        for row in newest:
            metrics.NOTICE_AGE_SECONDS.labels(row["provider"]).set(row["age_seconds"])
