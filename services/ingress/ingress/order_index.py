"""What the read model knows of orders that were placed before."""

import asyncio
from uuid import UUID

import asyncpg

from bitloot.contracts.events import PaymentInstructions
from bitloot.errors import Cause, Transient
from bitloot.ids import OrderId
from ingress.ports import KnownOrder

# The sink writes it; a row without its hash was made from a later event and says nothing yet.
_FIND = """
SELECT request_hash, placed_at, payment_instructions FROM orders
WHERE id = $1 AND request_hash IS NOT NULL AND placed_at IS NOT NULL
"""

CANNOT_SAY = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresError,
    asyncpg.InterfaceError,  # the connection was closed under us
    asyncpg.InternalClientError,  # the same, noticed by asyncpg in the middle of something
)


class PostgresOrderIndex:
    """Reads `orders` through a pool that may have no connection; waits at most `patience` seconds."""

    def __init__(self, pool: asyncpg.Pool, *, patience: float) -> None:
        self._pool = pool
        self._patience = patience

    async def find(self, order_id: OrderId) -> KnownOrder | None:
        """Return what is known of the order. Raises `Transient` when the database cannot say."""
        try:
            async with asyncio.timeout(self._patience):
                row = await self._pool.fetchrow(_FIND, UUID(order_id))
        except CANNOT_SAY as error:
            raise Transient(Cause.DATABASE_UNAVAILABLE, type(error).__name__) from error
        if row is None:
            return None
        given = row["payment_instructions"]
        payment = None if given is None else PaymentInstructions.model_validate(given)
        return KnownOrder(row["request_hash"], row["placed_at"], payment)
