"""What Postgres knows of orders that are placed, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from bitloot import ids
from bitloot.contracts.events import PaymentInstructions
from bitloot.errors import Cause, Refused, Transient
from bitloot.ledger import open_pool
from ingress.checkouts import PostgresCheckouts
from ingress.ports import Begun, KnownOrder

pytestmark = pytest.mark.stack

ID = ids.order_id("indexed")
PLACED = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = PLACED + timedelta(hours=1)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database) as pool:
        yield pool


@pytest.fixture
def checkouts(pool: Any) -> PostgresCheckouts:
    return PostgresCheckouts(pool, patience=10)


async def sunk(pool: Any, request_hash: str | None) -> None:
    """Let the sink have written the order."""
    await pool.execute(
        "INSERT INTO orders (id, status, request_hash, payment_instructions, version, placed_at, updated_at)"
        " VALUES ($1, 'awaiting_payment', $2, '{\"pay_url\": \"https://pay\"}'::text::jsonb, 1, $3, $3)",
        ID,
        request_hash,
        PLACED,
    )


async def test_a_new_order_gets_a_key_and_its_first_request_is_noted_by_its_hash(pool: Any, checkouts: Any):
    opened = await checkouts.open(ID, "request", PLACED, begin=True)

    assert opened.begun == Begun(opened.key.digest("request"), PLACED)
    assert opened.placed is None
    assert await pool.fetchval("select key from personal_keys where order_id = $1", ID) == opened.key._key


async def test_what_was_opened_before_is_what_it_was(checkouts: Any):
    first = await checkouts.open(ID, "request", PLACED, begin=True)

    assert await checkouts.open(ID, "another", LATER, begin=True) == first
    assert await checkouts.open(ID, "another", LATER, begin=False) == first


async def test_nothing_is_noted_of_whoever_only_looks_nor_of_a_key_that_was_there(checkouts: Any):
    opened = await checkouts.open(ID, "request", PLACED, begin=False)

    assert opened.begun is None
    assert await checkouts.open(ID, "request", PLACED, begin=True) == opened
    assert await checkouts.begin(ID, Begun("hash", LATER)) == Begun("hash", LATER)
    assert (await checkouts.open(ID, "request", PLACED, begin=True)).begun == Begun("hash", LATER)


async def test_processes_that_open_an_order_at_the_same_time_have_one_key_and_one_request(checkouts: Any):
    opening = (checkouts.open(ID, f"request {n}", PLACED, begin=True) for n in range(10))
    opened = await asyncio.gather(*opening)

    assert all(each == opened[0] for each in opened)
    assert opened[0].begun.request_hash in {opened[0].key.digest(f"request {n}") for n in range(10)}


async def test_orders_that_are_opened_together_are_each_what_they_would_be_alone(pool: Any, checkouts: Any):
    many = [ids.order_id(f"order {n}") for n in range(150)]
    await asyncio.gather(*(checkouts.open(each, "before", PLACED, begin=True) for each in many[:50]))
    await pool.execute("update personal_keys set key = null, erased_at = now() where order_id = $1", many[0])

    opening = (checkouts.open(each, "now", LATER, begin=each in many[:100]) for each in many)
    erased, *opened = await asyncio.gather(*opening, return_exceptions=True)

    assert isinstance(erased, Refused)
    told = [each.begun and (each.begun.placed_at, each.begun.request_hash) for each in opened]
    assert told[:49] == [(PLACED, each.key.digest("before")) for each in opened[:49]]
    assert told[49:99] == [(LATER, each.key.digest("now")) for each in opened[49:99]]
    assert told[99:] == [None] * 50
    assert len({each.key for each in opened}) == 149


async def test_the_first_request_of_a_key_stands(checkouts: Any):
    first = Begun("hash", PLACED)

    assert await checkouts.begin(ID, first) == first
    assert await checkouts.begin(ID, Begun("another", LATER)) == first
    others = await asyncio.gather(*(checkouts.begin(ids.order_id("b"), Begun(f"hash {n}", PLACED)) for n in range(10)))
    assert len({each.request_hash for each in others}) == 1


async def test_the_key_of_an_erased_buyer_is_not_made_anew(pool: Any, checkouts: Any):
    await checkouts.open(ID, "request", PLACED, begin=True)
    await pool.execute("update personal_keys set key = null, erased_at = now()")

    with pytest.raises(Refused) as refused:
        await checkouts.open(ID, "request", PLACED, begin=True)
    assert refused.value.cause is Cause.BUYER_ERASED


async def test_an_order_that_the_sink_has_written_is_found(pool: Any, checkouts: Any):
    await sunk(pool, "hash")

    placed = (await checkouts.open(ID, "request", LATER, begin=True)).placed
    assert placed == KnownOrder("hash", PLACED, PaymentInstructions(pay_url="https://pay"))
    assert (await checkouts.open(ids.order_id("another"), "request", LATER, begin=True)).placed is None


async def test_a_row_without_its_request_says_nothing(pool: Any, checkouts: Any):
    await sunk(pool, None)

    assert (await checkouts.open(ID, "request", LATER, begin=True)).placed is None


async def cannot_say(pool: Any, patience: float = 10) -> None:
    checkouts = PostgresCheckouts(pool, patience=patience)
    for asking in (checkouts.open(ID, "request", PLACED, begin=True), checkouts.begin(ID, Begun("hash", PLACED))):
        with pytest.raises(Transient) as away:
            await asking
        assert away.value.cause is Cause.DATABASE_UNAVAILABLE


async def test_a_database_that_is_not_migrated_cannot_say(postgres: Any):
    async with open_pool(postgres.dsn) as pool:
        await cannot_say(pool)


async def test_a_database_that_is_not_there_cannot_say():
    async with open_pool("postgresql://u:p@127.0.0.1:9/none") as pool:
        await cannot_say(pool)


async def test_a_database_that_hangs_is_waited_for_no_longer_than_told():
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_pool(f"postgresql://u:p@127.0.0.1:{port}/none?sslmode=disable") as pool:
        await cannot_say(pool, patience=0.05)


class CutPool:
    """A pool whose connection was cut in the middle of a query, as when the server is restarted."""

    async def fetchrow(self, *_query: object) -> None:
        await self.fetch()

    async def fetch(self, *_query: object, **_options: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")


async def test_asyncpgs_own_confusion_over_a_cut_connection_is_an_outage():
    await cannot_say(CutPool())
