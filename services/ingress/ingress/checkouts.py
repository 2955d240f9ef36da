"""The table `checkouts`: which orders the shop has begun to place."""

import asyncio
from uuid import UUID

import asyncpg

from bitloot.errors import Cause, Transient
from bitloot.ids import OrderId
from ingress.order_index import CANNOT_SAY
from ingress.ports import Begun

# The first one stands. Only a row that was committed while this ran is seen by neither branch.
_BEGIN = """
WITH begun AS (
    INSERT INTO checkouts (order_id, request_hash, placed_at) VALUES ($1, $2, $3)
    ON CONFLICT (order_id) DO NOTHING
    RETURNING request_hash, placed_at
)
SELECT request_hash, placed_at FROM begun
UNION ALL
SELECT request_hash, placed_at FROM checkouts WHERE order_id = $1
"""


class PostgresCheckouts:
    """Writes through a pool that may have no connection; waits at most `patience` seconds."""

    def __init__(self, pool: asyncpg.Pool, *, patience: float) -> None:
        self._pool = pool
        self._patience = patience

    async def begin(self, order_id: OrderId, begun: Begun) -> Begun:
        """See `ports.Checkouts`."""
        row = None
        try:
            async with asyncio.timeout(self._patience):
                while row is None:
                    row = await self._pool.fetchrow(_BEGIN, UUID(order_id), begun.request_hash, begun.placed_at)
        except CANNOT_SAY as error:
            raise Transient(Cause.DATABASE_UNAVAILABLE, type(error).__name__) from error
        return Begun(row["request_hash"], row["placed_at"])
