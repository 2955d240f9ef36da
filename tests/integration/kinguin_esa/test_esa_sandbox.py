"""The `esa` dialect against the sandbox: whole purchases, from the price to the sealed codes."""

import asyncio
import base64
import contextlib
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest

from bitloot.errors import BitLootError, Cause, Refused, Transient, Unknown
from bitloot.ledger import open_pool
from bitloot.rate_limit import Rate, RateLimit, SharedRow
from bitloot.sealing import Opener
from fulfillment.kinguin.call_market import CallMarket
from fulfillment.kinguin.ports import Delivered, PurchaseMarket, Undelivered
from fulfillment.purchases import LIMITS, Purchase, split
from tests.fakes.sandbox import RunningSandbox
from tests.unit.kinguin import samples
from tests.unit.kinguin_esa.buyer import APPLE, EXTERNAL, ORDER, PEAR, line, purchase

DISTORTIONS = [
    "short",
    "long",
    "duplicate",
    "empty_code",
    "huge_code",
    "control_code",
    "foreign_external_id",
    "unknown_status",
    "wrong_quantity",
    "html",
    "error_body",
    "redirect",
]


async def fails(call, family: type[BitLootError], cause: Cause) -> BitLootError:
    with pytest.raises(BitLootError) as caught:
        await call
    assert (type(caught.value), caught.value.cause) == (family, cause), caught.value
    return caught.value


def allowed(may_fail: bool, *families: type[BitLootError]) -> contextlib.AbstractContextManager[None]:  # noqa: FBT001
    return contextlib.suppress(*families) if may_fail else contextlib.nullcontext()


async def delivered(market: PurchaseMarket, wanted: Purchase, reservation) -> Delivered:
    async with asyncio.timeout(30):
        while isinstance(fetched := await market.fetch(wanted, reservation), Undelivered):
            pass  # asked over HTTP: that is pause enough
    return fetched


async def sold(sandbox: RunningSandbox) -> list[dict]:
    return list((await sandbox.ledger(EXTERNAL))["purchases"])


async def calls(sandbox: RunningSandbox, name: str) -> int:
    return [each["call"] for each in (await sandbox.ledger(EXTERNAL))["calls"]].count(name)


async def test_an_order_of_two_products(market: PurchaseMarket, sandbox: RunningSandbox, opener: Opener):
    wanted = purchase(line(APPLE, 9), line(PEAR, 3))
    placed = await market.buy(wanted)
    assert (placed.asked, placed.paid, placed.overpaid) == (Decimal(12), Decimal(12), 0)
    lines = (await delivered(market, wanted, placed.reservation_id)).lines
    assert [len(each.codes) for each in lines] == [9, 3]
    theirs = {each["productId"]: sorted(each["keys"]) for each in await sold(sandbox)}
    ours = {
        wished.product_id: sorted(opener.open(code).decode() for code in each.codes)
        for wished, each in zip(wanted.lines, lines, strict=True)
    }
    assert ours == theirs
    (found,) = await market.look_up(EXTERNAL)
    assert (found.reservation_id, found.given, found.provider_status) == (placed.reservation_id, True, "completed")


async def test_a_purchase_whose_answer_was_lost_is_found_when_the_search_catches_up(market, sandbox):
    await sandbox.set(lookupDelay=0.3)
    await sandbox.fail({"provider": "kinguin-esa", "call": "place", "kind": "error_after", "status": 502, "count": 1})
    await fails(market.buy(purchase()), Unknown, Cause.PROVIDER_UNAVAILABLE)
    async with asyncio.timeout(20):
        while not (found := await market.look_up(EXTERNAL)):
            pass
    assert [each.given for each in found] == [True]
    assert len(await sold(sandbox)) == 1


async def test_a_purchase_that_never_came_through_is_not_found(market, sandbox):
    await sandbox.fail({"provider": "kinguin-esa", "call": "place", "kind": "error", "status": 500, "count": 1})
    await fails(market.buy(purchase()), Unknown, Cause.PROVIDER_UNAVAILABLE)
    assert await market.look_up(EXTERNAL) == ()
    assert not await sold(sandbox)


async def test_two_orders_for_one_id_are_both_told(market, sandbox):
    await market.buy(purchase())
    await market.buy(purchase())
    assert len(await market.look_up(EXTERNAL)) == 2


async def test_an_external_id_that_is_taken_buys_nothing_twice(market, sandbox):
    await sandbox.set(externalIds="refused")
    placed = await market.buy(purchase())
    await fails(market.buy(purchase()), Unknown, Cause.CONFLICT)
    assert [each.reservation_id for each in await market.look_up(EXTERNAL)] == [placed.reservation_id]


async def test_an_empty_account_buys_after_a_top_up(market, sandbox):
    await sandbox.call("PUT", "/_balance", json={"balance": 1})
    await fails(market.buy(purchase()), Transient, Cause.INSUFFICIENT_BALANCE)
    await sandbox.call("POST", "/_balance", json={"add": 50})
    assert (await market.buy(purchase())).given


async def test_the_price_is_read_and_capped(market, open_esa, sandbox):
    await sandbox.offer(APPLE, {"price": 10.5, "qty": 50}, {"price": 3, "qty": 1})
    await fails(market.buy(purchase(line(APPLE, 2, price="10"))), Refused, Cause.PRICE_CHANGED)
    async with open_esa(kinguin_price_allowance="5") as generous:
        assert (await generous.buy(purchase(line(APPLE, 2, price="10")))).paid == 21
    assert not await calls(sandbox, "place") > 1


async def test_what_is_sold_out_is_refused(market, sandbox):
    await sandbox.offer(APPLE)
    await fails(market.buy(purchase()), Refused, Cause.OUT_OF_STOCK)
    await sandbox.offer(APPLE, {"price": 1, "qty": 1})
    await fails(market.buy(purchase()), Refused, Cause.OUT_OF_STOCK)
    assert not await sold(sandbox)


async def test_wholesale(market, sandbox, opener):
    await sandbox.offer(APPLE, {"offerId": "w", "price": 5, "qty": 500, "tiers": [4, 3.5, 3.25]})
    ((part,),) = split([line(APPLE, 230, offer_id="w", wholesale=True)], LIMITS["esa"])
    wanted = purchase(part)
    placed = await market.buy(wanted)
    assert placed.paid == 230 * Decimal("3.25")
    (got,) = (await delivered(market, wanted, placed.reservation_id)).lines
    assert len({opener.open(code) for code in got.codes}) == 230


async def test_pictures(market, sandbox, opener):
    await sandbox.set(imageKeys=1, imageTypes=["image/png"])
    placed = await market.buy(purchase())
    (got,) = (await delivered(market, purchase(), placed.reservation_id)).lines
    assert {code.media_type for code in got.codes} == {"image/png"}
    (theirs,) = await sold(sandbox)
    assert [base64.b64encode(opener.open(code)).decode() for code in got.codes] == theirs["keys"]


async def test_a_preorder_waits_for_its_day(market, sandbox):
    day = datetime(2099, 5, 1, tzinfo=UTC)
    await sandbox.offer(APPLE, {"price": 5, "qty": 9, "isPreorder": True, "releaseDate": f"{day:%Y-%m-%d}"})
    placed = await market.buy(purchase())
    undelivered = await market.fetch(purchase(), placed.reservation_id)
    assert isinstance(undelivered, Undelivered)
    assert undelivered.ask_again_at == day


async def test_a_part_that_came_is_told_while_the_rest_is_awaited(market, sandbox):
    await sandbox.set(keySpread=600)
    wanted = purchase(line(APPLE, 3))
    placed = await market.buy(wanted)
    async with asyncio.timeout(20):
        while True:
            told = await market.fetch(wanted, placed.reservation_id)
            assert isinstance(told, Undelivered)
            if told.lines[0].delivered:
                break
    assert (told.provider_status, told.lines[0].quantity) == ("processing", 3)
    await sandbox.call("POST", f"/_esa/{EXTERNAL}/deliver")
    assert isinstance(await market.fetch(wanted, placed.reservation_id), Delivered)


@pytest.mark.parametrize(("event", "cause"), [("cancel", Cause.CANCELED), ("refund", Cause.REFUNDED)])
async def test_what_kinguin_took_back_is_told(market, sandbox, event, cause):
    await sandbox.set(keyDelay=600)
    placed = await market.buy(purchase())
    await sandbox.call("POST", f"/_esa/{EXTERNAL}/{event}")
    await fails(market.fetch(purchase(), placed.reservation_id), Refused, cause)


async def test_keys_that_repeat_are_never_handed_on(market, sandbox):
    await sandbox.offer(APPLE, {"offerId": "w", "price": 1, "qty": 500, "tiers": [1]})
    wanted = purchase(line(APPLE, 130, offer_id="w", wholesale=True))
    placed = await market.buy(wanted)
    await delivered(market, wanted, placed.reservation_id)
    await sandbox.set(keyPages="repeated", seed=1)
    await fails(market.fetch(wanted, placed.reservation_id), Transient, Cause.BAD_ANSWER)


async def test_calls_are_carried_out(market, sandbox, opener):
    items = CallMarket(market)
    placed = await items.buy(samples.buy(2))
    (found,) = await items.look_up(samples.look_up())
    assert found.reservation_id == placed.reservation_id
    async with asyncio.timeout(20):
        while isinstance(told := await items.fetch(samples.fetch(2, reservation=placed.reservation_id)), Undelivered):
            pass
    (theirs,) = (await sandbox.ledger(samples.EXTERNAL))["purchases"]
    assert [opener.open(code).decode() for code in told.lines[0].codes] == theirs["keys"]
    await fails(items.buy(samples.buy(10)), Refused, Cause.REJECTED)


@pytest.mark.parametrize("call", ["place", "order", "keys", "search"])
@pytest.mark.parametrize("how", DISTORTIONS)
async def test_an_answer_that_is_well_formed_and_wrong_neither_sells_twice_nor_short(
    market: PurchaseMarket, sandbox: RunningSandbox, opener: Opener, call: str, how: str
):
    wanted = purchase(line(APPLE, 3))
    await sandbox.fail({"provider": "kinguin-esa", "call": call, "kind": "distorted", "how": how, "count": 1})
    with allowed(call == "place", Unknown):
        await market.buy(wanted)
    with allowed(call == "search", Transient):
        assert len(await market.look_up(EXTERNAL)) == 1
    (found,) = await market.look_up(EXTERNAL)
    fetched: Delivered | None = None
    with allowed(call in {"order", "keys"}, Transient, Refused):
        fetched = await delivered(market, wanted, found.reservation_id)
    fetched = fetched or await delivered(market, wanted, found.reservation_id)
    (theirs,) = await sold(sandbox)
    assert sorted(opener.open(code).decode() for code in fetched.lines[0].codes) == sorted(theirs["keys"])


async def test_a_limit_that_was_set_too_high_is_learned_from_429s(open_esa, sandbox: RunningSandbox, database: str):
    async def outcome(market: PurchaseMarket, number: int) -> str:
        try:
            await market.look_up(f"{ORDER}-{number}")
        except Transient as error:
            return f"{error.cause}, {'answered' if 'answered 429' in error.detail else 'held back'}"
        return "answered"

    await sandbox.set(esaRateLimit=10)
    pool: asyncpg.Pool
    async with open_pool(database) as pool:
        limits = [RateLimit(SharedRow(pool, "esa", Rate(2000, per=60.0))) for _ in range(2)]
        async with (
            open_esa(limits[0], kinguin_wait_seconds=1) as one,
            open_esa(limits[1], kinguin_wait_seconds=1) as two,
        ):
            outcomes = [await outcome((one, two)[number % 2], number) for number in range(60)]
    assert set(outcomes) == {"answered", "rate_limited, answered", "rate_limited, held back"}
    assert outcomes.count("answered") == 10
    assert outcomes.count("rate_limited, answered") <= 12  # what was in hand already
