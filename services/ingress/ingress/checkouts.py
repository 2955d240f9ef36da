"""What Postgres knows of orders that the shop places: `personal_keys`, `checkouts`, and the read model's `orders`."""

import asyncio
import secrets
from datetime import datetime
from uuid import UUID

import asyncpg

from bitloot.contracts.events import PaymentInstructions
from bitloot.errors import Cause, Transient
from bitloot.ids import OrderId
from bitloot.personal import KEY_BYTES, PersonalKey, key_of
from ingress.ports import Begun, KnownOrder, Opened

# One round trip for what is asked of each order: its key, made now if there is none, and with a new key the first
# request noted; else the first request and what the sink has written. A row of the read model without its hash was made
# from a later event and says nothing yet. Only rows that were committed while this ran are not seen.
_OPEN = """
WITH made AS (
    INSERT INTO personal_keys (order_id, key) VALUES ($1, $2) ON CONFLICT (order_id) DO NOTHING RETURNING key
), noted AS (
    INSERT INTO checkouts (order_id, request_hash, placed_at)
    SELECT $1, $3, $4 FROM made WHERE $5
    ON CONFLICT (order_id) DO NOTHING
    RETURNING request_hash, placed_at
)
SELECT
    made.key IS NOT NULL OR stored.order_id IS NOT NULL AS has_key,
    coalesce(made.key, stored.key) AS key,
    coalesce(noted.request_hash, first.request_hash) AS begun_hash,
    coalesce(noted.placed_at, first.placed_at) AS begun_at,
    placed.request_hash AS placed_hash, placed.placed_at, placed.payment_instructions
FROM (SELECT $1::uuid AS id) AS asked
LEFT JOIN made ON true
LEFT JOIN noted ON true
LEFT JOIN personal_keys AS stored ON stored.order_id = asked.id
LEFT JOIN checkouts AS first ON first.order_id = asked.id
LEFT JOIN orders AS placed
    ON placed.id = asked.id AND placed.request_hash IS NOT NULL AND placed.placed_at IS NOT NULL
"""

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

_CANNOT_SAY = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresError,
    asyncpg.InterfaceError,  # the connection was closed under us
    asyncpg.InternalClientError,  # the same, noticed by asyncpg in the middle of something
)


class PostgresCheckouts:
    """Asks through a pool that may have no connection; waits at most `patience` seconds."""

    def __init__(self, pool: asyncpg.Pool, *, patience: float) -> None:
        self._pool = pool
        self._patience = patience

    async def open(self, order_id: OrderId, request: str, now: datetime, *, begin: bool) -> Opened:
        """See `ports.Checkouts`."""
        mine = PersonalKey(order_id, new := secrets.token_bytes(KEY_BYTES))
        row = None
        while row is None or not row["has_key"]:
            row = await self._row(_OPEN, order_id, new, mine.digest(request), now, begin)
        return Opened(
            key=key_of(order_id, row["key"]),
            begun=None if row["begun_hash"] is None else Begun(row["begun_hash"], row["begun_at"]),
            placed=None if row["placed_hash"] is None else _known(row),
        )

    async def begin(self, order_id: OrderId, begun: Begun) -> Begun:
        """See `ports.Checkouts`."""
        row = None
        while row is None:
            row = await self._row(_BEGIN, order_id, begun.request_hash, begun.placed_at)
        return Begun(row["request_hash"], row["placed_at"])

    async def _row(self, query: str, order_id: OrderId, *values: object) -> asyncpg.Record | None:
        try:
            async with asyncio.timeout(self._patience):
                return await self._pool.fetchrow(query, UUID(order_id), *values)
        except _CANNOT_SAY as error:
            raise Transient(Cause.DATABASE_UNAVAILABLE, type(error).__name__) from error


def _known(row: asyncpg.Record) -> KnownOrder:
    given = row["payment_instructions"]
    payment = None if given is None else PaymentInstructions.model_validate(given)
    return KnownOrder(row["placed_hash"], row["placed_at"], payment)
