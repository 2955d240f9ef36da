"""The fault table of the contract "Kinguin", row by row, against a server on localhost."""

import base64
import json
import logging
import socket
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from bitloot.code_hashes import CodeHasher
from bitloot.errors import BitLootError, Cause, Refused, Transient, Unknown
from bitloot.sealing import KeyPair, Opener, Sealer
from fulfillment.kinguin.esa.api import BuyerApi
from fulfillment.kinguin.esa.market import BuyerMarket
from fulfillment.kinguin.esa.prices import PricePolicy
from fulfillment.kinguin.gateway import Gateway
from fulfillment.kinguin.market import market_over
from fulfillment.kinguin.ports import Delivered, DeliveredLine, LineProgress, Placed, PurchaseMarket, Undelivered
from tests.fakes.time import FakeTime
from tests.unit.kinguin.scripted import Hangs, HangsUp, Kinguin, Says
from tests.unit.kinguin_esa.buyer import (
    API_KEY,
    APPLE,
    EXTERNAL,
    KINGUIN_ID,
    OFFER,
    ORDER,
    PEAR,
    found,
    key,
    keys,
    line,
    offer,
    order,
    placed,
    problem,
    product,
    purchase,
    says,
)
from tests.unit.kinguin_esa.conftest import HASH_KEY

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
BAD_ANSWERS = {
    "html instead of json": Says(200, b"<html><body>Bad gateway</body></html>", {"Content-Type": "text/html"}),
    "json cut in half": Says(200, b'{"orderId": "PHS84FJAG5U", "orde'),
    "a name twice": Says(200, b'{"orderId": "PHS84FJAG5U", "orderId": "X"}'),
    "over the size limit": Says(200, b'{"orderId": "' + b"a" * (3 << 20) + b'"}'),
    "nested too deep": Says(200, b"[" * 100_000),
    "an error under status 200": problem(200, "ProductUnavailable"),
    "a redirect to another host": Says(307, b"", {"Location": "http://127.0.0.1:9/elsewhere"}),
    "a text": says(200, "hello"),
    "nothing": Says(204),
}


async def fails(call, family: type[BitLootError], cause: Cause) -> BitLootError:
    with pytest.raises(BitLootError) as caught:
        await call
    assert (type(caught.value), caught.value.cause) == (family, cause), caught.value
    assert "SECRET" not in repr(caught.value)
    return caught.value


# Buying


async def test_a_purchase_is_one_order_with_our_external_id(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("product", product(APPLE), product(PEAR, offer("3.10")))
    kinguin.script("place_order", placed((APPLE, 2), (PEAR, 1)))
    bought = await market.buy(purchase(line(APPLE, 2), line(PEAR, 1)))
    assert (bought.reservation_id, bought.given, bought.provider_status) == (KINGUIN_ID, True, "processing")
    (asked,) = kinguin.calls("place_order")
    assert asked.path == "/kinguin-esa/v2/order"
    assert asked.api_key == API_KEY
    assert json.loads(asked.raw, parse_float=Decimal) == {
        "orderExternalId": EXTERNAL,
        "products": [
            {"productId": APPLE, "qty": 2, "price": Decimal("5.79")},
            {"productId": PEAR, "qty": 1, "price": Decimal("3.10")},
        ],
    }
    assert b"3.10}" in asked.raw  # exactly as it was read, never a float


async def test_what_was_taken_is_compared_with_what_was_offered(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("product", product())
    kinguin.script("place_order", placed(paymentPrice="11.60"))
    bought = await market.buy(purchase())
    assert (bought.asked, bought.paid, bought.overpaid) == (Decimal("11.58"), Decimal("11.60"), Decimal("0.02"))
    kinguin.script("place_order", placed(paymentPrice=Decimal("11.50")))
    assert (await market.buy(purchase())).overpaid == 0
    kinguin.script("place_order", placed(paymentPrice=None, totalPrice=Decimal("12.00")))
    assert (await market.buy(purchase())).paid == 12
    assert Placed(KINGUIN_ID, given=True).overpaid == 0


async def test_an_image_may_come_unless_texts_are_asked_for(kinguin: Kinguin, gateway: Gateway, make_settings):
    kinguin.script("product", product())
    kinguin.script("place_order", placed())
    await market_over(gateway, make_settings(kinguin_key_type="text")).buy(purchase())
    assert kinguin.calls("place_order")[0].body["products"][0]["keyType"] == "text"


async def test_the_type_of_a_preorder_is_not_asked_for(kinguin: Kinguin, gateway: Gateway, make_settings):
    kinguin.script("product", product(APPLE, offer(textQty=0), isPreorder=True))
    kinguin.script("place_order", placed())
    await market_over(gateway, make_settings(kinguin_key_type="text")).buy(purchase())
    assert "keyType" not in kinguin.calls("place_order")[0].body["products"][0]


async def test_a_preorder_is_bought_alone(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("product", product(APPLE), product(PEAR, isPreorder=True))
    await fails(market.buy(purchase(line(APPLE), line(PEAR))), Refused, Cause.SOLD_ALONE)
    assert not kinguin.calls("place_order")


async def test_wholesale_names_its_offer_and_pays_the_price_of_its_tier(kinguin: Kinguin, market: PurchaseMarket):
    tiers = [
        {"level": level, "price": Decimal(price)} for level, price in [(1, "5.5"), (2, "5.4"), (3, "5.3"), (4, "5")]
    ]
    kinguin.script("product", product(APPLE, offer(qty=2000, wholesale={"enabled": True, "tiers": tiers})))
    kinguin.script("place_order", placed((APPLE, 60)))
    await market.buy(purchase(line(APPLE, 60, offer_id=OFFER, wholesale=True)))
    (asked,) = kinguin.calls("place_order")
    assert asked.body["products"] == [{"productId": APPLE, "qty": 60, "price": 5.4, "offerId": OFFER}]


@pytest.mark.parametrize("wholesale", [None, {"enabled": False, "tiers": []}, {"enabled": True, "tiers": []}])
async def test_an_offer_without_wholesale_sells_no_large_quantities(kinguin, market, wholesale):
    kinguin.script("product", product(APPLE, offer(wholesale=wholesale)))
    await fails(market.buy(purchase(line(APPLE, 60, offer_id=OFFER, wholesale=True))), Refused, Cause.OUT_OF_STOCK)


@pytest.mark.parametrize("lines", [[line(APPLE, 10)], [line(APPLE), line(APPLE)], [line(str(n), 9) for n in range(11)]])
async def test_more_than_one_order_takes_is_not_asked_for(kinguin: Kinguin, market: PurchaseMarket, lines):
    await fails(market.buy(purchase(*lines)), Refused, Cause.REJECTED)
    assert not kinguin.asked


# Prices


async def test_the_cheapest_offer_with_enough_stock_is_the_price(kinguin: Kinguin, market: PurchaseMarket):
    offers = [offer("4.00", 1, "a"), offer("6.00", 50, "b"), offer("5.00", 2, "c")]
    kinguin.script("product", product(APPLE, *offers))
    kinguin.script("place_order", placed())
    await market.buy(purchase(line(APPLE, 2)))
    assert kinguin.calls("place_order")[0].body["products"][0]["price"] == 5


async def test_never_more_than_the_cap(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("product", product(APPLE, offer("10.01")))
    error = await fails(market.buy(purchase(line(price="10"))), Refused, Cause.PRICE_CHANGED)
    assert "10.01 EUR" in error.detail
    assert "10.00 EUR" in error.detail
    assert not kinguin.calls("place_order")


async def test_an_unknown_currency_is_refused_in_plain_words(kinguin: Kinguin, market: PurchaseMarket):
    error = await fails(market.buy(purchase(line(currency="usd"))), Refused, Cause.REJECTED)
    assert error.detail == "no rate from usd to EUR is set (KINGUIN_EUR_RATES)"
    assert not kinguin.asked


async def test_when_the_offer_has_just_gone_prices_are_read_once_more(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("product", product(APPLE, offer("5.00")), product(APPLE, offer("6.00")))
    kinguin.script("place_order", problem(404, "ProductUnavailable"), placed())
    bought = await market.buy(purchase())
    assert bought.asked == 12
    assert [each.body["products"][0]["price"] for each in kinguin.calls("place_order")] == [5, 6]
    assert {each.body["orderExternalId"] for each in kinguin.calls("place_order")} == {EXTERNAL}


async def test_a_new_price_above_the_cap_is_not_paid(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("product", product(APPLE, offer("5.00")), product(APPLE, offer("11.00")))
    kinguin.script("place_order", problem(422, "ProductUnavailable"))
    await fails(market.buy(purchase()), Refused, Cause.PRICE_CHANGED)
    assert len(kinguin.calls("place_order")) == 1


async def test_prices_are_not_read_for_ever(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("product", product())
    kinguin.script("place_order", problem(422, "ProductUnavailable"))
    await fails(market.buy(purchase()), Refused, Cause.OUT_OF_STOCK)
    assert len(kinguin.calls("place_order")) == 2


@pytest.mark.parametrize(
    "answer",
    [
        problem(404, "ProductUnavailable"),
        problem(404, None),
        product(APPLE, offer(qty=1)),
        product(APPLE, offer(), price=None, offers=[]),
        product(APPLE, offer(), price=None, offers=None),
        product(APPLE, offer("0")),
        product(APPLE, offer("0.0000000000000000001")),  # written out, such a number may fill the memory
    ],
    ids=lambda answer: repr(answer)[:60],
)
async def test_a_known_product_without_an_offer_is_out_of_stock(kinguin: Kinguin, market: PurchaseMarket, answer):
    kinguin.script("product", answer)
    await fails(market.buy(purchase()), Refused, Cause.OUT_OF_STOCK)


@pytest.mark.parametrize(
    "answer",
    [
        *BAD_ANSWERS.values(),
        product(PEAR),
        product(APPLE, offers=5),
        Says(404, b"<html>nginx</html>"),
        problem(500, "Error"),
        HangsUp(),
    ],
    ids=lambda answer: repr(answer)[:60],
)
async def test_a_product_that_cannot_be_read_is_read_again_before_anything_is_bought(kinguin, market, answer):
    kinguin.script("product", answer)
    with pytest.raises(Transient):
        await market.buy(purchase())
    assert not kinguin.calls("place_order")


# Buying, and what may go wrong with it


@pytest.fixture
def stocked(kinguin: Kinguin) -> Kinguin:
    kinguin.script("product", product())
    return kinguin


PERMANENT = {
    (400, "ConstraintViolation"): Cause.REJECTED,
    (422, "Preorder"): Cause.REJECTED,
    (400, "OrderNotSupported"): Cause.REJECTED,
    (400, None): Cause.REJECTED,
}


@pytest.mark.parametrize(("status", "kind"), PERMANENT)
async def test_a_permanent_refusal_says_why(stocked: Kinguin, market: PurchaseMarket, status, kind):
    stocked.script("place_order", problem(status, kind))
    error = await fails(market.buy(purchase()), Refused, PERMANENT[status, kind])
    assert "ab12" in error.detail
    assert len(stocked.calls("place_order")) == 1


UNCLEAR = [(422, "OrderFailed"), (422, None), (409, "ResourceLock"), (409, None), (400, "Http"), (408, None)]
UNCLEAR += [(502, "HttpClient"), (500, "Error"), (500, None), (503, None), (504, None)]


@pytest.mark.parametrize(("status", "kind"), UNCLEAR)
async def test_a_refusal_that_leaves_the_outcome_open_is_unknown(stocked, market, status, kind):
    stocked.script("place_order", problem(status, kind))
    with pytest.raises(Unknown):
        await market.buy(purchase())
    assert len(stocked.calls("place_order")) == 1


async def test_an_external_id_that_is_taken_means_that_there_is_an_order(stocked: Kinguin, market: PurchaseMarket):
    stocked.script("place_order", problem(400, "ConstraintViolation", propertyPath="orderExternalId"))
    await fails(market.buy(purchase()), Unknown, Cause.CONFLICT)


@pytest.mark.parametrize("status", [400, 402, 403, 422])
async def test_an_empty_balance_waits_for_a_top_up(stocked: Kinguin, market: PurchaseMarket, status):
    stocked.script("place_order", problem(status, "InsufficientBalance"))
    error = await fails(market.buy(purchase()), Transient, Cause.INSUFFICIENT_BALANCE)
    assert isinstance(error, Transient)
    assert error.retry_after == 60


@pytest.mark.parametrize("status", [401, 403])
async def test_a_bad_api_key_is_repaired_by_people(stocked: Kinguin, market: PurchaseMarket, status):
    stocked.script("place_order", problem(status, "Authorization"))
    error = await fails(market.buy(purchase()), Transient, Cause.AUTHORIZATION)
    assert isinstance(error, Transient)
    assert error.retry_after == 60
    assert len(stocked.calls("place_order")) == 1  # there is no other key to try
    assert API_KEY not in repr(error)


async def test_429_is_transient_and_its_wait_is_passed_on(stocked: Kinguin, market: PurchaseMarket):
    stocked.script("place_order", problem(429, None, {"Retry-After": "17"}))
    error = await fails(market.buy(purchase()), Transient, Cause.RATE_LIMITED)
    assert isinstance(error, Transient)
    assert error.retry_after == 17


async def test_a_connection_lost_after_sending_is_unknown(stocked: Kinguin, market: PurchaseMarket):
    stocked.script("place_order", HangsUp())
    await fails(market.buy(purchase()), Unknown, Cause.PROVIDER_UNAVAILABLE)
    assert len(stocked.calls("place_order")) == 1


async def test_no_answer_in_time_is_unknown(stocked: Kinguin, hasty_market: PurchaseMarket):
    stocked.script("place_order", Hangs())
    await fails(hasty_market.buy(purchase()), Unknown, Cause.TIMEOUT)


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_an_unreadable_answer_to_an_order_is_unknown(stocked: Kinguin, market: PurchaseMarket, answer):
    stocked.script("place_order", answer)
    await fails(market.buy(purchase()), Unknown, Cause.BAD_ANSWER)


@pytest.mark.parametrize(
    "answer",
    [
        placed(orderExternalId="another"),
        placed(orderExternalId=None),
        placed(orderExternalId=f"{EXTERNAL}0"),
        placed((PEAR, 2)),
        placed((APPLE, 3)),
        placed((APPLE, 2), (PEAR, 1)),
        placed(totalQty=3),
        placed(products=[]),
        placed(products=None),
        placed(products=["x"]),
        placed(orderId=None),
        placed(orderId=".."),
        placed(orderId="a b"),
        placed(status="dispatched"),
        placed(status=None),
    ],
    ids=lambda answer: repr(answer)[30:110],
)
async def test_an_order_that_is_not_ours_is_unknown(stocked: Kinguin, market: PurchaseMarket, answer):
    stocked.script("place_order", answer)
    await fails(market.buy(purchase()), Unknown, Cause.BAD_ANSWER)


async def test_one_line_may_be_filled_by_several_offers(stocked: Kinguin, market: PurchaseMarket):
    stocked.script("place_order", placed((APPLE, 1), (APPLE, 1)))
    assert (await market.buy(purchase(line(APPLE, 2)))).given


@pytest.mark.parametrize("status", ["canceled", "refunded", "completed"])
async def test_an_order_that_ended_at_once_keeps_its_id(stocked: Kinguin, market: PurchaseMarket, status):
    stocked.script("place_order", order(status, status_code=201))
    bought = await market.buy(purchase())
    assert (bought.reservation_id, bought.provider_status) == (KINGUIN_ID, status)


async def test_a_refused_connection_is_transient(open_esa, make_settings):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening
        async with open_esa(kinguin_base_url=f"http://127.0.0.1:{free.getsockname()[1]}") as gateway:
            await fails(market_over(gateway, make_settings()).buy(purchase()), Transient, Cause.PROVIDER_UNAVAILABLE)


# Looking up


async def test_a_look_up_returns_all_that_there_is(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("search", found(("A1", "processing"), ("A2", "completed"), ("A3", "canceled"), ("A4", "refunded")))
    there = await market.look_up(EXTERNAL)
    assert [(each.reservation_id, each.given, each.canceled) for each in there] == [
        ("A1", True, False),
        ("A2", True, False),
        ("A3", False, True),
        ("A4", True, False),  # it was bought: no reason to buy again
    ]
    (asked,) = kinguin.calls("search")
    assert (asked.path, asked.query) == (
        "/kinguin-esa/v1/order",
        {"page": "1", "limit": "100", "orderExternalId": EXTERNAL},
    )


async def test_only_our_exact_external_id_counts(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("search", found(("A1", "completed"), external=f"{EXTERNAL}0"))
    assert await market.look_up(EXTERNAL) == ()


async def test_nothing_found_is_an_answer(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("search", found())
    assert await market.look_up(EXTERNAL) == ()


async def test_a_look_up_reads_page_after_page(kinguin: Kinguin, gateway: Gateway):
    kinguin.script("search", found(("A1", "completed"), ("A2", "completed")), found(("A3", "canceled")))
    assert len(await BuyerApi(gateway, page_size=2).search(EXTERNAL)) == 3
    assert [each.query["page"] for each in kinguin.calls("search")] == ["1", "2"]


@pytest.mark.parametrize(
    "answer",
    [
        *BAD_ANSWERS.values(),
        says(200, {}),
        says(200, {"results": {}, "item_count": 0}),
        says(200, {"results": ["A1"], "item_count": 1}),
        says(200, {"results": [], "item_count": 1}),
        says(200, {"results": [], "item_count": "1"}),
        says(200, {"results": [], "item_count": Decimal("1.0")}),
        says(200, {"results": [{"orderId": "A1", "status": "completed"}], "item_count": 1}),
        found(("A1", "something new")),
        found(("A1", "completed"), external="00000000-0000-4000-8000-000000000000"),
        found(("A1", "completed"), ("A1", "completed")),
        problem(503, "HttpClient"),
        HangsUp(),
    ],
    ids=lambda answer: repr(answer)[:80],
)
async def test_a_look_up_that_could_hide_an_order_is_asked_again(kinguin: Kinguin, market: PurchaseMarket, answer):
    kinguin.script("search", answer)
    with pytest.raises(Transient):
        await market.look_up(EXTERNAL)


async def test_pages_of_orders_that_repeat_are_asked_again(kinguin: Kinguin, gateway: Gateway):
    kinguin.script("search", found(("A1", "completed"), ("A2", "completed")))
    await fails(BuyerApi(gateway, page_size=2).search(EXTERNAL), Transient, Cause.BAD_ANSWER)


# Codes


async def test_codes_come_sealed_line_by_line(kinguin: Kinguin, market: PurchaseMarket, opener: Opener):
    kinguin.script("order", order("completed", (APPLE, 2), (PEAR, 1)))
    kinguin.script("keys", keys(key(2, PEAR), key(3), key(1)))
    lines = (line(PEAR, 1), line(APPLE, 2))
    delivered = await market.fetch(purchase(*lines), KINGUIN_ID)
    assert isinstance(delivered, Delivered)
    opened = [(each.item_id, [opener.open(code) for code in each.codes]) for each in delivered.lines]
    assert delivered.lines[0].codes[0].hashes == CodeHasher([HASH_KEY]).of("SECRET-2")
    assert opened == [(f"{ORDER}-2", [b"SECRET-2"]), (f"{ORDER}-1", [b"SECRET-3", b"SECRET-1"])]
    assert [each.path for each in kinguin.asked] == [
        f"/kinguin-esa/v1/order/{KINGUIN_ID}",
        f"/kinguin-esa/v2/order/{KINGUIN_ID}/keys",
    ]


async def test_an_image_is_a_code_too(kinguin: Kinguin, market: PurchaseMarket, opener: Opener):
    image = key(2, serial=base64.b64encode(PNG).decode(), type="image/png")
    kinguin.script("order", order("completed"))
    kinguin.script("keys", keys(key(1), image))
    delivered = await market.fetch(purchase(), KINGUIN_ID)
    assert isinstance(delivered, Delivered)
    (codes,) = delivered.lines
    assert [(code.media_type, opener.open(code)) for code in codes.codes] == [
        ("text/plain", b"SECRET-1"),
        ("image/png", PNG),
    ]


async def test_keys_are_read_until_a_page_is_short(kinguin: Kinguin, gateway: Gateway, key_pair: KeyPair):
    kinguin.script("order", order("completed", (APPLE, 4)))
    kinguin.script("keys", keys(key(1), key(2)), keys(key(3), key(4)), keys())
    market = BuyerMarket(BuyerApi(gateway, page_size=2), Sealer(key_pair.public), PricePolicy(), clock=FakeTime())
    delivered = await market.fetch(purchase(line(APPLE, 4)), KINGUIN_ID)
    assert isinstance(delivered, Delivered)
    assert len(delivered.lines[0].codes) == 4
    assert [each.query for each in kinguin.calls("keys")] == [
        {"page": "1", "limit": "2"},
        {"page": "2", "limit": "2"},
        {"page": "3", "limit": "2"},
    ]


async def test_a_page_that_repeats_is_asked_again(kinguin: Kinguin, gateway: Gateway):
    kinguin.script("keys", keys(key(1), key(2)))
    await fails(BuyerApi(gateway, page_size=2).keys(KINGUIN_ID, 4), Transient, Cause.BAD_ANSWER)


async def test_pages_without_end_are_not_read_for_ever(kinguin: Kinguin, gateway: Gateway):
    kinguin.script("keys", *(keys(key(2 * n), key(2 * n + 1)) for n in range(50)))
    await fails(BuyerApi(gateway, page_size=2).keys(KINGUIN_ID, 4), Refused, Cause.QUANTITY_MISMATCH)
    assert len(kinguin.calls("keys")) == 4


async def test_keys_are_not_downloaded_before_all_are_there(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("order", order("processing", keys={APPLE: ["DELIVERED", "PROCESSING"]}))
    told = await market.fetch(purchase(), KINGUIN_ID)
    assert told == Undelivered("processing", None, (LineProgress(f"{ORDER}-1", 1, 2),))
    assert not kinguin.calls("keys")  # to download a key may be to claim it: it could not be returned any more


async def test_a_preorder_is_not_asked_for_before_its_release(kinguin, market, clock):
    told = order("processing", isPreorder=True, preorderReleaseDate="2026-04-01")
    kinguin.script("order", told)
    release = datetime(2026, 4, 1, tzinfo=UTC)
    undelivered = await market.fetch(purchase(), KINGUIN_ID)
    assert isinstance(undelivered, Undelivered)
    assert undelivered.ask_again_at == release
    clock.advance(days=40)
    undelivered = await market.fetch(purchase(), KINGUIN_ID)
    assert isinstance(undelivered, Undelivered)
    assert undelivered.ask_again_at is None


@pytest.mark.parametrize("date", ["9999-12-31", "9999-12-31T23:59:59.999999Z"])
async def test_a_preorder_without_a_day_yet_leaves_room_to_reckon(kinguin, market, clock, date):
    kinguin.script("order", order("processing", isPreorder=True, preorderReleaseDate=date))
    undelivered = await market.fetch(purchase(), KINGUIN_ID)
    assert isinstance(undelivered, Undelivered)
    assert undelivered.ask_again_at == clock() + timedelta(days=36_525)


@pytest.mark.parametrize("date", [None, "soon", 5, "2026-13-01"])
async def test_a_preorder_without_a_readable_date_is_asked_for_as_others_are(kinguin, market, date):
    kinguin.script("order", order("processing", isPreorder=True, preorderReleaseDate=date))
    undelivered = await market.fetch(purchase(), KINGUIN_ID)
    assert isinstance(undelivered, Undelivered)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (order("canceled"), Cause.CANCELED),
        (order("refunded"), Cause.REFUNDED),
        (order("refunded", keys={APPLE: ["DELIVERED", "DELIVERED"]}), Cause.REFUNDED),
        (order("canceled", keys={APPLE: ["DELIVERED"]}), Cause.CANCELED),
        (order("completed", keys={APPLE: ["REFUNDED", "REFUNDED"]}), Cause.REFUNDED),
        (order("processing", keys={APPLE: ["CANCELED", "CANCELED"]}), Cause.CANCELED),
        (order("completed", keys={APPLE: ["RETURNED", "RETURNED"]}), Cause.REFUNDED),
        (order("canceled", retryable=True), Cause.CANCELED),
    ],
    ids=lambda part: repr(part)[-80:],
)
async def test_what_kinguin_ended_is_believed_from_its_status(kinguin, market, answer, cause):
    kinguin.script("order", answer)
    await fails(market.fetch(purchase(), KINGUIN_ID), Refused, cause)
    assert not kinguin.calls("keys")


@pytest.mark.parametrize(
    ("standing", "word", "never"),
    [
        ("completed", "REFUNDED", "refunded"),
        ("processing", "CANCELED", "canceled"),
        ("canceled", "CANCELED", "canceled"),
        ("refunded", "REFUNDED", "refunded"),
        ("completed", "RETURNED", "refunded"),
    ],
)
async def test_partial_delivery_is_taken_key_by_key(kinguin, market, opener, standing, word, never):
    statuses = {APPLE: [word, word], PEAR: ["DELIVERED", word, "DELIVERED"]}
    kinguin.script("order", order(standing, (APPLE, 2), (PEAR, 3), keys=statuses))
    kinguin.script("keys", keys(key(1, PEAR), key(2, PEAR)))
    delivered = await market.fetch(purchase(line(APPLE, 2), line(PEAR, 3)), KINGUIN_ID)
    assert isinstance(delivered, Delivered)
    assert delivered.never == never
    opened = [[opener.open(code) for code in each.codes] for each in delivered.lines]
    assert opened == [[], [b"SECRET-1", b"SECRET-2"]]


async def test_what_is_delivered_in_part_is_not_downloaded_before_each_key_has_ended(kinguin, market):
    kinguin.script("order", order("processing", (APPLE, 3), keys={APPLE: ["DELIVERED", "CANCELED", "PROCESSING"]}))
    undelivered = await market.fetch(purchase(line(APPLE, 3)), KINGUIN_ID)
    assert isinstance(undelivered, Undelivered)
    assert not kinguin.calls("keys")


@pytest.mark.parametrize(
    ("entries", "family"),
    [([key(1), key(2), key(3)], Refused), ([key(1)], Transient), ([key(1), key(2, PEAR)], Refused)],
    ids=["more", "fewer", "others"],
)
async def test_of_a_partial_delivery_exactly_what_is_said_to_be_there_is_taken(kinguin, market, entries, family):
    kinguin.script("order", order("completed", (APPLE, 3), keys={APPLE: ["DELIVERED", "CANCELED", "DELIVERED"]}))
    kinguin.script("keys", keys(*entries))
    await fails(market.fetch(purchase(line(APPLE, 3)), KINGUIN_ID), family, Cause.QUANTITY_MISMATCH)


async def test_a_complete_order_with_too_few_keys_is_asked_again(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("order", order("completed"))
    kinguin.script("keys", keys(key(1)))
    error = await fails(market.fetch(purchase(), KINGUIN_ID), Transient, Cause.QUANTITY_MISMATCH)
    assert error.detail == "the order is completed, but has 1 keys instead of 2"


@pytest.mark.parametrize(
    ("entries", "cause"),
    [
        ([key(1), key(2), key(3)], Cause.QUANTITY_MISMATCH),
        ([key(1), key(2), key(3, PEAR)], Cause.QUANTITY_MISMATCH),
        ([key(1), key(2, PEAR)], Cause.QUANTITY_MISMATCH),
        ([key(1), key(2, serial="SECRET-1")], Cause.BAD_CODES),
        ([key(1), key(2, serial="")], Cause.BAD_CODES),
        ([key(1), key(2, serial=None)], Cause.BAD_CODES),
        ([key(1), key(2, serial=5)], Cause.BAD_CODES),
        ([key(1), key(2, serial="SECRET\x00")], Cause.BAD_CODES),
        ([key(1), key(2, serial="SECRET\u202e")], Cause.BAD_CODES),
        ([key(1), key(2, serial="SECRET" * 170_000)], Cause.BAD_CODES),
        ([key(1), key(2, type="application/pdf")], Cause.BAD_CODES),
        ([key(1), key(2, type="image/png")], Cause.BAD_CODES),
    ],
    ids=lambda part: repr(part)[-90:],
)
async def test_codes_that_cannot_be_handed_on_say_why(kinguin, market, entries, cause):
    kinguin.script("order", order("completed"))
    kinguin.script("keys", keys(*entries))
    await fails(market.fetch(purchase(), KINGUIN_ID), Refused, cause)


@pytest.mark.parametrize(
    "answer",
    [
        *BAD_ANSWERS.values(),
        says(200, {"keys": []}),
        says(200, ["SECRET-1"]),
        keys(key(1), key(1)),
        keys(key(1), key(1, serial="SECRET-2")),
        keys(key(1), key(2, id=None)),
        keys(key(1), key(2, productId=None)),
        problem(404, "OrderNotFound"),
        problem(409, "ResourceLock"),
        problem(500, "Error"),
        HangsUp(),
    ],
    ids=lambda answer: repr(answer)[:80],
)
async def test_a_list_of_keys_that_makes_no_sense_is_asked_again(kinguin: Kinguin, market: PurchaseMarket, answer):
    kinguin.script("order", order("completed"))
    kinguin.script("keys", answer)
    with pytest.raises(Transient) as caught:
        await market.fetch(purchase(), KINGUIN_ID)
    assert "SECRET" not in repr(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        *BAD_ANSWERS.values(),
        order("completed", orderExternalId="another"),
        order("completed", orderId="ANOTHER"),
        order("completed", (PEAR, 2)),
        order("completed", (APPLE, 1)),
        order("something new"),
        problem(404, "OrderNotFound"),  # too young, perhaps: a few tries later a human looks
        problem(404, None),
        problem(409, "ResourceLock"),
        problem(502, "HttpClient"),
        HangsUp(),
    ],
    ids=lambda answer: repr(answer)[:80],
)
async def test_an_order_that_makes_no_sense_is_asked_for_again(kinguin: Kinguin, market: PurchaseMarket, answer):
    kinguin.script("order", answer)
    with pytest.raises(Transient):
        await market.fetch(purchase(), KINGUIN_ID)
    assert not kinguin.calls("keys")


async def test_a_legacy_order_is_not_supported(kinguin: Kinguin, market: PurchaseMarket):
    kinguin.script("order", problem(400, "OrderNotSupported"))
    await fails(market.fetch(purchase(), KINGUIN_ID), Refused, Cause.REJECTED)


async def test_there_is_nothing_to_give(kinguin: Kinguin, market: PurchaseMarket):
    await market.give(KINGUIN_ID)
    assert not kinguin.asked


# Keys back, and money


async def test_keys_are_returned_without_a_body(kinguin: Kinguin, api: BuyerApi):
    kinguin.script("return_keys", says(200, [{"id": "k1", "status": "DELIVERED"}, {"id": "k2", "status": "RETURNED"}]))
    returned = await api.return_keys(KINGUIN_ID)
    assert [(each.key_id, each.status) for each in returned] == [("k1", "DELIVERED"), ("k2", "RETURNED")]
    (asked,) = kinguin.asked
    assert (asked.method, asked.path, asked.raw) == ("POST", f"/kinguin-esa/v2/order/{KINGUIN_ID}/keys/return", b"")


@pytest.mark.parametrize(
    ("answer", "family", "cause"),
    [
        (problem(422, "NoKeysToReturn"), Refused, Cause.REJECTED),
        (problem(404, "OrderNotFound"), Refused, Cause.NOT_FOUND),
        (problem(409, "ResourceLock"), Unknown, Cause.CONFLICT),
        (problem(500, "Error"), Unknown, Cause.PROVIDER_UNAVAILABLE),
        (says(200, {"ok": True}), Unknown, Cause.BAD_ANSWER),
        (says(200, ["k1"]), Unknown, Cause.BAD_ANSWER),
        (says(200, [{"id": "k1"}]), Unknown, Cause.BAD_ANSWER),
    ],
    ids=lambda part: repr(part)[:60],
)
async def test_a_return_that_failed_says_how(kinguin: Kinguin, api: BuyerApi, answer, family, cause):
    kinguin.script("return_keys", answer)
    await fails(api.return_keys(KINGUIN_ID), family, cause)


@pytest.mark.parametrize(
    ("told", "balance"), [(b"12.45", "12.45"), (b'"12.450000000000000001"', "12.450000000000000001"), (b"0", "0")]
)
async def test_a_balance_is_exact(kinguin: Kinguin, api: BuyerApi, told, balance):
    kinguin.script("balance", Says(200, b'{"balance": ' + told + b"}"))
    assert await api.balance() == Decimal(balance)


@pytest.mark.parametrize("told", [b"-5", b"null", b"true", b'"much"', b"1e400", b'"1e5"', b"1e-400"])
async def test_what_is_no_balance_is_asked_again(kinguin: Kinguin, api: BuyerApi, told):
    kinguin.script("balance", Says(200, b'{"balance": ' + told + b"}"))
    await fails(api.balance(), Transient, Cause.BAD_ANSWER)


# Secrets


async def test_neither_the_api_key_nor_a_code_is_ever_logged(kinguin, market, caplog):
    caplog.set_level(logging.DEBUG)
    kinguin.script("product", product())
    kinguin.script("place_order", placed())
    kinguin.script("order", order("completed"))
    await market.buy(purchase())
    kinguin.script("keys", keys(key(1), key(2)))
    fetched = await market.fetch(purchase(), KINGUIN_ID)
    assert isinstance(fetched, Delivered)
    assert isinstance(fetched.lines[0], DeliveredLine)
    assert "SECRET" not in repr(fetched)
    for answer in (keys(key(1), key(1)), keys(key(1), key(2, serial="SECRET\x00"))):
        kinguin.script("keys", answer)
        with pytest.raises(BitLootError) as caught:
            await market.fetch(purchase(), KINGUIN_ID)
        assert "SECRET" not in repr(caught.value)
    ours = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpcore"))
    assert "SECRET" not in ours
    assert API_KEY not in ours
