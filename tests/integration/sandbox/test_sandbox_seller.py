"""Selling on Kinguin, by the documentation of the sales manager and of Envoy."""

import asyncio
import re
from collections import Counter

import pytest

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
BODY = {
    "name",
    "price",
    "priceIWTR",
    "commissionRule",
    "productId",
    "offerId",
    "status",
    "reservationId",
    "availableStock",
    "buyableStock",
    "declaredStock",
    "reservedStock",
    "requestedKeyType",
    "updatedAt",
    "popularityBid",
}


async def told(receiver, *statuses):
    """Wait until these were told, and return everything that was."""

    def heard():
        return [each.json()["status"] for each in receiver.received]

    await receiver.wait_until(lambda: not Counter(statuses) - Counter(heard()))
    return heard()


async def sales(sandbox, reservation_id=""):
    reply = await sandbox.call("GET", "/_ledger", params={"parts": "sales", "orderId": reservation_id})
    return reply.json()["sales"]


async def stock(sandbox, offer_id):
    offer = (await sandbox.seller("GET", f"/offers/{offer_id}")).json()
    return tuple(offer[f"{name}Stock"] for name in ("declared", "available", "reserved", "buyable"))


async def event(sandbox, reservation_id, name):
    reply = await sandbox.call("POST", f"/_sell/{reservation_id}/{name}")
    assert reply.status == 200, reply.text
    return reply.json()["status"]


async def test_a_paid_reservation_asks_for_a_code_and_gets_it_delivered(sandbox, receiver):
    offer_id = await sandbox.offer_for_sale(5)
    (sale,) = await sandbox.sell(offer_id)
    reservation_id = sale["reservationId"]
    assert len(await told(receiver, "BUYING", "BOUGHT", "OUT_OF_STOCK")) == 3
    assert await stock(sandbox, offer_id) == (5, 0, 1, 4)

    reply = await sandbox.hand_over(offer_id, reservation_id, "AAAAA-BBBBB", requestId="r-1", externalId="our-7")
    assert (reply.status, reply.json()["reservationId"], reply.json()["externalId"]) == (201, reservation_id, "our-7")
    assert "AAAAA" not in reply.text
    await told(receiver, "DELIVERED")
    assert await stock(sandbox, offer_id) == (4, 0, 0, 4)

    (record,) = await sales(sandbox, reservation_id)
    assert (record["status"], record["code"], record["externalId"]) == ("DELIVERED", "AAAAA-BBBBB", "our-7")
    assert [(each["code"], each["status"]) for each in record["handovers"]] == [("AAAAA-BBBBB", 201)]
    history = [each["status"] for each in record["history"]]
    assert history == ["BUYING", "BOUGHT", "OUT_OF_STOCK", "DELIVERED"]
    ledger = await sandbox.ledger(reservation_id)
    assert [each["call"] for each in ledger["calls"]] == ["stock"]


async def test_the_webhooks_have_the_documented_members(sandbox, receiver):
    offer_id = await sandbox.offer_for_sale(5, "game-7")
    (sale,) = await sandbox.sell(offer_id)
    await told(receiver, "OUT_OF_STOCK")
    await sandbox.hand_over(offer_id, sale["reservationId"], "AAAAA", externalId="our-7")
    await told(receiver, "BUYING", "BOUGHT", "DELIVERED")
    assert {each.path for each in receiver.received} == {"/webhooks/kinguin"}
    assert {each.headers["x-auth-token"] for each in receiver.received} == {"test-kinguin-webhook-secret"}
    bodies = {each.json()["status"]: each.json() for each in receiver.received}
    assert all(set(body) == BODY for status, body in bodies.items() if status != "DELIVERED")
    assert set(bodies["DELIVERED"]) == BODY | {"releasedStockId", "releasedExternalStockId"}
    assert bodies["DELIVERED"]["releasedExternalStockId"] == "our-7"
    assert (bodies["BUYING"]["offerId"], bodies["BUYING"]["productId"]) == (offer_id, "game-7")
    assert bodies["BUYING"]["priceIWTR"] == {"amount": 999, "currency": "EUR"}
    assert MOMENT.fullmatch(bodies["BUYING"]["updatedAt"])
    assert not any("AAAAA" in str(body) for body in bodies.values())


async def test_a_code_is_taken_once_for_a_reservation(sandbox, receiver):
    await sandbox.set(keyDelay=600)
    offer_id = await sandbox.offer_for_sale()
    (sale,) = await sandbox.sell(offer_id)
    await told(receiver, "OUT_OF_STOCK")
    assert (await sandbox.hand_over(offer_id, sale["reservationId"], "AAAAA")).status == 201
    again = await sandbox.hand_over(offer_id, sale["reservationId"], "BBBBB")
    assert (again.status, again.json()["kind"]) == (409, "ReservationConflict")
    (record,) = await sales(sandbox)
    assert record["code"] == "AAAAA"
    assert [(each["code"], each["status"]) for each in record["handovers"]] == [("AAAAA", 201), ("BBBBB", 409)]


async def test_a_code_for_the_wrong_reservation_is_refused(sandbox, receiver):
    offer_id, other = await sandbox.offer_for_sale(), await sandbox.offer_for_sale()
    (held,) = await sandbox.sell(offer_id, hold=True)
    (done,) = await sandbox.sell(offer_id)
    await told(receiver, "OUT_OF_STOCK")
    await sandbox.hand_over(offer_id, done["reservationId"], "AAAAA")
    await told(receiver, "DELIVERED")
    unpaid = await sandbox.hand_over(offer_id, held["reservationId"], "BBBBB")
    processed = await sandbox.hand_over(offer_id, done["reservationId"], "BBBBB")
    unknown = await sandbox.hand_over(offer_id, "nope", "BBBBB")
    foreign = await sandbox.hand_over(other, done["reservationId"], "BBBBB")
    for refused in (unpaid, processed, unknown, foreign):
        assert (refused.status, refused.json()["kind"]) == (400, "InvalidReservation")


@pytest.mark.parametrize(
    "change",
    [
        {"body": ""},
        {"body": "A" * (200 * 1024 + 1)},
        {"mimeType": "text/html"},
        {"requestId": "x" * 37},
        {"body": 7},
    ],
)
async def test_a_bad_code_is_refused(sandbox, receiver, change):
    offer_id = await sandbox.offer_for_sale()
    (sale,) = await sandbox.sell(offer_id)
    await told(receiver, "OUT_OF_STOCK")
    reply = await sandbox.hand_over(offer_id, sale["reservationId"], "AAAAA", **change)
    assert (reply.status, reply.json()["kind"]) == (400, "ConstraintViolation")
    assert (await sales(sandbox))[0]["code"] is None


async def test_uploaded_stock_is_sold_first_and_without_asking(sandbox, receiver):
    offer_id = await sandbox.offer_for_sale(0)
    body = {"body": "SHELF", "mimeType": "text/plain", "externalId": "our-1"}
    assert (await sandbox.seller("POST", f"/offers/{offer_id}/stock", json=body)).status == 201
    assert await stock(sandbox, offer_id) == (0, 1, 0, 1)
    await sandbox.sell(offer_id)
    assert "OUT_OF_STOCK" not in await told(receiver, "DELIVERED")
    assert await stock(sandbox, offer_id) == (0, 0, 0, 0)
    assert (await sales(sandbox))[0]["code"] == "SHELF"


async def test_a_cancel_frees_the_stock_and_ends_the_reservation(sandbox, receiver):
    offer_id = await sandbox.offer_for_sale(1)
    (sale,) = await sandbox.sell(offer_id, canceled=1)
    assert len(await told(receiver, "BUYING", "CANCELED")) == 2
    assert await stock(sandbox, offer_id) == (1, 0, 0, 1)
    assert (await sandbox.hand_over(offer_id, sale["reservationId"], "AAAAA")).status == 400


async def test_who_is_late_is_canceled_with_a_fee(sandbox, receiver):
    await sandbox.set(dispatchLimit=0)
    offer_id = await sandbox.offer_for_sale(1)
    (sale,) = await sandbox.sell(offer_id)
    await told(receiver, "CANCELED")
    (record,) = await sales(sandbox)
    assert (record["status"], record["late"]) == ("CANCELED", True)
    assert (await sandbox.hand_over(offer_id, sale["reservationId"], "AAAAA")).status == 400


async def test_the_dispatch_limit_is_fifteen_minutes(sandbox):
    assert (await sandbox.call("GET", "/_settings")).json()["dispatchLimit"] == 900


@pytest.mark.parametrize(
    ("name", "status"), [("returned", "RETURNED"), ("refunded", "REFUNDED"), ("reversed", "REVERSED")]
)
async def test_a_delivered_key_may_come_back_in_three_ways(sandbox, receiver, name, status):
    offer_id = await sandbox.offer_for_sale()
    (sale,) = await sandbox.sell(offer_id, **{name: 1})
    await told(receiver, "OUT_OF_STOCK")
    await sandbox.hand_over(offer_id, sale["reservationId"], "AAAAA")
    await told(receiver, "DELIVERED", status)
    assert (await sales(sandbox))[0]["status"] == status


async def test_a_reservation_that_is_held_goes_on_by_command(sandbox, receiver):
    offer_id = await sandbox.offer_for_sale()
    (sale,) = await sandbox.sell(offer_id, hold=True)
    reservation_id = sale["reservationId"]
    assert await told(receiver, "BUYING") == ["BUYING"]
    assert await event(sandbox, reservation_id, "give") == "OUT_OF_STOCK"
    assert await event(sandbox, reservation_id, "reversed") == "REVERSED"
    assert await stock(sandbox, offer_id) == (10, 0, 0, 10)
    await told(receiver, "BOUGHT", "OUT_OF_STOCK", "REVERSED")


async def test_an_event_that_is_out_of_turn_is_told_and_changes_nothing(sandbox, receiver):
    offer_id = await sandbox.offer_for_sale()
    (sale,) = await sandbox.sell(offer_id, hold=True)
    reservation_id = sale["reservationId"]
    await event(sandbox, reservation_id, "cancel")
    for late in ("give", "delivered", "reserve", "processingpreorder", "refunded", "cancel"):
        assert await event(sandbox, reservation_id, late) == "CANCELED"
    await told(receiver, "BOUGHT", "DELIVERED", "PROCESSING_PREORDER", "REFUNDED")
    assert [each["status"] for each in (await sales(sandbox))[0]["history"]] == ["BUYING", "CANCELED"]


async def test_events_repeat_and_overtake_one_another(sandbox, receiver):
    await sandbox.set(webhookDuplicates=1, webhookShuffle=0.05, seed=5)
    offer_id = await sandbox.offer_for_sale()
    await sandbox.sell(offer_id, count=3)
    heard = await told(receiver, *["BUYING", "BOUGHT", "OUT_OF_STOCK"] * 6)
    assert len(heard) == 18
    assert heard != sorted(heard, key=["BUYING", "BOUGHT", "OUT_OF_STOCK"].index)


async def test_a_lost_event_is_recorded(sandbox, receiver):
    await sandbox.fail({"provider": "kinguin-seller", "call": "give", "kind": "drop_webhook"})
    offer_id = await sandbox.offer_for_sale()
    (sale,) = await sandbox.sell(offer_id)
    assert "BOUGHT" not in await told(receiver, "OUT_OF_STOCK")
    webhooks = (await sandbox.ledger(sale["reservationId"]))["webhooks"]
    assert [each["event"] for each in webhooks if each["error"] == "dropped"] == ["give"]


async def test_other_events_are_sent_as_they_are(sandbox, receiver):
    reply = await sandbox.call("POST", "/_envoy/offerblocked", json={"offerId": "x"})
    assert reply.json() == {"sent": True}
    (received,) = await receiver.wait_for(1)
    assert received.json() == {"offerId": "x"}
    assert (await sandbox.call("POST", "/_envoy/unheardof", json={})).status == 404


async def test_only_what_is_active_and_in_stock_is_bought(sandbox):
    offer_id = await sandbox.offer_for_sale(1)
    too_many = await sandbox.call("POST", "/_sell", json={"offerId": offer_id, "count": 2})
    assert (too_many.status, too_many.json()["detail"]) == (409, "the offer is ACTIVE and has 1 keys to sell")
    changed = await sandbox.seller("PATCH", f"/offers/{offer_id}", json={"status": "INACTIVE"})
    assert (changed.json()["status"], changed.json()["buyableStock"]) == ("INACTIVE", 0)
    assert (await sandbox.call("POST", "/_sell", json={"offerId": offer_id})).status == 409
    assert (await sandbox.call("POST", "/_sell", json={"offerId": "nope"})).status == 404
    assert (await sandbox.call("POST", "/_sell", json={"offer": offer_id})).status == 422
    assert (await sandbox.call("POST", "/_sell/nope/give")).status == 404


async def test_declared_stock_is_granted_up_to_a_limit(sandbox):
    await sandbox.set(declaredStockLimit=100)
    offer_id = await sandbox.offer_for_sale(100)
    reply = await sandbox.seller("PATCH", f"/offers/{offer_id}", json={"declaredStock": 101})
    assert (reply.status, reply.json()["detail"]) == (400, "Max declared stock has been exceeded")
    text = await sandbox.seller("PATCH", f"/offers/{offer_id}", json={"declaredStock": 5, "declaredTextStock": 6})
    assert (text.status, text.json()["kind"]) == (400, "ConstraintViolation")
    assert await stock(sandbox, offer_id) == (100, 0, 0, 100)


@pytest.mark.parametrize(
    "price",
    [
        {"amount": 9.99, "currency": "EUR"},
        {"amount": 1_000_001, "currency": "EUR"},
        {"amount": 5, "currency": "USD"},
        5,
    ],
)
async def test_prices_are_whole_eurocents(sandbox, price):
    body = {"productId": "g", "price": price}
    assert (await sandbox.seller("POST", "/offers", json=body)).status == 400


async def test_three_changes_of_the_price_a_day_are_free(sandbox, clock):
    offer_id = await sandbox.offer_for_sale()

    async def change(amount):
        body = {"price": {"amount": amount, "currency": "EUR"}}
        return (await sandbox.seller("PATCH", f"/offers/{offer_id}", json=body)).json()["paidPriceChange"]

    assert [await change(amount) for amount in (1, 1, 2, 3, 4)] == [False, False, False, False, True]
    clock.advance(24 * 3600)
    await sandbox.call("DELETE", "/_tokens")
    sandbox.forget_token()
    assert await change(5) is False


async def test_offers_are_listed_and_read(sandbox):
    offer_id = await sandbox.offer_for_sale()
    listed = (await sandbox.seller("GET", "/offers")).json()
    assert ([each["id"] for each in listed["items"]], listed["total"]) == ([offer_id], 1)
    assert (await sandbox.seller("GET", "/offers/nope")).json()["kind"] == "OfferNotFound"


SUBSCRIPTION = "/envoy2/api/v1/subscription"


async def test_a_subscription_says_which_event_goes_where_with_which_headers(sandbox, receiver):
    wanted = {
        "endpoints": {"give": f"{receiver.url}/a", "outofstock": f"{receiver.url}/b"},
        "headers": [{"name": "X-Auth-Token", "value": "sub-secret"}],
    }
    assert (await sandbox.seller("GET", SUBSCRIPTION)).status == 404
    assert (await sandbox.seller("PUT", SUBSCRIPTION, json=wanted)).status == 404
    assert (await sandbox.seller("POST", SUBSCRIPTION, json=wanted)).status == 201
    assert (await sandbox.seller("POST", SUBSCRIPTION, json=wanted)).status == 409
    offer_id = await sandbox.offer_for_sale()
    await sandbox.sell(offer_id)
    received = await receiver.wait_for(2)
    assert sorted((each.path, each.json()["status"]) for each in received) == [("/a", "BOUGHT"), ("/b", "OUT_OF_STOCK")]
    assert {each.headers["x-auth-token"] for each in received} == {"sub-secret"}
    assert "sub-secret" not in str(await sandbox.ledger())
    assert "sub-secret" not in (await sandbox.seller("GET", SUBSCRIPTION)).text
    assert (await sandbox.call("POST", "/_envoy/chatmessage", json={})).json() == {"sent": False}
    changed = {**wanted, "endpoints": {"reserve": f"{receiver.url}/c"}}
    assert (await sandbox.seller("PUT", SUBSCRIPTION, json=changed)).status == 200
    await sandbox.sell(offer_id)
    assert (await receiver.wait_for(3))[-1].path == "/c"


async def test_the_history_tells_what_was_sent(sandbox, receiver):
    receiver.statuses = [503]
    offer_id = await sandbox.offer_for_sale()
    (sale,) = await sandbox.sell(offer_id, hold=True)
    await receiver.wait_for(2)
    query = {"params": {"bodyId": sale["reservationId"]}}
    while not (entries := (await sandbox.seller("GET", "/envoy2/api/v1/requests", **query)).json()) or (
        entries[0]["deployAttempts"] < 2
    ):
        await asyncio.sleep(0.01)
    (entry,) = entries
    assert (entry["event"], entry["bodyId"], entry["deployAttempts"]) == ("reserve", sale["reservationId"], 2)
    assert '"status":"BUYING"' in entry["body"]


async def test_writes_and_reads_have_limits_of_their_own(sandbox, clock):
    await sandbox.set(sellerWriteLimit=1, sellerReadLimit=2)
    offer_id = await sandbox.offer_for_sale()
    refused = await sandbox.seller("PATCH", f"/offers/{offer_id}", json={})
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    reads = [(await sandbox.seller("GET", "/offers")).status for _ in range(3)]
    assert reads == [200, 200, 429]
    clock.advance(60)
    assert (await sandbox.seller("GET", "/offers")).status == 200


async def test_the_limits_are_those_of_the_documentation(sandbox):
    dials = (await sandbox.call("GET", "/_settings")).json()
    assert (dials["sellerWriteLimit"], dials["sellerReadLimit"], dials["esaRateLimit"]) == (2000, 4000, 2000)


async def test_a_token_is_required(sandbox):
    path = "/kinguin-seller/sales-manager-api/api/v1/offers"
    assert (await sandbox.call("GET", path)).status == 401


async def test_an_answer_may_be_lost_after_the_code_was_taken(sandbox, receiver):
    await sandbox.set(keyDelay=600)
    offer_id = await sandbox.offer_for_sale()
    (sale,) = await sandbox.sell(offer_id)
    await told(receiver, "OUT_OF_STOCK")
    rule = {"provider": "kinguin-seller", "call": "stock", "kind": "error_after", "status": 502, "count": 1}
    await sandbox.fail({**rule, "orderId": sale["reservationId"]})
    assert (await sandbox.hand_over(offer_id, sale["reservationId"], "AAAAA")).status == 502
    assert (await sandbox.hand_over(offer_id, sale["reservationId"], "AAAAA")).status == 409
    assert (await sales(sandbox))[0]["code"] == "AAAAA"


async def test_a_day_of_sales_proves_that_no_code_is_used_twice(sandbox, receiver):
    """The oracle itself: a seller that obeys the rules passes it, one that does not is found."""
    await sandbox.set(webhookDuplicates=1, webhookShuffle=0.02, seed=11)
    offer_id = await sandbox.offer_for_sale(60)
    sold = await sandbox.sell(offer_id, count=40, canceled=0.2, returned=0.1, refunded=0.1, reversed=0.1)
    unpaid = {each["reservationId"] for each in sold}
    codes = iter(f"CODE-{number}" for number in range(100))
    seen = 0
    while unpaid:
        received = await receiver.wait_for(seen + 1)
        for each in received[seen:]:
            body = each.json()
            if body["status"] in ("BOUGHT", "OUT_OF_STOCK", "CANCELED") and body["reservationId"] in unpaid:
                unpaid.discard(body["reservationId"])
                if body["status"] != "CANCELED":
                    await sandbox.hand_over(offer_id, body["reservationId"], next(codes))
        seen = len(received)
    used = [each["code"] for each in await sales(sandbox) if each["code"]]
    assert 0 < len(used) == len(set(used)) < 40
    (extra,) = await sandbox.sell(offer_id, hold=True)
    await event(sandbox, extra["reservationId"], "give")
    assert (await sandbox.hand_over(offer_id, extra["reservationId"], used[0])).status == 201
    used = [each["code"] for each in await sales(sandbox) if each["code"]]
    assert len(used) == len(set(used)) + 1
