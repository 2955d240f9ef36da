"""The sample of refused notifications on a real PostgreSQL: bounded, for each provider, and never in the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import pytest

from bitloot.ledger import open_pool
from bitloot.metrics import REFUSALS_NOT_SAMPLED
from embedded.ports import free_port
from ingress.refusals import PostgresSamples, Refused

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """Goes on by as much as a sample must be apart from the last one, each time that it is asked."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 2
        return self.now


def refused(number: int, provider: str = "nowpayments", reason: str = "mismatch") -> Refused:
    body = b'{"payment_id": %d, "pay_address": "bc1q"}' % number
    return Refused(provider, reason, "detail", "python_json", body, {"X-Sig": "secret"}, "10.0.0.1", AT)


@asynccontextmanager
async def writing(samples: PostgresSamples) -> AsyncIterator[None]:
    task = asyncio.create_task(samples.run())
    yield
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database) as pool:
        yield pool


async def kept(pool: asyncpg.Pool, provider: str, newest: int) -> list[asyncpg.Record]:
    """Return what is kept, once the newest sample is."""
    query = "select * from refused_notifications where provider = $1 order by id"
    async with asyncio.timeout(30):
        while True:
            rows = await pool.fetch(query, provider)
            if rows and rows[-1]["sample"]["members"]["payment_id"] == str(newest):
                return rows
            await asyncio.sleep(0.02)


async def test_the_newest_of_each_provider_are_kept_and_the_others_go(pool: asyncpg.Pool):
    samples = PostgresSamples(pool, Clock())
    async with writing(samples):
        samples.keep(refused(1, "kinguin"))
        for first in range(0, 240, 60):  # no more at a time than the queue takes
            for number in range(first, first + 60):
                samples.keep(refused(number))
            rows = await kept(pool, "nowpayments", first + 59)
        others = await kept(pool, "kinguin", 1)
    assert 200 <= len(rows) <= 201
    assert len(others) == 1
    newest = rows[-1]
    assert (newest["reason"], newest["hint"], newest["refused_at"]) == ("mismatch", "python_json", AT)
    assert newest["sample"]["headers"] == ["x-sig"]
    assert "secret" not in str(dict(newest))
    assert newest["sample"]["members"]["pay_address"] == "text(4)"


async def test_a_flood_is_sampled_and_counted(pool: asyncpg.Pool):
    counter = REFUSALS_NOT_SAMPLED.labels("nowpayments")
    before = counter._value.get()
    samples = PostgresSamples(pool, lambda: 7.0)  # all within one second
    async with writing(samples):
        for number in range(1000):
            samples.keep(refused(number))
        rows = await kept(pool, "nowpayments", 0)
    assert len(rows) == 1
    assert counter._value.get() == before + 999


async def test_without_a_database_samples_are_dropped_and_the_writer_lives_on(pool: asyncpg.Pool, database: str):
    counter = REFUSALS_NOT_SAMPLED.labels("nowpayments")
    before = counter._value.get()
    async with open_pool(f"postgresql://nobody@127.0.0.1:{free_port()}/none") as away:
        samples = PostgresSamples(away, Clock())
        async with writing(samples), asyncio.timeout(30):
            samples.keep(refused(1))
            while counter._value.get() == before:
                await asyncio.sleep(0.02)
            samples.keep(refused(2))
            while counter._value.get() == before + 1:
                await asyncio.sleep(0.02)
