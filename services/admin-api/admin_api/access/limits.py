"""How often something may be tried, counted for all replicas in Postgres."""

import math
from dataclasses import dataclass

from admin_api.access.sql import SQL
from admin_api.database import Pool
from bitloot.ledger import translated
from bitloot.problem import Problem


@dataclass(frozen=True, slots=True)
class Limit:
    """`burst` tries at once, and `per_minute` more in each minute."""

    burst: float
    per_minute: float


class Limits:
    """Buckets of tries by name."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take(self, name: str, limit: Limit) -> None:
        """Use up one try. Raises a 429 when none is left, and `Transient`."""
        per_second = limit.per_minute / 60
        with translated():
            left = await self._pool.fetchval(SQL["take_try"], name, limit.burst, per_second)
        if left is None:
            wait = math.ceil(1 / per_second)
            raise Problem(429, "Too many tries: wait a while.", headers={"Retry-After": str(wait)})
