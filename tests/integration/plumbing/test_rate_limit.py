"""One limit for all workers, on a real Postgres."""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from bitloot.errors import Cause, Transient
from bitloot.ledger import open_pool
from bitloot.rate_limit import Rate, RateLimit, SharedRow

FAST = Rate(60, per=1.0)
SLOW = Rate(1, per=300.0)


@pytest.fixture
async def pools(database: str) -> AsyncIterator[tuple[asyncpg.Pool, asyncpg.Pool]]:
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(open_pool(database, max_size=3)) for _ in range(2)]
        yield one, two


def limits(pools: tuple[asyncpg.Pool, ...], rate: Rate, name: str = "market") -> list[RateLimit]:
    return [RateLimit(SharedRow(pool, name, rate)) for pool in pools]


def now() -> float:
    return asyncio.get_running_loop().time()


async def turned_away(limit: RateLimit, within: float) -> float:
    with pytest.raises(Transient) as caught:
        await limit.acquire(within)
    assert caught.value.cause is Cause.RATE_LIMITED
    assert caught.value.retry_after is not None
    return caught.value.retry_after


async def test_no_window_sees_more_calls_than_the_limit_and_no_worker_starves(pools):
    """The provider counts; two processes' worth of workers call as fast as they are let."""
    counted: list[tuple[float, int]] = []

    async def call(worker: int, limit: RateLimit) -> None:
        for _ in range(10):
            await limit.acquire(within=60)
            counted.append((now(), worker))

    workers = limits(pools, FAST) + limits(pools, FAST)
    await asyncio.gather(*(call(number, limit) for number, limit in enumerate(workers) for _ in range(4)))
    times = sorted(time for time, _ in counted)
    assert len(times) == 160
    assert max(bisect_left(times, start + FAST.per) - number for number, start in enumerate(times)) <= FAST.limit
    half = [worker for _, worker in sorted(counted)[:80]]
    assert min(half.count(number) for number in range(4)) >= 5


async def test_busy_callers_share_round_trips(pools):
    rate = Rate(10_000, per=60.0)
    row = CountingRow(pools[0], "market", rate)
    limit = RateLimit(row)
    await asyncio.gather(*(limit.acquire(within=60) for _ in range(100)))
    assert row.asked < 50


async def test_who_would_wait_too_long_is_told_when_to_come_back(pools):
    one, two = limits(pools, SLOW)
    await one.acquire(within=20)
    waits = [await turned_away(each, within=0.5) for each in (one, two, one)]
    assert all(200 < wait < 1500 for wait in waits)
    assert waits[2] > waits[0] + 200  # one after the other


async def test_a_refusal_holds_all_workers(pools):
    one, two = limits(pools, FAST)
    await two.acquire(within=20)
    await one.back_off(30)
    assert await turned_away(one, within=2) > 25
    # What it has in hand already may still be used up; nothing new is handed out.
    with pytest.raises(Transient):  # noqa: PT012 - which of the calls is the first to be turned away is not the point
        for _ in range(100):
            await two.acquire(within=2)


async def test_after_refusals_calls_are_further_apart_and_one_excess_counts_once(pools):
    row = SharedRow(pools[0], "market", FAST)
    before = (await row.lease(1)).step
    await asyncio.gather(*(SharedRow(pool, "market", FAST).slow_down(0) for pool in pools for _ in range(3)))
    after = (await row.lease(1)).step
    assert before * 1.4 < after < before * 1.6


async def test_many_refusals_leave_a_third_of_the_rate_and_a_minute_gives_most_of_it_back(pools):
    row = SharedRow(pools[0], "market", FAST)
    before = (await row.lease(1)).step
    for _ in range(20):
        await row.slow_down(0)
        await pools[0].execute("update rate_limits set slowed_at = slowed_at - interval '3 seconds'")
    assert before * 2 < (await row.lease(1)).step < before * 3.01
    await pools[0].execute("update rate_limits set slowed_at = now() - interval '1 minute'")
    assert (await row.lease(1)).step < before * 1.3


async def test_who_is_turned_away_from_a_slowed_limit_comes_back_at_its_pace(pools):
    (slowed, _), row = limits(pools, SLOW), SharedRow(pools[0], "market", SLOW)
    await slowed.acquire(within=20)
    for _ in range(20):
        await row.slow_down(0)
        await pools[0].execute("update rate_limits set slowed_at = slowed_at - interval '3 seconds'")
    waits = [await turned_away(slowed, within=0.5) for _ in range(3)]
    assert waits[2] - waits[1] > 1.5 * SLOW.interval


async def test_a_slowdown_wears_off(pools):
    row = SharedRow(pools[0], "market", FAST)
    before = (await row.lease(1)).step
    await row.slow_down(0)
    await pools[0].execute("update rate_limits set slowed_at = now() - interval '1 hour'")
    assert (await row.lease(1)).step == pytest.approx(before, rel=0.01)


async def test_a_database_clock_that_was_set_back_does_not_stop_us_for_long(pools):
    row = SharedRow(pools[0], "market", FAST)
    await row.lease(1)
    await pools[0].execute("update rate_limits set next_at = now() + interval '10 days'")
    assert (await row.lease(1)).first_in <= 900


async def test_an_unused_limit_allows_its_burst_and_no_more(pools):
    rate = Rate(300, per=60.0)
    row = SharedRow(pools[0], "market", rate)
    await row.lease(1)
    await pools[0].execute("update rate_limits set next_at = now() - interval '10 days'")
    lease = await row.lease(1000)
    assert rate.burst <= lease.permits <= rate.burst + 2
    assert (await row.lease(1)).permits == 0


async def test_names_do_not_share(pools):
    (one, _), (other, _) = limits(pools, SLOW, "one"), limits(pools, SLOW, "other")
    await one.acquire(within=20)
    await other.acquire(within=20)


async def test_without_postgres_a_worker_goes_on_with_its_share():
    async with open_pool("postgresql://127.0.0.1:1/none") as pool:
        limit = RateLimit(SharedRow(pool, "market", Rate(60, per=1.0)), share=0.5)
        started = now()
        for _ in range(5):
            await limit.acquire(within=60)
        assert now() - started >= 4 * 2 / 60
        slow = RateLimit(SharedRow(pool, "market", SLOW), share=0.5)
        await slow.acquire(within=20)
        assert await turned_away(slow, within=1) > 100
        await slow.back_off(5)


async def test_it_returns_to_the_shared_row(pools, database: str):
    row = CountingRow(pools[0], "market", FAST)
    row.is_away = True
    limit = RateLimit(row)
    await limit.acquire(within=20)
    row.is_away = False
    limit._alone_until = 0.0
    await limit.acquire(within=20)
    assert await pools[0].fetchval("select count(*) from rate_limits") == 1


class CountingRow(SharedRow):
    asked = 0
    is_away = False

    async def lease(self, permits):
        self.asked += 1
        if self.is_away:
            raise Transient(Cause.DATABASE_UNAVAILABLE, "away")
        return await super().lease(permits)


@pytest.mark.parametrize("ago", ["5 hours 55 minutes", "6 hours 10 minutes", "7 hours", "400 days"])
async def test_a_limit_that_was_not_exceeded_for_long_goes_on(pools, ago: str):
    """exp() of PostgreSQL fails where its result is too small: e^-745 is after six hours of 30 s each."""
    (limit, _), row = limits(pools, FAST), SharedRow(pools[0], "market", FAST)
    before = (await row.lease(1)).step
    await pools[0].execute("update rate_limits set slowed_at = now() - $1::text::interval", ago)
    assert (await row.lease(1)).step == pytest.approx(before)
    await limit.acquire(within=20)
    await row.slow_down(0)
    assert (await row.lease(1)).step == pytest.approx(before * 1.5, rel=0.01)
