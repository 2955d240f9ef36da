"""The balance, read by one worker and known to all, on a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from bitloot.errors import Cause, Transient
from bitloot.ledger import open_pool
from fulfillment.kinguin.esa.balance import BalancePolicy, BalanceWatch
from tests.fakes.eventually import eventually_async

ACCOUNT = "kinguin:esa:0123456789ab"
POLICY = BalancePolicy(every=300, alert=Decimal(100))


class Bank:
    """Tells a balance and counts how often it was asked."""

    def __init__(self, balance: str = "250.50") -> None:
        self.balance = Decimal(balance)
        self.asked = 0
        self.error: Transient | None = None
        self.hold: asyncio.Event | None = None

    async def read(self) -> Decimal:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        return self.balance


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database) as pool:
        yield pool


@pytest.fixture
def bank() -> Bank:
    return Bank()


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"bitloot_provider_balance{name}", {"provider": "kinguin"} | labels)


async def test_a_reading_is_stored_exactly_and_shown(pool: asyncpg.Pool, bank: Bank):
    bank.balance = Decimal("250.500000000000000001")
    await BalanceWatch(bank.read, pool, ACCOUNT, POLICY).look()
    row = await pool.fetchrow("select account, balance, currency, low from balance_readings")
    assert tuple(row) == (ACCOUNT, bank.balance, "eur", False)
    assert shown("", currency="eur") == 250.5
    assert shown("_low") == 0


async def test_however_many_workers_look_one_reads(pool: asyncpg.Pool, bank: Bank):
    workers = [BalanceWatch(bank.read, pool, ACCOUNT, POLICY) for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(worker.look() for worker in workers))
    assert bank.asked == 1


async def test_nobody_waits_for_whoever_reads(pool: asyncpg.Pool, bank: Bank):
    slow, other = Bank(), bank
    slow.hold = asyncio.Event()
    reading = asyncio.create_task(BalanceWatch(slow.read, pool, ACCOUNT, POLICY).look())
    await eventually_async(lambda: slow.asked)
    await BalanceWatch(other.read, pool, ACCOUNT, POLICY).look()
    slow.hold.set()
    await reading
    assert (slow.asked, other.asked) == (1, 0)


async def test_an_old_reading_is_renewed(pool: asyncpg.Pool, bank: Bank):
    watch = BalanceWatch(bank.read, pool, ACCOUNT, POLICY)
    await watch.look()
    await pool.execute("update balance_readings set read_at = now() - interval '10 minutes'")
    bank.balance = Decimal(120)
    await watch.look()
    assert bank.asked == 2
    assert shown("", currency="eur") == 120


async def test_accounts_are_read_apart(pool: asyncpg.Pool, bank: Bank):
    for account in ("one", "two"):
        await BalanceWatch(bank.read, pool, account, POLICY).look()
    assert bank.asked == 2


async def test_a_low_balance_is_told(pool: asyncpg.Pool, bank: Bank):
    bank.balance = Decimal("99.99")
    with capture_logs() as logs:
        await BalanceWatch(bank.read, pool, ACCOUNT, POLICY).look()
    assert [(each["event"], each["log_level"], each["balance"]) for each in logs] == [
        ("balance.low", "warning", "99.99")
    ]
    assert shown("_low") == 1
    assert await pool.fetchval("select low from balance_readings")


async def test_without_a_threshold_nothing_is_low(pool: asyncpg.Pool, bank: Bank):
    bank.balance = Decimal(0)
    await BalanceWatch(bank.read, pool, ACCOUNT, BalancePolicy(every=300, alert=Decimal(0))).look()
    assert shown("_low") == 0


async def test_old_readings_are_forgotten(pool: asyncpg.Pool, bank: Bank):
    watch = BalanceWatch(bank.read, pool, ACCOUNT, POLICY)
    await watch.look()
    await pool.execute("update balance_readings set read_at = now() - interval '91 days'")
    await watch.look()
    assert await pool.fetchval("select count(*) from balance_readings") == 1


async def test_a_failed_reading_ends_nothing(pool: asyncpg.Pool, bank: Bank):
    bank.error = Transient(Cause.PROVIDER_UNAVAILABLE, "away")
    watch = BalanceWatch(bank.read, pool, ACCOUNT, BalancePolicy(every=0.01, alert=Decimal(0)))
    running = asyncio.create_task(watch.run())
    await eventually_async(lambda: bank.asked >= 3)
    bank.error = None
    await eventually_async(lambda: bank.asked >= 5)
    assert not running.done()
    running.cancel()
    assert await pool.fetchval("select count(*) from balance_readings") >= 1
