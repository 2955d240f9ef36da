"""Placing, reading and finding orders, by Kinguin's documentation."""

import json

import pytest

LINE = {"productId": "game-1", "qty": 1, "price": 5.79}


async def place(sandbox, *lines, **members):
    return await sandbox.esa("POST", "/v2/order", json={"products": lines or [LINE], **members})


def is_error(reply, status, kind):
    body = reply.json()
    told = (reply.status, body["status"], body["kind"])
    return told == (status, status, kind) and {"detail", "path", "method", "trace", "timestamp"} <= set(body)


async def test_a_placed_order_has_every_documented_member(sandbox, order_id):
    reply = await place(sandbox, {"productId": "game-7", "qty": 2, "price": 5.79}, orderExternalId=order_id)
    assert reply.status == 201
    order = reply.json()
    (line,) = order["products"]
    assert (order["status"], order["orderExternalId"], order["totalQty"]) == ("processing", order_id, 2)
    assert (order["totalPrice"], order["requestTotalPrice"], order["paymentPrice"]) == (2, 11.58, 2)
    assert isinstance(order["orderId"], str)
    assert isinstance(order["kinguinOrderId"], int)
    assert order["createdAt"] == "2026-01-01T00:00:00+00:00"
    assert {"storeId", "userEmail", "isPreorder"} <= set(order)
    assert (line["productId"], line["qty"], line["price"], line["requestPrice"]) == ("game-7", 2, 1, 5.79)
    assert {"kinguinId", "offerId", "name", "totalPrice", "isPreorder", "releaseDate", "keyType"} <= set(line)
    assert [set(key) for key in line["keys"]] == [{"id", "status"}] * 2
    assert {key["status"] for key in line["keys"]} == {"PENDING"}


async def test_money_keeps_its_decimals(sandbox):
    await sandbox.offer("cheap", {"price": "0.10", "qty": 9})
    reply = await place(sandbox, {"productId": "cheap", "qty": 3, "price": 0.1})
    assert '"totalPrice":0.3' in reply.text


async def test_the_payment_price_may_be_a_text(sandbox):
    await sandbox.set(paymentPrice="text")
    assert (await place(sandbox)).json()["paymentPrice"] == "1.00"


async def test_an_order_by_number_is_the_same_product(sandbox):
    product = await sandbox.offer("game-9", {"price": 3, "qty": 5})
    body = {"products": [{"kinguinId": product["kinguinId"], "qty": 1, "price": 3}]}
    reply = await sandbox.esa("POST", "/v1/order", json=body)
    assert (reply.status, reply.json()["products"][0]["productId"]) == (201, "game-9")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("{", ""),
        ("[]", ""),
        ("[" * 100_000, ""),
        ('{"products":' * 500 + "1" + "}" * 500, "products"),
        ({}, "products"),
        ({"products": []}, "products"),
        ({"products": [{**LINE, "productId": f"g{n}"} for n in range(11)]}, "products"),
        ({"products": [LINE, LINE]}, "products"),
        ({"products": [7]}, "products[0]"),
        ({"products": [{**LINE, "qty": 0}]}, "products[0].qty"),
        ({"products": [{**LINE, "qty": True}]}, "products[0].qty"),
        ({"products": [{**LINE, "qty": 10}]}, "products[0].qty"),
        ({"products": [{**LINE, "qty": 1001, "offerId": "any"}]}, "products[0].qty"),
        (
            {"products": [{**LINE, "productId": f"g{n}", "qty": 600, "offerId": "any"} for n in range(2)]},
            "products",
        ),
        ({"products": [{"productId": "game-1", "qty": 1}]}, "products[0].price"),
        ({"products": [{**LINE, "price": "5.79"}]}, "products[0].price"),
        ({"products": [{**LINE, "price": 0}]}, "products[0].price"),
        ({"products": [{**LINE, "keyType": "image"}]}, "products[0].keyType"),
        ({"products": [{**LINE, "productId": 7}]}, "products[0].productId"),
        ({"products": [{"kinguinId": 7, "qty": 1, "price": 1}]}, "products[0].productId"),
        ({"products": [LINE], "orderExternalId": 7}, "orderExternalId"),
    ],
)
async def test_a_bad_order_is_a_constraint_violation_that_names_the_property(sandbox, body, path):
    raw = body if isinstance(body, str) else json.dumps(body)
    reply = await sandbox.esa("POST", "/v2/order", data=raw)
    assert is_error(reply, 400, "ConstraintViolation"), reply.text
    assert reply.json()["propertyPath"] == path
    assert (await sandbox.ledger())["purchases"] == []


@pytest.mark.parametrize("number", [2**40, 10**30, -5])
async def test_an_impossible_number_is_no_product(sandbox, number):
    body = {"products": [{"kinguinId": number, "qty": 1, "price": 5}]}
    assert is_error(await sandbox.esa("POST", "/v1/order", json=body), 422, "ProductUnavailable")
    assert (await sandbox.esa("GET", f"/v1/products/{number}")).status == 404


async def test_half_a_character_is_no_json(sandbox):
    raw = '{"products":[{"productId":"\\ud800","qty":1,"price":5}],"orderExternalId":"\\udfff"}'
    assert is_error(await sandbox.esa("POST", "/v2/order", data=raw), 400, "ConstraintViolation")


async def test_nine_keys_of_ten_products_are_the_most(sandbox):
    reply = await place(sandbox, *({"productId": f"g{n}", "qty": 9, "price": 2} for n in range(10)))
    assert (reply.status, reply.json()["totalQty"]) == (201, 90)


async def test_an_error_tells_where_and_when(sandbox):
    body = (await sandbox.esa("GET", "/v1/order/NOSUCH")).json()
    assert (body["kind"], body["status"]) == ("OrderNotFound", 404)
    assert (body["path"], body["method"]) == ("/api/v1/order/NOSUCH", "GET")
    assert body["timestamp"] == "2026-01-01T00:00:00+00:00"


async def test_a_missing_or_wrong_key_is_an_authorization_error(sandbox):
    for headers in ({"X-Api-Key": "guess"}, {"X-Api-Key": ""}):
        reply = await sandbox.esa("GET", "/v1/balance", headers=headers)
        assert is_error(reply, 401, "Authorization")


async def test_only_listed_addresses_may_order_and_fetch_keys(sandbox):
    order = await sandbox.order()
    await sandbox.set(buyerIps=["203.0.113.7"])
    assert is_error(await place(sandbox), 403, "Authorization")
    assert is_error(await sandbox.esa("GET", f"/v2/order/{order['orderId']}/keys"), 403, "Authorization")
    assert (await sandbox.esa("GET", "/v1/balance")).status == 200


async def test_an_account_without_a_billing_address_cannot_order(sandbox):
    await sandbox.set(billingAddress=False)
    assert is_error(await place(sandbox), 422, "OrderFailed")


async def test_an_order_is_paid_from_the_balance_until_it_is_too_small(sandbox):
    await sandbox.call("PUT", "/_balance", json={"balance": "2.50"})
    await sandbox.order(None, {"productId": "game-1", "qty": 2, "price": 1})
    assert (await sandbox.esa("GET", "/v1/balance")).text == '{"balance":0.5}'
    assert is_error(await place(sandbox), 422, "InsufficientBalance")
    assert (await sandbox.call("POST", "/_balance", json={"add": 1})).json() == {"balance": 1.5}
    assert (await place(sandbox)).status == 201


async def test_no_offer_at_the_price_is_product_unavailable(sandbox):
    await sandbox.offer("dear", {"price": "20.00", "qty": 5})
    assert is_error(await place(sandbox, {"productId": "dear", "qty": 1, "price": 19.99}), 422, "ProductUnavailable")
    assert (await place(sandbox, {"productId": "dear", "qty": 1, "price": 20})).status == 201


async def test_a_price_that_changed_meanwhile_makes_the_product_unavailable(sandbox):
    await sandbox.offer("hot", {"price": "5.00", "qty": 5})
    price = (await sandbox.esa("GET", "/v2/products/hot")).json()["price"]
    await sandbox.offer("hot", {"price": "6.00", "qty": 5})
    assert is_error(await place(sandbox, {"productId": "hot", "qty": 1, "price": price}), 422, "ProductUnavailable")


async def test_stock_runs_out(sandbox):
    await sandbox.offer("rare", {"price": 1, "qty": 3})
    assert (await place(sandbox, {"productId": "rare", "qty": 2, "price": 1})).status == 201
    assert is_error(await place(sandbox, {"productId": "rare", "qty": 2, "price": 1}), 422, "ProductUnavailable")
    assert (await place(sandbox, {"productId": "rare", "qty": 1, "price": 1})).status == 201


async def test_the_cheapest_offer_with_enough_keys_is_chosen(sandbox):
    offers = [{"offerId": "a", "price": 1, "qty": 1}, {"offerId": "b", "price": 2, "qty": 9}]
    await sandbox.offer("two", *offers)
    (line,) = (await place(sandbox, {"productId": "two", "qty": 2, "price": 3})).json()["products"]
    assert (line["offerId"], line["price"], line["requestPrice"]) == ("b", 2, 3)


async def test_several_offers_fill_what_none_has_alone(sandbox):
    await sandbox.offer("split", {"offerId": "a", "price": 1, "qty": 1}, {"offerId": "b", "price": 2, "qty": 2})
    order = (await place(sandbox, {"productId": "split", "qty": 3, "price": 2})).json()
    assert [(each["offerId"], each["qty"]) for each in order["products"]] == [("a", 1), ("b", 2)]
    assert (order["totalQty"], order["totalPrice"]) == (3, 5)
    (purchase,) = (await sandbox.ledger())["purchases"]
    assert (purchase["quantity"], purchase["paid"]) == (3, "5")


async def test_a_named_offer_is_the_one_that_sells(sandbox):
    await sandbox.offer("two", {"offerId": "a", "price": 1, "qty": 9}, {"offerId": "b", "price": 2, "qty": 9})
    (line,) = (await place(sandbox, {"productId": "two", "qty": 1, "price": 2, "offerId": "b"})).json()["products"]
    assert (line["offerId"], line["price"]) == ("b", 2)
    unknown = await place(sandbox, {"productId": "two", "qty": 1, "price": 2, "offerId": "c"})
    assert is_error(unknown, 422, "ProductUnavailable")


@pytest.mark.parametrize(("quantity", "price"), [(10, 5.5), (49, 5.5), (50, 5.4), (100, 5.3), (500, 5.2), (1000, 5.2)])
async def test_wholesale_buys_at_the_tier_of_the_quantity(sandbox, quantity, price):
    await sandbox.offer("bulk", {"offerId": "w", "price": 5.79, "qty": 2000, "tiers": [5.5, 5.4, 5.3, 5.2]})
    line = {"productId": "bulk", "qty": quantity, "price": price, "offerId": "w"}
    order = (await place(sandbox, line)).json()
    assert (order["products"][0]["price"], order["totalQty"]) == (price, quantity)
    below = await place(sandbox, {**line, "price": price - 0.01})
    assert is_error(below, 422, "ProductUnavailable")


async def test_more_than_nine_need_an_offer_with_wholesale(sandbox):
    await sandbox.offer("retail", {"offerId": "r", "price": 1, "qty": 2000})
    reply = await place(sandbox, {"productId": "retail", "qty": 10, "price": 5, "offerId": "r"})
    assert is_error(reply, 400, "ConstraintViolation")


async def test_the_same_external_id_is_a_second_order_unless_the_dial_says_otherwise(sandbox, order_id):
    first, second = await sandbox.order(order_id), await sandbox.order(order_id)
    assert first["orderId"] != second["orderId"]
    assert len((await sandbox.ledger(order_id))["purchases"]) == 2
    await sandbox.set(externalIds="refused")
    reply = await place(sandbox, orderExternalId=order_id)
    assert is_error(reply, 400, "ConstraintViolation")
    assert reply.json()["propertyPath"] == "orderExternalId"


async def test_an_order_is_found_by_its_external_id_only_after_a_while(sandbox, clock, order_id):
    await sandbox.set(lookupDelay=30)
    placed = await sandbox.order(order_id)
    query = {"params": {"orderExternalId": order_id}}
    assert (await sandbox.esa("GET", "/v1/order", **query)).json() == {"results": [], "item_count": 0}
    assert (await sandbox.order_now(placed["orderId"]))["orderExternalId"] == order_id
    clock.advance(30)
    found = (await sandbox.esa("GET", "/v1/order", **query)).json()
    assert ([each["orderId"] for each in found["results"]], found["item_count"]) == ([placed["orderId"]], 1)


async def test_the_search_matches_the_whole_external_id(sandbox, order_id):
    await sandbox.order(f"{order_id}/2")
    found = await sandbox.esa("GET", "/v1/order", params={"orderExternalId": order_id})
    assert found.json()["item_count"] == 0


async def test_the_search_pages_the_newest_first(sandbox, clock):
    placed = []
    for _ in range(3):
        placed.append((await sandbox.order())["orderId"])
        clock.advance(1)

    async def page(number):
        reply = await sandbox.esa("GET", "/v1/order", params={"page": number, "limit": 2})
        return [each["orderId"] for each in reply.json()["results"]], reply.json()["item_count"]

    assert await page(1) == ([placed[2], placed[1]], 3)
    assert await page(2) == ([placed[0]], 3)
    assert await page(3) == ([], 3)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "processing"}, 1),
        ({"status": "completed"}, 0),
        ({"productId": "game-1"}, 1),
        ({"productId": "game-2"}, 0),
        ({"kinguinId": "7"}, 0),
        ({"isPreorder": "no"}, 1),
        ({"isPreorder": "yes"}, 0),
        ({"orderId": "NOSUCH"}, 0),
        ({"createdAtFrom": "2026-01-01"}, 1),
        ({"createdAtFrom": "2026-01-01 00:00:01"}, 0),
        ({"createdAtTo": "2026-01-01T00:00:01"}, 1),
        ({"createdAtTo": "2025-12-31T23:59:59.000000Z"}, 0),
        ({"createdAtFrom": "2026-01-01T02:00:00+02:00"}, 1),
    ],
)
async def test_the_search_filters(sandbox, query, found):
    await sandbox.set(keyDelay=600)
    await sandbox.order()
    reply = await sandbox.esa("GET", "/v1/order", params=query)
    assert reply.json()["item_count"] == found, reply.text


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "101"},
        {"limit": "0"},
        {"page": "x"},
        {"status": "done"},
        {"isPreorder": "maybe"},
        {"createdAtFrom": "yesterday"},
    ],
)
async def test_a_bad_query_is_a_constraint_violation(sandbox, query):
    assert is_error(await sandbox.esa("GET", "/v1/order", params=query), 400, "ConstraintViolation")


async def test_the_numbers_of_old_orders_are_not_supported(sandbox):
    assert is_error(await sandbox.esa("GET", "/v1/order/20549751"), 422, "OrderNotSupported")


async def test_what_is_gone_from_the_documentation_is_not_found(sandbox):
    reply = await sandbox.esa("POST", "/v1/order/dispatch", json={"orderId": "X"})
    assert is_error(reply, 404, "Http")
    (call,) = (await sandbox.ledger())["calls"]
    assert (call["provider"], call["call"]) == ("kinguin-esa", "unknown")


async def test_the_rate_limit_is_two_thousand_calls_in_any_minute(sandbox, clock):
    for _ in range(1999):
        assert (await sandbox.esa("GET", "/v1/regions")).status == 200
    clock.advance(20)
    assert (await sandbox.esa("GET", "/v1/regions")).status == 200
    refused = await sandbox.esa("GET", "/v1/regions")
    assert is_error(refused, 429, "Http")
    assert refused.headers["retry-after"] == "40"
    clock.advance(40)
    assert (await sandbox.esa("GET", "/v1/regions")).status == 200


async def test_the_reservations_dialect_has_a_limit_only_when_asked(sandbox, clock, order_id):
    await sandbox.set(reservationsRateLimit=1)
    await sandbox.reserve(order_id)
    refused = await sandbox.kinguin("GET", "/reservations", params={"orderId": order_id})
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    clock.advance(60)
    assert (await sandbox.kinguin("GET", "/reservations", params={"orderId": order_id})).status == 200


async def test_the_ledger_files_all_calls_under_the_external_id(sandbox, receiver, order_id):
    external_id = f"{order_id}/1"
    order = await sandbox.order(external_id)
    await receiver.wait_for(2)
    await sandbox.order_now(order["orderId"])
    (key,) = (await sandbox.esa("GET", f"/v2/order/{order['orderId']}/keys")).json()
    ledger = await sandbox.ledger(order_id)
    assert [each["call"] for each in ledger["calls"]] == ["place", "order", "keys"]
    (purchase,) = ledger["purchases"]
    assert (purchase["reservationId"], purchase["orderId"]) == (order["orderId"], external_id)
    assert (purchase["productId"], purchase["quantity"], purchase["dialect"]) == ("game-1", 1, "esa")
    assert (purchase["keys"], purchase["paid"], purchase["takenBack"]) == ([key["serial"]], "1.00", [])
