"""Declared stock follows ours, and what is wrong with an offer is on record in plain words."""

import asyncio

import pytest

from fulfillment.selling.offer_watch import OfferWatch
from fulfillment.selling.stock import Stock


@pytest.fixture
def watch(manager, pool):
    def make(limit: int = 1000, changes: int = 100) -> OfferWatch:
        return OfferWatch(manager, pool, "test", every=60, limit=limit, changes=changes)

    return make


async def stored(pool, offer: str):
    return await pool.fetchrow("select * from stock_offers where offer_id = $1", offer)


async def problems(pool, offer: str) -> list[str]:
    return [each["problem"] for each in (await stored(pool, offer))["problems"]]


async def declared(sandbox, offer: str) -> tuple[int, int]:
    shown = (await sandbox.seller("GET", f"/offers/{offer}")).json()
    return shown["declaredStock"], shown["declaredTextStock"]


async def changes(sandbox) -> int:
    return sum(each["call"] == "change_offer" for each in (await sandbox.ledger())["calls"])


async def test_declared_stock_is_what_never_left_us(sandbox, pool, stock: Stock, watch, add_codes):
    offer = await sandbox.offer_for_sale(0)
    await add_codes(*(f"CODE-{number}" for number in range(10)))
    reserved = await stock.reserve("r-1", "game-1", offer)
    await stock.reserve("r-2", "game-1", offer)
    await stock.send("r-1", reserved, "sale/r-1/hand_over_code/2")
    await watch().look()
    assert await declared(sandbox, offer) == (9, 9)
    await watch().look()
    assert await changes(sandbox) == 1  # nothing differs: nothing is told
    assert await problems(pool, offer) == []


async def test_a_name_that_cannot_be_stored_stops_nothing(sandbox, pool, watch):
    """Kinguin writes the names; PostgreSQL takes neither a NUL nor half a character."""
    offer = {"id": "o-1", "productId": "game-1", "status": "ACTIVE", "name": "Por\x00tal\ud800 \u20ac2"}
    await sandbox.answer("offers", [offer], "kinguin-seller")
    await watch().look()
    assert (await stored(pool, "o-1"))["name"] == "Portal \u20ac2"


async def test_offers_of_products_that_we_have_no_codes_of_are_left_alone(sandbox, pool, watch):
    offer = await sandbox.offer_for_sale(5)
    await watch().look()
    assert await declared(sandbox, offer) == (5, 5)
    assert await problems(pool, offer) == ["no_stock"]


async def test_an_empty_stock_is_declared_and_told(sandbox, pool, stock: Stock, watch, add_codes):
    offer = await sandbox.offer_for_sale(5)
    await add_codes("AAAA")
    await stock.send("r-1", await stock.reserve("r-1", "game-1", offer), "sale/r-1/hand_over_code/2")
    await watch().look()
    assert await declared(sandbox, offer) == (0, 0)
    assert await problems(pool, offer) == ["no_stock"]


async def test_two_offers_of_a_product_do_not_sell_a_code_twice(sandbox, pool, watch, add_codes):
    offers = sorted([await sandbox.offer_for_sale(5), await sandbox.offer_for_sale(5)])
    await add_codes(*(f"CODE-{number}" for number in range(7)))
    await watch().look()
    assert [await declared(sandbox, offer) for offer in offers] == [(7, 7), (0, 0)]
    assert [await problems(pool, offer) for offer in offers] == [[], ["second_offer"]]


async def test_an_offer_that_is_switched_off_is_told_and_gets_the_codes_last(sandbox, pool, watch, add_codes):
    off, on = await sandbox.offer_for_sale(5, status="INACTIVE"), await sandbox.offer_for_sale(5)
    await add_codes(*(f"CODE-{number}" for number in range(7)))
    await watch().look()
    assert await declared(sandbox, on) == (7, 7)
    assert await problems(pool, off) == ["not_visible", "second_offer"]
    assert "INACTIVE" in (await stored(pool, off))["problems"][0]["detail"]


async def test_what_kinguin_does_not_grant_is_told_and_not_asked_for_again(sandbox, pool, watch, add_codes):
    await sandbox.set(declaredStockLimit=6)
    offer = await sandbox.offer_for_sale(0)
    await add_codes(*(f"CODE-{number:02}" for number in range(20)))
    await watch().look()
    assert await declared(sandbox, offer) == (5, 5)
    assert await problems(pool, offer) == ["not_granted"]
    before = await changes(sandbox)
    await watch().look()
    assert await changes(sandbox) == before
    assert await problems(pool, offer) == ["not_granted"]


async def test_what_kinguin_does_not_grant_is_asked_for_again_after_hours_and_then_not_at_every_look(
    sandbox, pool, watch, add_codes
):
    await sandbox.set(declaredStockLimit=6)
    offer = await sandbox.offer_for_sale(0)
    await add_codes(*(f"CODE-{number:02}" for number in range(20)))
    await watch().look()
    await pool.execute("update stock_offers set granted_at = now() - interval '7 hours'")
    before = await changes(sandbox)
    await watch().look()
    asked = await changes(sandbox)
    assert asked > before, "a limit may be raised, and nobody tells"
    await watch().look()
    assert await changes(sandbox) == asked
    assert await declared(sandbox, offer) == (5, 5)
    assert await problems(pool, offer) == ["not_granted"]


async def test_our_own_limits_hold(sandbox, pool, watch, add_codes):
    offers = [await sandbox.offer_for_sale(0, product_id=f"game-{number}") for number in range(3)]
    for number in range(3):
        await add_codes(*(f"CODE-{number}-{each}" for each in range(9)), product=f"game-{number}")
    await watch(limit=4, changes=2).look()
    assert sorted([await declared(sandbox, offer) for offer in offers]) == [(0, 0), (4, 4), (4, 4)]
    await watch(limit=4, changes=2).look()
    assert [await declared(sandbox, offer) for offer in offers] == [(4, 4)] * 3


async def test_a_change_that_fails_is_told_and_made_later(sandbox, pool, watch, add_codes):
    offer = await sandbox.offer_for_sale(1)
    await add_codes(*(f"CODE-{number}" for number in range(9)))
    await sandbox.fail({"provider": "kinguin-seller", "call": "change_offer", "kind": "error", "status": 503})
    await watch().look()
    assert await problems(pool, offer) == ["not_declared", "change_refused"]
    await sandbox.fail()
    await watch().look()
    assert await declared(sandbox, offer) == (9, 9)
    assert await problems(pool, offer) == []


async def test_an_offer_that_is_gone_is_forgotten(sandbox, pool, watch):
    await sandbox.offer_for_sale(1)
    await pool.execute("insert into stock_offers (offer_id, product_id, name, status) values ('gone', 'p', '', '')")
    await watch().look()
    assert await stored(pool, "gone") is None


async def test_two_workers_do_not_look_at_once(sandbox, pool, watch, add_codes):
    await sandbox.offer_for_sale(1)
    await add_codes("AAAA", "BBBB")
    await sandbox.set(latency=0.2)
    await asyncio.gather(watch().look(), watch().look(), watch().look())
    assert await changes(sandbox) == 1
