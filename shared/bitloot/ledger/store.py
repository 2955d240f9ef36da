"""The table `effect_ledger`: who claimed an effect, until when, and what became of it.

All times are the database's: the clocks of workers never meet.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

import asyncpg

from bitloot.contracts.base import Record
from bitloot.ids import EffectId, OrderId
from bitloot.ledger.book import Book, Orders, Wish
from bitloot.ledger.pool import translated
from bitloot.ledger.together import Together

MARGIN = timedelta(seconds=5)
"""What a deadline has beyond the time of the act: a live process ends the act and records it well before."""

# Take the effects unless somebody has; else tell how far their owners came. Only a claim that was committed while
# this statement ran is seen by neither branch.
_CLAIM = """
with claimed as (
    insert into effect_ledger (effect_id, order_id, kind, attempt, claimed_by, claimed_at, deadline)
    select effect_id, order_id, kind, attempt, $6, now(), now() + allowed
    from unnest($1::text[], $2::uuid[], $3::text[], $4::integer[], $5::interval[])
        as wanted (effect_id, order_id, kind, attempt, allowed)
    order by effect_id
    on conflict (effect_id) do nothing
    returning effect_id
)
select effect_id, true as claimed, null as claimed_by, null as outcome, null as deadline, false as expired from claimed
union all
select effect_id, false, claimed_by, outcome, deadline, finished_at is null and deadline <= now()
from effect_ledger where effect_id = any ($1)
"""

# Renew a claim of our own that was never acted upon, because its confirmation was lost on the way here.
_RECLAIM = """
update effect_ledger set claimed_at = now(), deadline = now() + $3
where effect_id = $1 and claimed_by = $2 and finished_at is null and deadline > now()
returning effect_id
"""

# How far the owner of an effect came.
_LOOK = """
select claimed_by, outcome, deadline, finished_at is null and deadline <= now() as expired
from effect_ledger where effect_id = $1
"""

# Record outcomes where there are none.
_FINISH = """
update effect_ledger as kept set finished_at = now(), outcome = given.outcome::jsonb
from unnest($1::text[], $2::text[]) as given (effect_id, outcome)
where kept.effect_id = given.effect_id and kept.finished_at is null
returning kept.effect_id
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The effect is ours: act, then `finish`."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Somebody acted, and this is what became of it."""

    outcome: Record


@dataclass(frozen=True, slots=True)
class Running:
    """Somebody acts, until then at the latest."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Expired:
    """Somebody claimed it and never came back: it may have happened."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A claim that somebody wants, for so long."""

    order_id: OrderId | None
    kind: str
    attempt: int
    allowed: timedelta


class EffectLedger:
    """Claims effects for one start of a process, which `incarnation` names; those of orders unless `book` says else.

    What is claimed while another claim is on its way goes to Postgres in one statement, and so do outcomes.
    Every method raises `Transient` while Postgres is away.
    """

    def __init__(self, pool: asyncpg.Pool, incarnation: str, book: Book | None = None) -> None:
        self.book = book or Orders()
        self._pool = pool
        self._incarnation = incarnation
        self._begun: set[EffectId] = set()
        self._claiming: WeakValueDictionary[EffectId, asyncio.Lock] = WeakValueDictionary()
        self._claims: Together[_Wanted, asyncpg.Record] = Together(self._claim_all)
        self._outcomes: Together[str, bool] = Together(self._record_all)

    async def claim(self, effect: Wish, kind: str, within: timedelta) -> Claimed | Finished | Running | Expired:
        """Claim an effect whose act will take at most `within`; tells what happened if it is taken."""
        # One claim of an effect at a time: while it is on its way back to us, its row looks to another task of this
        # process like one whose confirmation was lost.
        async with self._claiming.setdefault(effect.effect_id, asyncio.Lock()):
            return await self._claim(effect, kind, within + MARGIN)

    async def _claim(self, effect: Wish, kind: str, allowed: timedelta) -> Claimed | Finished | Running | Expired:
        wanted = _Wanted(self.book.order_id(effect), kind, effect.attempt, allowed)
        while (row := await self._claims(effect.effect_id, wanted)) is None:
            continue
        if row["claimed"] or await self._reclaim(effect.effect_id, row, allowed):
            self._begun.add(effect.effect_id)
            return Claimed()
        return self._progress(row)

    async def _claim_all(self, wanted: Mapping[str, _Wanted]) -> Mapping[str, asyncpg.Record]:
        each = wanted.values()
        columns = (
            list(wanted),
            [one.order_id for one in each],
            [one.kind for one in each],
            [one.attempt for one in each],
            [one.allowed for one in each],
        )
        with translated():
            rows = await self._pool.fetch(_CLAIM, *columns, self._incarnation)
        return {row["effect_id"]: row for row in rows}

    async def look(self, effect_id: EffectId) -> Finished | Running | Expired:
        """Tell how far the owner of a claimed effect came."""
        with translated():
            row = await self._pool.fetchrow(_LOOK, effect_id)
        if row is None:
            raise LookupError(f"{effect_id} was never claimed")
        return self._progress(row)

    async def finish(self, effect_id: EffectId, outcome: Record) -> Record:
        """Record an outcome; returns the one that stands, which is an earlier one if there is one."""
        if await self._outcomes(effect_id, outcome.model_dump_json(exclude_none=True)):
            self._begun.discard(effect_id)
            return outcome
        progress = await self.look(effect_id)
        if not isinstance(progress, Finished):
            raise TypeError(f"{effect_id} is neither finished nor can it be")
        self._begun.discard(effect_id)
        return progress.outcome

    async def _record_all(self, outcomes: Mapping[str, str]) -> Mapping[str, bool]:
        with translated():
            rows = await self._pool.fetch(_FINISH, list(outcomes), list(outcomes.values()))
        return {row["effect_id"]: True for row in rows}

    async def _reclaim(self, effect_id: EffectId, row: asyncpg.Record, allowed: timedelta) -> bool:
        ours = row["claimed_by"] == self._incarnation and row["outcome"] is None
        if not ours or row["expired"] or effect_id in self._begun:
            return False
        with translated():
            return await self._pool.fetchval(_RECLAIM, effect_id, self._incarnation, allowed) is not None

    def _progress(self, row: asyncpg.Record) -> Finished | Running | Expired:
        if row["outcome"] is not None:
            outcome: Record = self.book.topic.records.validate_python(row["outcome"])
            return Finished(outcome)
        return Expired() if row["expired"] else Running(row["deadline"])
