"""Watches the money on our account: read by one of the workers, stored, and told of when it runs out."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import asyncpg

from bitloot import log
from bitloot.errors import BitLootError
from bitloot.ledger import translated
from bitloot.metrics import PROVIDER_BALANCE, PROVIDER_BALANCE_LOW

_CURRENCY: Final = "eur"
_KEEP_DAYS: Final = 90

# Whose turn it is: nobody is reading, and the last reading is old. The lock ends with the transaction.
_TURN = """
select pg_try_advisory_xact_lock(hashtext('balance_readings'), hashtext($1))
    and not exists (select from balance_readings where account = $1 and read_at > now() - make_interval(secs => $2))
"""

# Keep what was read.
_STORE = "insert into balance_readings (account, balance, currency, low) values ($1, $2, $3, $4)"

# Forget what is of no use any more.
_FORGET = "delete from balance_readings where account = $1 and read_at < now() - make_interval(days => $2)"

# What was read last, by whichever worker.
_LAST = "select balance from balance_readings where account = $1 order by read_at desc limit 1"

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class BalancePolicy:
    """Read every `every` seconds; warn below `alert` EUR, never when that is 0."""

    every: float
    alert: Decimal


class BalanceWatch:
    """Reads the balance of `account` in turn with the other workers, and shows the last reading in each of them."""

    def __init__(
        self, read: Callable[[], Awaitable[Decimal]], pool: asyncpg.Pool, account: str, policy: BalancePolicy
    ) -> None:
        self._read = read
        self._pool = pool
        self._account = account
        self._policy = policy

    async def run(self) -> None:
        """Watch for ever. What fails is logged and tried again: purchases do not depend on it."""
        while True:
            try:
                await self.look()
            except BitLootError as error:
                _log.warning("balance.not_read", account=self._account, cause=error.cause, detail=error.detail)
            await asyncio.sleep(self._policy.every)

    async def look(self) -> None:
        """Read and store the balance if it is our turn, and show the last reading. Raises `Transient` or `Refused`."""
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                # A little less than the time between looks, so that a worker of its own never skips every other turn.
                if await connection.fetchval(_TURN, self._account, self._policy.every * 0.9):
                    await self._store(connection, await self._read())
            balance = await self._pool.fetchval(_LAST, self._account)
        if balance is not None:
            PROVIDER_BALANCE.labels("kinguin", _CURRENCY).set(float(balance))
            PROVIDER_BALANCE_LOW.labels("kinguin").set(balance < self._policy.alert)

    async def _store(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", balance: Decimal) -> None:
        is_low = balance < self._policy.alert
        await connection.execute(_STORE, self._account, balance, _CURRENCY, is_low)
        await connection.execute(_FORGET, self._account, _KEEP_DAYS)
        if is_low:
            _log.warning("balance.low", account=self._account, balance=str(balance), alert=str(self._policy.alert))
        else:
            _log.info("balance.read", account=self._account, balance=str(balance))
