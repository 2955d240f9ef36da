"""The keys of buyers' personal data, in a real database."""

import asyncio

import pytest

from bitloot.errors import Cause, Malformed, Refused, Transient
from bitloot.ids import order_id
from bitloot.ledger import NOT_MIGRATED, open_pool
from bitloot.personal import PersonalKey, PostgresBuyers

ORDER, OTHER = order_id("an order with a buyer"), order_id("another")
ADDRESS = "jane.doe@example.com"


@pytest.fixture
async def pool(database: str):
    async with open_pool(database) as pool:
        yield pool


async def test_whoever_comes_first_an_order_has_one_key(pool):
    keys = await asyncio.gather(*(PostgresBuyers(pool).of(ORDER) for _ in range(8)))

    assert len({key.seal(ADDRESS) for key in keys}) == 1
    assert len(await pool.fetchval("select key from personal_keys")) == 64


async def test_what_is_sealed_opens_for_its_order_only(pool):
    buyers = PostgresBuyers(pool)
    sealed = await buyers.seal(ORDER, ADDRESS)
    assert await buyers.open(ORDER, sealed) == ADDRESS
    assert await buyers.seal(ORDER, ADDRESS) == sealed
    assert await buyers.seal(OTHER, ADDRESS) != sealed
    for order, text in ((OTHER, sealed), (ORDER, sealed[:-4] + "AAAA"), (ORDER, "p2:" + sealed[3:]), (ORDER, "p1:")):
        with pytest.raises(Refused) as refused:
            await buyers.open(order, text)
        assert refused.value.cause is Cause.BROKEN_BOX


async def test_once_the_key_is_destroyed_nothing_opens_and_no_other_is_made(pool):
    buyers = PostgresBuyers(pool)
    sealed = await buyers.seal(ORDER, ADDRESS)
    await pool.execute("update personal_keys set key = null, erased_at = now()")
    for call in (buyers.open(ORDER, sealed), buyers.of(ORDER), buyers.seal(ORDER, ADDRESS)):
        with pytest.raises(Refused) as refused:
            await call
        assert refused.value.cause is Cause.BUYER_ERASED


async def test_a_key_that_was_lost_with_the_database_is_told_and_made_anew_by_whoever_seals(pool):
    buyers = PostgresBuyers(pool)
    with pytest.raises(Refused) as refused:
        await buyers.open(ORDER, PersonalKey(ORDER, bytes(64)).seal(ADDRESS))
    assert refused.value.cause is Cause.UNKNOWN_KEY_ID
    assert await buyers.open(ORDER, await buyers.seal(ORDER, ADDRESS)) == ADDRESS


async def test_a_database_that_is_away_or_not_migrated_is_transient(pool):
    async with open_pool("postgresql://nobody@127.0.0.1:9/none") as away:
        with pytest.raises(Transient):
            await PostgresBuyers(away).of(ORDER)
    await pool.execute("drop table personal_keys")
    with pytest.raises(Transient) as failure:
        await PostgresBuyers(pool).of(ORDER)
    assert failure.value.detail == NOT_MIGRATED


def test_a_key_shows_nothing_and_its_hash_is_its_own():
    one, other = PersonalKey(ORDER, bytes(64)), PersonalKey(ORDER, bytes(63) + b"1")
    assert "\\x00" not in repr(one)
    assert one.digest(ADDRESS) == one.digest(ADDRESS) != other.digest(ADDRESS)
    with pytest.raises(Malformed):
        other.open(one.seal(ADDRESS))
