"""The row that workers share: a generic cell rate algorithm (GCRA) on the database's clock."""

from dataclasses import dataclass
from typing import Final

import asyncpg

from bitloot.ledger.pool import translated
from bitloot.rate_limit.rate import Rate

MAX_PAUSE_SECONDS: Final = 900.0
"""No 429 holds us longer; and a database clock that was set back holds us no longer either."""

HORIZON_SECONDS: Final = 0.25
"""Permits are handed out so long before their time: what is out already does not hear of a 429."""

_SLOW_FOR_SECONDS: Final = 2.0
"""Answers that come so close together are about the same excess: they slow us down once."""

_FASTER_AGAIN_SECONDS: Final = 30.0
"""A slowdown has worn off by two thirds after this: half a window of Kinguin's, which then counts anew."""

# The `Retry-After` is what obeys the provider. To be slow for long after it costs more than another 429 would.
_SLOWER, _SLOWEST = 1.5, 3.0

# A slowdown is forgotten after 100 times the time in which it wears off by two thirds: exp() raises an error where its
# result would be too small for a double, which it is after 745 of them, six hours.

# Take up to $2 permits and move the row on behind them. Locked first, timed then: whoever waited for the row must
# not be handed the time at which it began to wait.
_LEASE = """
with held as materialized (
    select next_at, slowdown, slowed_at from rate_limits where name = $1 for update
), timed as materialized (
    select held.*, clock_timestamp() as t from held
), paced as materialized (
    select t,
           $3::float8 * (
               1 + (slowdown - 1) * exp(-least(greatest(0, extract(epoch from t - slowed_at)) / $7::float8, 100))
           ) as step,
           greatest(least(extract(epoch from next_at - t), $6::float8), -$4::float8) as first_in
    from timed
), granted as materialized (
    select t, step, first_in,
           greatest(0, least($2::int, 1 + floor(($5::float8 - first_in) / step)))::int as permits
    from paced
)
update rate_limits r set next_at = t + make_interval(secs => first_in + permits * step)
from granted where r.name = $1
returning first_in, step, permits
"""

# A limit that nobody has used before.
_BEGIN = "insert into rate_limits (name, next_at) values ($1, clock_timestamp()) on conflict (name) do nothing"

# The provider said no: nobody calls for a while, and then all of us call more slowly.
_SLOW_DOWN = """
update rate_limits set
    next_at = greatest(next_at, clock_timestamp() + make_interval(secs => $2)),
    slowdown = case when slowdown > 1 and slowed_at > clock_timestamp() - make_interval(secs => $3) then slowdown
        else least(
            $5, $4 * (
                1 + (slowdown - 1)
                * exp(-least(greatest(0, extract(epoch from clock_timestamp() - slowed_at)) / $6::float8, 100))
            )
        ) end,
    slowed_at = case when slowdown > 1 and slowed_at > clock_timestamp() - make_interval(secs => $3) then slowed_at
        else clock_timestamp() end
where name = $1
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """`permits`, the first to be used in `first_in` seconds (or a while ago), each next one `step` later.

    Without permits, `first_in` tells when there will be some.
    """

    permits: int
    first_in: float
    step: float


class SharedRow:
    """The limit called `name`. Methods raise `Transient` while Postgres is away."""

    def __init__(self, pool: asyncpg.Pool, name: str, rate: Rate) -> None:
        """Share the rate with whoever has the same name; the interval may differ while a setting is rolled out."""
        self.name = name
        self.rate = rate
        self._pool = pool

    async def lease(self, permits: int) -> Lease:
        """Take up to so many permits."""
        tolerance = (self.rate.burst - 1) * self.rate.interval
        horizon = min(HORIZON_SECONDS, self.rate.lease_life)
        values = (self.name, permits, self.rate.interval, tolerance, horizon, MAX_PAUSE_SECONDS, _FASTER_AGAIN_SECONDS)
        with translated():
            while (row := await self._pool.fetchrow(_LEASE, *values)) is None:
                await self._pool.execute(_BEGIN, self.name)
        return Lease(row["permits"], row["first_in"], row["step"])

    async def slow_down(self, pause: float) -> None:
        """Hold everybody for `pause` seconds, and make everybody slower for about a minute."""
        pause = min(max(pause, 0.0), MAX_PAUSE_SECONDS)
        with translated():
            await self._pool.execute(
                _SLOW_DOWN, self.name, pause, _SLOW_FOR_SECONDS, _SLOWER, _SLOWEST, _FASTER_AGAIN_SECONDS
            )
