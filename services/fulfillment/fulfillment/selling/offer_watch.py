"""Keeps declared stock in line with ours, and what is wrong with our offers on record: one of the workers at a time."""

import asyncio
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg

from bitloot import log
from bitloot.errors import BitLootError, Cause
from bitloot.ids import OfferId, ProductId
from bitloot.ledger import translated
from bitloot.metrics import OFFER_PROBLEMS, STOCK_CODES
from fulfillment.selling.offers import Finding, Grant, Holdings, Plan, Problem, findings, plan
from fulfillment.selling.ports import OfferDesk

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

_GRANT_HOURS: Final = 6
"""A limit may be raised at any time, and nobody tells: after so long more is tried."""
_STATES: Final = ("free", "reserved", "sent", "delivered", "returned", "refunded", "reversed", "withheld")

# Whose turn it is; the lock ends with the transaction.
_TURN = "select pg_try_advisory_xact_lock(hashtext('stock_offers'), hashtext($1))"

# What we have of each product.
_HOLDINGS = """
select
    product_id, count(*) filter (where state in ('free', 'reserved')) as unsent,
    count(*) filter (where state = 'free') as free
from stock_codes group by product_id
"""

# How many codes are in which state, of all products.
_STOCK = "select state, count(*) as codes from stock_codes group by state"

# What we know of an offer from earlier.
_GRANTS = """
select
    offer_id, trouble, case when granted_at > now() - make_interval(hours => $1) then granted end as granted
from stock_offers
"""

# Keep an offer as it is now.
_KEEP = """
insert into stock_offers as o (
    offer_id, product_id, name, status, available, buyable, reserved, declared, declared_text, wanted, granted,
    granted_at, trouble, problems, read_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
    case when $11::int is null then null else now() end, $12, $13, now()
)
on conflict (offer_id) do update set
    product_id = excluded.product_id, name = excluded.name, status = excluded.status, available = excluded.available,
    buyable = excluded.buyable, reserved = excluded.reserved, declared = excluded.declared,
    declared_text = excluded.declared_text, wanted = excluded.wanted, granted = excluded.granted,
    granted_at = case when $14 or excluded.granted is null then excluded.granted_at else o.granted_at end,
    trouble = excluded.trouble, problems = excluded.problems, read_at = excluded.read_at
"""

# What is not on offer any more.
_FORGET = "delete from stock_offers where not (offer_id = any($1::text[]))"

_log = log.get(__name__)


class OfferWatch:
    """Looks every `every` seconds; declares at most `limit` codes for an offer, in at most `changes` calls a look."""

    def __init__(
        self, desk: OfferDesk, pool: asyncpg.Pool, account: str, *, every: float, limit: int, changes: int
    ) -> None:
        self._desk = desk
        self._pool = pool
        self._account = account
        self._every = every
        self._limit = limit
        self._changes = changes

    async def run(self) -> None:
        """Watch for ever. What fails is logged and tried again: sales do not depend on it."""
        while True:
            try:
                await self.look()
            except BitLootError as error:
                _log.warning("offers.not_read", cause=error.cause, detail=error.detail)
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Look once, if no other worker does. Raises `Transient` or `Refused`."""
        with translated():
            for row in await self._pool.fetch(_STOCK):
                STOCK_CODES.labels(row["state"]).set(row["codes"])
            async with self._pool.acquire() as connection, connection.transaction():
                if await connection.fetchval(_TURN, self._account):
                    await self._bring_in_line(connection)

    async def _bring_in_line(self, connection: Connection) -> None:
        offers = await self._desk.offers()
        # After the offers: a code that is handed over meanwhile must not be declared.
        holdings = {
            ProductId(row["product_id"]): Holdings(row["unsent"], row["free"])
            for row in await connection.fetch(_HOLDINGS)
        }
        grants = {
            OfferId(row["offer_id"]): Grant(row["granted"], row["trouble"])
            for row in await connection.fetch(_GRANTS, _GRANT_HOURS)
        }
        left, told = self._changes, list[Finding]()
        for each in plan(offers, holdings, grants, limit=self._limit):
            after, used = await self._declare(each, left)
            left -= used
            wrong = findings(after, holdings.get(after.offer.product_id))
            told += wrong
            # A limit that is the same again was learned again: else more would be tried at every look.
            await _keep(connection, after, wrong, learned=after.grant.granted != each.grant.granted)
        await connection.execute(_FORGET, [offer.offer_id for offer in offers])
        for problem in Problem:
            OFFER_PROBLEMS.labels(problem).set(sum(each.problem is problem for each in told))

    async def _declare(self, plan: Plan, calls: int) -> tuple[Plan, int]:
        """Tell Kinguin; when it refuses, half as much, and so on. Return what came of it, and the number of calls."""
        used, wanted = 0, plan.wanted
        while plan.differs and wanted is not None and used < calls:
            used += 1
            try:
                await self._desk.declare(plan.offer.offer_id, wanted)
            except BitLootError as error:
                if error.cause is Cause.QUOTA_EXCEEDED and wanted > 0:
                    wanted //= 2
                    plan = replace(plan, wanted=wanted, grant=Grant(granted=wanted))
                    continue
                _log.warning("offer.not_changed", offer_id=plan.offer.offer_id, cause=error.cause, detail=error.detail)
                return replace(plan, grant=replace(plan.grant, trouble=str(error))), used
            _log.info("offer.declared", offer_id=plan.offer.offer_id, before=plan.offer.declared, stock=wanted)
            # What customers can buy has changed with it; the next look tells.
            offer = replace(plan.offer, declared=wanted, declared_text=wanted, buyable=None)
            return replace(plan, offer=offer, grant=replace(plan.grant, trouble=None)), used
        return plan if plan.differs else replace(plan, grant=replace(plan.grant, trouble=None)), used


async def _keep(connection: Connection, plan: Plan, wrong: tuple[Finding, ...], *, learned: bool) -> None:
    offer = plan.offer
    await connection.execute(
        _KEEP,
        offer.offer_id,
        offer.product_id,
        offer.name,
        offer.status,
        offer.available,
        offer.buyable,
        offer.reserved,
        offer.declared,
        offer.declared_text,
        plan.wanted,
        plan.grant.granted,
        plan.grant.trouble,
        [asdict(each) for each in wrong],
        learned,
    )
