"""The catalogue, by Kinguin's documentation."""

import pytest


async def product(sandbox, product_id):
    return await sandbox.esa("GET", f"/v2/products/{product_id}")


async def found(sandbox, **query):
    reply = await sandbox.esa("GET", "/v1/products", params=query)
    assert reply.status == 200, reply.text
    assert reply.json()["item_count"] >= len(reply.json()["results"])
    return [each["productId"] for each in reply.json()["results"]]


async def test_any_product_is_for_sale_unless_the_dial_says_otherwise(sandbox):
    reply = await product(sandbox, "5c9b5f6b2539a4e8f172916a")
    assert (reply.status, reply.json()["price"], reply.json()["offers"][0]["price"]) == (200, 1, 1)
    by_number = await sandbox.esa("GET", f"/v1/products/{reply.json()['kinguinId']}")
    assert by_number.json() == reply.json()
    await sandbox.set(anyProduct=False)
    assert (await product(sandbox, "unheard-of")).status == 404
    unknown = {"products": [{"productId": "unheard-of", "qty": 1, "price": 5}]}
    refused = await sandbox.esa("POST", "/v2/order", json=unknown)
    assert refused.json()["kind"] == "ProductUnavailable"


async def test_stock_and_price_are_those_of_the_cheapest_offers(sandbox):
    await sandbox.offer(
        "game-4",
        {"offerId": "dear", "price": "9.50", "qty": 100, "textQty": 0},
        {"offerId": "a", "price": "4.25", "qty": 7, "textQty": 5, "availableQty": 3, "availableTextQty": 2},
        {"offerId": "b", "price": "4.25", "qty": 2},
        {"offerId": "sold-out", "price": "1.00", "qty": 0},
        name="Forza Horizon",
    )
    body = (await product(sandbox, "game-4")).json()
    assert (body["price"], body["qty"], body["textQty"], body["totalQty"]) == (4.25, 9, 7, 109)
    assert (body["cheapestOfferId"], body["offersCount"]) == (["a", "b"], 3)
    offer = body["offers"][0]
    assert (offer["availableQty"], offer["availableTextQty"]) == (3, 2)
    assert offer["wholesale"] == {"enabled": False, "tiers": []}


async def test_wholesale_tiers_are_shown(sandbox):
    await sandbox.offer("bulk", {"price": 5.79, "qty": 1000, "tiers": [5.5, 5.4, 5.3, 5.2]})
    (offer,) = (await product(sandbox, "bulk")).json()["offers"]
    assert offer["wholesale"]["enabled"]
    assert offer["wholesale"]["tiers"][0] == {"level": 1, "price": 5.5}


async def test_out_of_stock_and_taken_away_are_not_found(sandbox):
    await sandbox.offer("gone", {"price": 1, "qty": 0})
    reply = await product(sandbox, "gone")
    assert (reply.status, reply.json()["kind"]) == (404, "ProductUnavailable")
    await sandbox.offer("gone", {"price": 1, "qty": 1})
    assert (await product(sandbox, "gone")).status == 200
    assert (await sandbox.call("DELETE", "/_products/gone")).status == 204
    assert (await product(sandbox, "gone")).status == 404
    assert (await sandbox.esa("GET", "/v1/products/0")).status == 404


@pytest.mark.parametrize(
    ("query", "products"),
    [
        ({}, ["c", "b", "a"]),
        ({"name": "halo"}, ["a"]),
        ({"productId": "a,c"}, ["c", "a"]),
        ({"kinguinId": "101,102"}, ["b", "a"]),
        ({"platform": "Xbox"}, ["b"]),
        ({"genre": "Puzzle,RPG"}, ["c"]),
        ({"withText": "yes"}, ["c", "a"]),
        ({"isPreorder": "yes"}, ["c"]),
        ({"isPreorder": "no"}, ["b", "a"]),
        ({"updatedSince": "2026-01-01T00:00:01"}, ["c", "b"]),
        ({"updatedTo": "2026-01-01 00:00:00"}, ["a"]),
        ({"sortBy": "kingiunId", "sortType": "asc"}, ["a", "b", "c"]),
        ({"limit": "2"}, ["c", "b"]),
        ({"limit": "2", "page": "2"}, ["a"]),
        ({"priceFrom": "1000"}, ["c", "b", "a"]),  # deprecated: no filter any more
    ],
)
async def test_the_catalogue_is_filtered_sorted_and_paged(sandbox, clock, query, products):
    await sandbox.offer("a", {"price": 1, "qty": 1}, name="Halo Infinite", kinguinId=101)
    clock.advance(1)
    await sandbox.offer("b", {"price": 1, "qty": 1, "textQty": 0}, kinguinId=102, platform="Xbox")
    clock.advance(1)
    soon = {"price": 1, "qty": 1, "isPreorder": True, "releaseDate": "2027-01-01"}
    await sandbox.offer("c", soon, kinguinId=103, genres=["Puzzle"])
    await sandbox.offer("empty", {"price": 1, "qty": 0})
    assert await found(sandbox, **query) == products


@pytest.mark.parametrize(
    "query",
    [
        {"name": "ab"},
        {"limit": "101"},
        {"sortBy": "price"},
        {"sortType": "up"},
        {"updatedSince": "soon"},
        {"withText": "1"},
    ],
)
async def test_a_bad_query_is_a_constraint_violation(sandbox, query):
    reply = await sandbox.esa("GET", "/v1/products", params=query)
    assert (reply.status, reply.json()["kind"]) == (400, "ConstraintViolation")


async def test_regions_platforms_and_genres_are_lists(sandbox):
    assert {"id": 3, "name": "REGION FREE"} in (await sandbox.esa("GET", "/v1/regions")).json()
    assert "PC Steam" in (await sandbox.esa("GET", "/v1/platforms")).json()
    assert "Action" in (await sandbox.esa("GET", "/v1/genres")).json()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/_products/x", {"offers": [{"price": 0, "qty": 1}]}, 422),
        ("PUT", "/_products/x", {"offers": [{"price": 1, "qty": 1, "textQty": 2}]}, 422),
        ("PUT", "/_products/x", {"offers": [{"price": 1, "qty": 1, "isPreorder": True}]}, 422),
        ("PUT", "/_products/x", {"offer": []}, 422),
        ("PUT", "/_balance", {"balance": -1}, 422),
        ("POST", "/_balance", {"plus": 1}, 422),
        ("POST", "/_esa/NOSUCH/deliver", {}, 404),
    ],
)
async def test_a_bad_control_request_is_a_problem_document(sandbox, method, path, body, status):
    reply = await sandbox.call(method, path, json=body)
    assert (reply.status, reply.headers["content-type"].split(";")[0]) == (status, "application/problem+json")


async def test_the_control_plane_shows_what_is_left(sandbox):
    await sandbox.offer("rare", {"price": 1, "qty": 1})
    await sandbox.order(None, {"productId": "rare", "qty": 1, "price": 1})
    assert (await sandbox.call("GET", "/_products/rare")).json()["totalQty"] == 0
    assert (await sandbox.call("GET", "/_balance")).json() == {"balance": 999_999}
