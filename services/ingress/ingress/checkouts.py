"""What Postgres knows of orders that the shop places: `personal_keys`, `checkouts`, and the read model's `orders`."""

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from bitloot.contracts.events import PaymentInstructions
from bitloot.errors import Cause, Transient
from bitloot.ids import OrderId
from bitloot.ledger import Together
from bitloot.personal import KEY_BYTES, PersonalKey, key_of
from ingress.ports import Begun, KnownOrder, Opened

# One round trip for what is asked of orders: their keys, made now where there are none, and with new keys the first
# requests noted; else the first requests and what the sink has written. A row of the read model without its hash was
# made from a later event and says nothing yet. Only a key that was committed while this ran is not seen: then its
# order has no row.
_OPEN = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::timestamptz[], $5::boolean[])
        AS each (id, key, request_hash, placed_at, begin)
), made AS (
    INSERT INTO personal_keys (order_id, key) SELECT id, key FROM asked ORDER BY id
    ON CONFLICT (order_id) DO NOTHING
    RETURNING order_id, key
), noted AS (
    INSERT INTO checkouts (order_id, request_hash, placed_at)
    SELECT asked.id, asked.request_hash, asked.placed_at FROM asked JOIN made ON made.order_id = asked.id
    WHERE asked.begin ORDER BY asked.id
    ON CONFLICT (order_id) DO NOTHING
    RETURNING order_id, request_hash, placed_at
)
SELECT
    asked.id::text AS id, coalesce(made.key, stored.key) AS key,
    coalesce(noted.request_hash, first.request_hash) AS begun_hash,
    coalesce(noted.placed_at, first.placed_at) AS begun_at,
    placed.request_hash AS placed_hash, placed.placed_at, placed.payment_instructions
FROM asked
LEFT JOIN made ON made.order_id = asked.id
LEFT JOIN noted ON noted.order_id = asked.id
LEFT JOIN personal_keys AS stored ON stored.order_id = asked.id
LEFT JOIN checkouts AS first ON first.order_id = asked.id
LEFT JOIN orders AS placed
    ON placed.id = asked.id AND placed.request_hash IS NOT NULL AND placed.placed_at IS NOT NULL
WHERE made.order_id IS NOT NULL OR stored.order_id IS NOT NULL
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


@dataclass(frozen=True, slots=True)
class _Request:
    """What an order is opened with: a key that it may get, and what is noted with it."""

    key: bytes
    request_hash: str
    now: datetime
    begin: bool


class PostgresCheckouts:
    """Asks through a pool that may have no connection; waits at most `patience` seconds.

    Orders that are opened while others are on their way to Postgres go there together.
    """

    def __init__(self, pool: asyncpg.Pool, *, patience: float) -> None:
        self._pool = pool
        self._patience = patience
        self._opening: Together[_Request, asyncpg.Record] = Together(self._open_all)

    async def open(self, order_id: OrderId, request: str, now: datetime, *, begin: bool) -> Opened:
        """See `ports.Checkouts`."""
        mine = PersonalKey(order_id, new := secrets.token_bytes(KEY_BYTES))
        wanted = _Request(new, mine.digest(request), now, begin)
        row = None
        with _in_our_words():
            async with asyncio.timeout(self._patience):
                while row is None:
                    row = await self._opening(order_id, wanted)
        return Opened(
            key=key_of(order_id, row["key"]),
            begun=None if row["begun_hash"] is None else Begun(row["begun_hash"], row["begun_at"]),
            placed=None if row["placed_hash"] is None else _known(row),
        )

    async def _open_all(self, wanted: Mapping[str, _Request]) -> Mapping[str, asyncpg.Record]:
        each = wanted.values()
        columns = (
            [UUID(order_id) for order_id in wanted],
            [one.key for one in each],
            [one.request_hash for one in each],
            [one.now for one in each],
            [one.begin for one in each],
        )
        with _in_our_words():
            async with asyncio.timeout(self._patience):
                rows = await self._pool.fetch(_OPEN, *columns)
        return {row["id"]: row for row in rows}

    async def begin(self, order_id: OrderId, begun: Begun) -> Begun:
        """See `ports.Checkouts`."""
        row = None
        with _in_our_words():
            async with asyncio.timeout(self._patience):
                while row is None:
                    row = await self._pool.fetchrow(_BEGIN, UUID(order_id), begun.request_hash, begun.placed_at)
        return Begun(row["request_hash"], row["placed_at"])


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except _CANNOT_SAY as error:
        raise Transient(Cause.DATABASE_UNAVAILABLE, type(error).__name__) from error


def _known(row: asyncpg.Record) -> KnownOrder:
    given = row["payment_instructions"]
    payment = None if given is None else PaymentInstructions.model_validate(given)
    return KnownOrder(row["placed_hash"], row["placed_at"], payment)
