"""The stock in Postgres: which code is bound to which sale. Every method is one transaction and may be repeated.

The row of a sale is locked first, then the row of its code, so that what happens to one sale happens in some order.
No code is opened here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from bitloot.contracts.sales import CodeFate
from bitloot.contracts.sealed import SealedCode
from bitloot.errors import Cause, Refused
from bitloot.ids import CodeId, EffectId, OfferId, ProductId, ReservationId
from bitloot.ledger import translated

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

# Know of a sale from now on.
_MEET = """
insert into stock_sales (reservation_id, product_id, offer_id) values ($1, $2, $3) on conflict do nothing
"""

# Where a sale stands; nobody else changes it until we are done.
_HOLD = "select code_id, fate from stock_sales where reservation_id = $1 for update"

# The oldest free code of a product that nobody else is taking at this moment.
_NEXT = """
select id from stock_codes where product_id = $1 and state = 'free' order by id limit 1 for update skip locked
"""

# Bind a free code to a sale.
_BIND_CODE = "update stock_codes set state = 'reserved', reservation_id = $2, reserved_at = now() where id = $1"
_BIND_SALE = "update stock_sales set code_id = $2 where reservation_id = $1"

# From here on the code may have left us, and is bound to its sale for ever. After a second try nobody can say any more
# that it did not: one that was slow and sent nothing knows nothing of what the other did meanwhile.
_SEND = """
update stock_codes set state = 'sent', sent_at = coalesce(sent_at, now()),
    sent_by = case state when 'reserved' then $3 end
where id = $1 and reservation_id = $2 and state in ('reserved', 'sent')
returning sealed
"""

# The only try that there was says that nothing left.
_KEEP = """
update stock_codes set state = 'reserved', sent_at = null, sent_by = null
where id = $1 and sent_by = $2 and state = 'sent'
"""

# Give a code back that never left us.
_FREE = """
update stock_codes set state = 'free', reservation_id = null, reserved_at = null
where id = $1 and state = 'reserved'
returning id
"""

# How a code ended.
_END_CODE = """
update stock_codes set state = $2, sent_at = coalesce(sent_at, now()), settled_at = now() where id = $1
"""

# How a sale ended, and whether it keeps its code.
_END_SALE = "update stock_sales set fate = $2, code_id = $3, settled_at = now() where reservation_id = $1"


class Stock:
    """The codes that we sell. Methods raise `Transient` while Postgres is away."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def reserve(
        self, reservation_id: ReservationId, product_id: ProductId, offer_id: OfferId | None
    ) -> CodeId | None:
        """Return the sale's code: the one that it has, else the next free one; None when there is none for it."""
        async with self._held(reservation_id, product_id, offer_id) as (connection, sale):
            if sale["fate"] is not None or sale["code_id"] is not None:
                known: CodeId | None = sale["code_id"]
                return known
            code_id: CodeId | None = await connection.fetchval(_NEXT, product_id)
            if code_id is not None:
                await connection.execute(_BIND_CODE, code_id, reservation_id)
                await connection.execute(_BIND_SALE, reservation_id, code_id)
            return code_id

    async def send(self, reservation_id: ReservationId, code_id: CodeId, effect_id: EffectId) -> SealedCode:
        """Mark the sale's code as one that may have left us, and return it, sealed. Raises `Refused`."""
        async with self._held(reservation_id) as (connection, sale):
            if sale["fate"] is None and sale["code_id"] == code_id:
                sealed = await connection.fetchval(_SEND, code_id, reservation_id, effect_id)
                if sealed is not None:
                    return SealedCode.model_validate(sealed)
        raise Refused(Cause.CONFLICT, "the sale is over, or has another code")

    async def keep(self, code_id: CodeId, effect_id: EffectId) -> None:
        """Take `send` back: this try sent nothing. It stays as it is when another try, before or since, may have."""
        with translated():
            await self._pool.execute(_KEEP, code_id, effect_id)

    async def settle(self, reservation_id: ReservationId, fate: CodeFate) -> CodeFate:
        """Record how the sale ended; return what stands: a code that may have left us is never free again."""
        async with self._held(reservation_id) as (connection, sale):
            code_id: CodeId | None = sale["code_id"]
            stands = await _end(connection, code_id, fate)
            kept = None if stands is CodeFate.FREE else code_id
            await connection.execute(_END_SALE, reservation_id, stands, kept)
            return stands

    @asynccontextmanager
    async def _held(
        self,
        reservation_id: ReservationId,
        product_id: ProductId | None = None,
        offer_id: OfferId | None = None,
    ) -> AsyncIterator[tuple[Connection, asyncpg.Record]]:
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_MEET, reservation_id, product_id, offer_id)
                held = await connection.fetchrow(_HOLD, reservation_id)
                if held is None:
                    raise LookupError(f"the sale {reservation_id} is gone")
                yield connection, held


async def _end(connection: Connection, code_id: CodeId | None, fate: CodeFate) -> CodeFate:
    if code_id is None:
        return CodeFate.FREE
    if fate is CodeFate.FREE:
        if await connection.fetchval(_FREE, code_id) is not None:
            return CodeFate.FREE
        fate = CodeFate.WITHHELD
    await connection.execute(_END_CODE, code_id, fate)
    return fate
