"""A limit on calls to a provider that all workers of an account keep together.

    limit = RateLimit(SharedRow(pool, "kinguin:shop", Rate(2000, per=60.0)))
    await limit.acquire(within=5.0)     # Transient(RATE_LIMITED) when that would take longer; nothing has left then
    await limit.back_off(retry_after)   # after a 429: holds all workers

One row in Postgres says when the next permit may be used. Workers take permits in small leases, so that a round
trip serves several calls. While Postgres is away each worker goes on alone with a small share of the rate.
"""

from bitloot.rate_limit.limit import Pace, RateLimit, Unpaced
from bitloot.rate_limit.rate import Rate
from bitloot.rate_limit.row import Lease, SharedRow

__all__ = ["Lease", "Pace", "Rate", "RateLimit", "SharedRow", "Unpaced"]
