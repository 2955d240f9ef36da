"""Personal keys in memory: `Buyers`. The key of an order is made of its id, so that any test can seal and open."""

import hashlib

import asyncpg

from bitloot.errors import Cause, Malformed, Refused, Transient
from bitloot.ids import OrderId
from bitloot.personal import PersonalKey, StoredKey, erased


def key_of(order: str) -> PersonalKey:
    """Return the key of an order in tests."""
    return PersonalKey(OrderId(order), _key_bytes(order))


def sealed(order: str, text: str) -> str:
    """Return a text sealed for an order."""
    return key_of(order).seal(text)


def opened(order: str, text: str) -> str:
    """Return what was sealed for an order."""
    return key_of(order).open(text)


class FakeBuyers:
    """Every order has a key, unless its buyer is in `gone`; `away` fails as a database that is gone does."""

    def __init__(self) -> None:
        self.away = False
        self.gone: set[str] = set()

    async def of(self, order_id: OrderId) -> PersonalKey:
        if self.away:
            raise Transient(Cause.DATABASE_UNAVAILABLE, "PostgreSQL: ConnectionRefusedError")
        if order_id in self.gone:
            raise erased()
        return key_of(order_id)

    def stored(self, order_id: OrderId) -> StoredKey:
        """Return what the table has of the order."""
        if self.away:
            raise Transient(Cause.DATABASE_UNAVAILABLE, "PostgreSQL: ConnectionRefusedError")
        return StoredKey(order_id, is_known=True, _key=None if order_id in self.gone else _key_bytes(order_id))

    async def seal(self, order_id: OrderId, text: str) -> str:
        return (await self.of(order_id)).seal(text)

    async def open(self, order_id: OrderId, sealed: str) -> str:
        try:
            return (await self.of(order_id)).open(sealed)
        except Malformed as error:
            raise Refused(error.cause, error.detail) from error


async def keep_key(connection: asyncpg.Connection | asyncpg.Pool, order: str) -> None:
    """Let the database have an order's key, as whoever placed it did."""
    await connection.execute(
        "insert into personal_keys (order_id, key) values ($1::text::uuid, $2) on conflict do nothing",
        order,
        _key_bytes(order),
    )


def _key_bytes(order: str) -> bytes:
    return hashlib.sha512(order.encode()).digest()
