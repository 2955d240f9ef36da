"""The index of earlier orders on a real database."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from bitloot import ids
from bitloot.contracts.events import PaymentInstructions
from bitloot.errors import Cause, Transient
from bitloot.ledger import open_pool
from ingress.order_index import PostgresOrderIndex
from ingress.ports import KnownOrder

pytestmark = pytest.mark.stack

ID = ids.order_id("indexed")
PLACED = datetime(2026, 1, 31, 12, tzinfo=UTC)


async def insert(database: str, request_hash: str | None) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "INSERT INTO orders (id, status, request_hash, payment_instructions, version, placed_at, updated_at)"
        " VALUES ($1, 'awaiting_payment', $2, '{\"pay_url\": \"https://pay\"}', 1, $3, $3)",
        ID,
        request_hash,
        PLACED,
    )
    await connection.close()


async def test_an_order_that_the_sink_has_written_is_found(database: str):
    await insert(database, "hash")
    async with open_pool(database) as pool:
        index = PostgresOrderIndex(pool, patience=10)

        assert await index.find(ID) == KnownOrder("hash", PLACED, PaymentInstructions(pay_url="https://pay"))
        assert await index.find(ids.order_id("another")) is None


async def test_a_row_without_its_request_says_nothing(database: str):
    await insert(database, None)
    async with open_pool(database) as pool:
        assert await PostgresOrderIndex(pool, patience=10).find(ID) is None


async def test_a_database_that_is_not_migrated_cannot_say(postgres):
    async with open_pool(postgres.dsn) as pool:
        with pytest.raises(Transient) as away:
            await PostgresOrderIndex(pool, patience=10).find(ID)
    assert away.value.cause is Cause.DATABASE_UNAVAILABLE


async def test_a_database_that_is_not_there_cannot_say():
    async with open_pool("postgresql://u:p@127.0.0.1:9/none") as pool:
        with pytest.raises(Transient) as away:
            await PostgresOrderIndex(pool, patience=10).find(ID)
    assert away.value.cause is Cause.DATABASE_UNAVAILABLE


async def test_a_database_that_hangs_is_waited_for_no_longer_than_told():
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_pool(f"postgresql://u:p@127.0.0.1:{port}/none?sslmode=disable") as pool:
        with pytest.raises(Transient):
            await PostgresOrderIndex(pool, patience=0.05).find(ID)


class CutPool:
    """A pool whose connection was cut in the middle of a query, as when the server is restarted."""

    async def fetchrow(self, *_query: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")


async def test_asyncpgs_own_confusion_over_a_cut_connection_is_an_outage():
    with pytest.raises(Transient) as away:
        await PostgresOrderIndex(CutPool(), patience=10).find(ID)
    assert away.value.cause is Cause.DATABASE_UNAVAILABLE
