"""A buyer's personal data, sealed under a key of its order: who destroys the key has erased it everywhere.

The mail address stands in logs that nothing is taken out of (Kafka) and in copies that nobody can list. There it is
sealed, with AES-256-SIV (RFC 5297): the order's id is bound to it, and the same text gives the same sealed text, so
that a repeated record is the same record, and two addresses can be compared without being known. The keys are rows
of `personal_keys` in PostgreSQL, which really deletes (`docs/adr/0032`).
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

import asyncpg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from bitloot.errors import Cause, Malformed, Refused
from bitloot.ids import OrderId
from bitloot.ledger import translated

VERSION: Final = "p1:"
KEY_BYTES: Final = 64
"""Of AES-256-SIV: two keys of 32 bytes."""
PATIENCE_SECONDS: Final = 5.0

# The first key stands. Only a row that was committed while this ran is seen by neither branch.
_MAKE = """
WITH made AS (
    INSERT INTO personal_keys (order_id, key) VALUES ($1, $2) ON CONFLICT (order_id) DO NOTHING RETURNING key
)
SELECT key FROM made
UNION ALL
SELECT key FROM personal_keys WHERE order_id = $1
"""
_FIND = "SELECT key FROM personal_keys WHERE order_id = $1"


@dataclass(frozen=True, slots=True)
class PersonalKey:
    """The key of one order. Its methods are pure."""

    order_id: OrderId
    _key: bytes = field(repr=False)

    def seal(self, text: str) -> str:
        """Return a text sealed: the same for the same text."""
        box = AESSIV(self._key).encrypt(text.encode(), [self.order_id.encode()])
        return VERSION + base64.urlsafe_b64encode(box).decode()

    def open(self, sealed: str) -> str:
        """Return what was sealed. Raises `Malformed` for what was not sealed with this key, for this order."""
        if not sealed.startswith(VERSION):
            raise Malformed(Cause.BROKEN_BOX, "this is no sealed text, or one of a later version")
        try:
            box = base64.b64decode(sealed.removeprefix(VERSION), altchars=b"-_", validate=True)
            return AESSIV(self._key).decrypt(box, [self.order_id.encode()]).decode()
        except (InvalidTag, ValueError):
            # No cause is chained: frames of a failed opening are nobody's business.
            raise Malformed(Cause.BROKEN_BOX, "the sealed text does not open") from None

    def digest(self, text: str) -> str:
        """Return a keyed hash, in hex, by which a text is known again, and cannot be guessed without the key."""
        return hmac.digest(self._key, b"bitloot request\0" + text.encode(), hashlib.sha256).hex()


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What the table holds of an order: its key, or a row whose key was destroyed, or no row (not `is_known`)."""

    order_id: OrderId
    is_known: bool
    _key: bytes | None = field(repr=False)

    def open(self, sealed: str) -> str:
        """Return what was sealed for the order. Raises `Refused` for what will never open."""
        if not self.is_known:
            raise Refused(Cause.UNKNOWN_KEY_ID, "there is no key for the buyer's data: was the database set back?")
        try:
            return key_of(self.order_id, self._key).open(sealed)
        except Malformed as error:
            raise Refused(error.cause, error.detail) from error


class Buyers(Protocol):
    """The personal data of buyers. All methods raise `Transient` while the keys cannot be reached.

    They raise `Refused` with `BUYER_ERASED` once an order's key was destroyed: for good.
    """

    async def of(self, order_id: OrderId) -> PersonalKey:
        """Return an order's key, made now if there is none."""
        ...

    async def seal(self, order_id: OrderId, text: str) -> str:
        """Seal a text for an order, whose key is made now if there is none."""
        ...

    async def open(self, order_id: OrderId, sealed: str) -> str:
        """Return what was sealed for an order. Raises `Refused` also for what does not open."""
        ...


def erased() -> Refused:
    """Return what is raised for an order whose key was destroyed."""
    return Refused(Cause.BUYER_ERASED, "the buyer's data was erased")


class PostgresBuyers:
    """`Buyers` on the table `personal_keys`; waits at most `patience` seconds."""

    def __init__(self, pool: asyncpg.Pool, *, patience: float = PATIENCE_SECONDS) -> None:
        self._pool = pool
        self._patience = patience

    async def of(self, order_id: OrderId) -> PersonalKey:
        """See `Buyers`: in whatever processes, an order gets one key."""
        row = None
        while row is None:
            row = await self._row(_MAKE, order_id, secrets.token_bytes(KEY_BYTES))
        return key_of(order_id, row["key"])

    async def seal(self, order_id: OrderId, text: str) -> str:
        """See `Buyers`."""
        return (await self.of(order_id)).seal(text)

    async def open(self, order_id: OrderId, sealed: str) -> str:
        """See `Buyers`."""
        row = await self._row(_FIND, order_id)
        return StoredKey(order_id, row is not None, None if row is None else row["key"]).open(sealed)

    async def _row(self, query: str, order_id: OrderId, *more: object) -> asyncpg.Record | None:
        with translated():
            async with asyncio.timeout(self._patience):
                return await self._pool.fetchrow(query, UUID(order_id), *more)


def key_of(order_id: OrderId, key: bytes | None) -> PersonalKey:
    """Return an order's key as it is stored. Raises `Refused` where it was destroyed."""
    if key is None:
        raise erased()
    return PersonalKey(order_id, key)
