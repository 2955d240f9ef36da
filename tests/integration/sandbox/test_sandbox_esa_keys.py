"""Deliveries, downloads and returns, by Kinguin's documentation."""

import asyncio
import base64

import pytest

MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff\xe0", "image/gif": b"GIF89a"}


async def told(receiver, *statuses):
    """Wait until webhooks have told these; return all that were told, as they came."""

    def heard():
        return [each.json()["status"] for each in receiver.received if "status" in each.json()]

    await receiver.wait_until(lambda: {*statuses} <= {*heard()})
    return heard()


async def keys(sandbox, order, **query):
    reply = await sandbox.esa("GET", f"/v2/order/{order['orderId']}/keys", params=query)
    assert reply.status == 200, reply.text
    return reply.json()


async def give_back(sandbox, order):
    return await sandbox.esa("POST", f"/v2/order/{order['orderId']}/keys/return")


async def happen(sandbox, order, event, **body):
    reply = await sandbox.call("POST", f"/_esa/{order['orderId']}/{event}", json=body)
    assert reply.status == 200, reply.text
    return reply.json()


def statuses(order):
    return [key["status"] for line in order["products"] for key in line["keys"]]


async def test_a_completed_order_has_all_its_keys(sandbox, receiver, order_id):
    lines = [{"productId": "a", "qty": 2, "price": 5}, {"productId": "b", "qty": 1, "price": 5}]
    order = await sandbox.order(order_id, *lines)
    await told(receiver, "completed")
    now = await sandbox.order_now(order["orderId"])
    assert (now["status"], statuses(now)) == ("completed", ["DELIVERED"] * 3)
    downloaded = await keys(sandbox, order)
    assert [each["productId"] for each in downloaded] == ["a", "a", "b"]
    assert {each["id"] for each in downloaded} == {k["id"] for line in now["products"] for k in line["keys"]}
    assert len({each["serial"] for each in downloaded}) == 3
    assert {"id", "serial", "type", "name", "kinguinId", "offerId", "productId"} == set(downloaded[0])
    assert downloaded[0]["type"] == "text/plain"


async def test_keys_are_read_by_pages_without_a_total(sandbox, receiver):
    await sandbox.offer("bulk", {"offerId": "w", "price": 1, "qty": 500, "tiers": [1]})
    order = await sandbox.order(None, {"productId": "bulk", "qty": 130, "price": 1, "offerId": "w"})
    await told(receiver, "completed")
    assert len(await keys(sandbox, order)) == 25
    pages = [await keys(sandbox, order, page=number, limit=100) for number in (1, 2, 3)]
    assert [len(each) for each in pages] == [100, 30, 0]
    assert len({each["id"] for page in pages for each in page}) == 130
    refused = await sandbox.esa("GET", f"/v2/order/{order['orderId']}/keys", params={"limit": 101})
    assert (refused.status, refused.json()["propertyPath"]) == (400, "limit")


@pytest.mark.parametrize("dial", ["shuffled", "repeated"])
async def test_pages_may_change_their_order_or_repeat(sandbox, receiver, dial):
    order = await sandbox.order(None, {"productId": "game-1", "qty": 9, "price": 5})
    await told(receiver, "completed")
    stable = await keys(sandbox, order, limit=5) + await keys(sandbox, order, limit=5, page=2)
    await sandbox.set(keyPages=dial, seed=1)
    first, second = await keys(sandbox, order, limit=5), await keys(sandbox, order, limit=5, page=2)
    assert first + second != stable
    assert (first == second) is (dial == "repeated")


async def test_delivered_keys_can_be_read_while_others_are_awaited(sandbox, receiver):
    await sandbox.set(keySpread=600)
    order = await sandbox.order(None, {"productId": "game-1", "qty": 3, "price": 5})
    await receiver.wait_for(1)
    now = await until_some_key(sandbox, order)
    assert (now["status"], statuses(now)) == ("processing", ["DELIVERED", "PROCESSING", "PROCESSING"])
    assert len(await keys(sandbox, order)) == 1
    await happen(sandbox, order, "deliver")
    assert len(await keys(sandbox, order)) == 3
    assert await told(receiver, "completed") == ["processing", "completed"]


async def until_some_key(sandbox, order):
    while "DELIVERED" not in statuses(now := await sandbox.order_now(order["orderId"])):
        await asyncio.sleep(0.01)
    return now


async def test_keys_wait_for_the_key_delay(sandbox):
    await sandbox.set(keyDelay=600)
    order = await sandbox.order()
    assert await keys(sandbox, order) == []
    assert (await sandbox.order_now(order["orderId"]))["status"] == "processing"


async def test_keys_of_an_unknown_order_are_not_found(sandbox):
    reply = await sandbox.esa("GET", "/v2/order/NOSUCH/keys")
    assert (reply.status, reply.json()["kind"]) == (404, "OrderNotFound")


@pytest.mark.parametrize("media_type", list(MAGIC))
async def test_a_key_may_come_as_a_picture_unless_text_is_forced(sandbox, receiver, media_type):
    await sandbox.set(imageKeys=1, imageTypes=[media_type])
    order = await sandbox.order(
        None, {"productId": "a", "qty": 1, "price": 5}, {"productId": "b", "qty": 1, "price": 5, "keyType": "text"}
    )
    await told(receiver, "completed")
    picture, text = await keys(sandbox, order)
    assert picture["type"] == media_type
    assert base64.b64decode(picture["serial"], validate=True).startswith(MAGIC[media_type])
    assert text["type"] == "text/plain"
    purchases = (await sandbox.ledger())["purchases"]
    assert [each["keys"] for each in purchases] == [[picture["serial"]], [text["serial"]]]


async def test_stock_without_text_keys_sells_pictures_and_refuses_text(sandbox, receiver):
    await sandbox.offer("cards", {"price": 1, "qty": 3, "textQty": 0})
    forced = {"products": [{"productId": "cards", "qty": 1, "price": 1, "keyType": "text"}]}
    reply = await sandbox.esa("POST", "/v2/order", json=forced)
    assert (reply.status, reply.json()["kind"]) == (422, "ProductUnavailable")
    order = await sandbox.order(None, {"productId": "cards", "qty": 3, "price": 1})
    await told(receiver, "completed")
    assert all(each["type"].startswith("image/") for each in await keys(sandbox, order))


async def test_mixed_stock_sells_each_kind_once(sandbox, receiver):
    await sandbox.offer("mixed", {"price": 1, "qty": 8, "textQty": 5})
    order = await sandbox.order(None, {"productId": "mixed", "qty": 8, "price": 1})
    await told(receiver, "completed")
    kinds = [each["type"] for each in await keys(sandbox, order)]
    assert kinds.count("text/plain") == 5


async def test_some_keys_may_be_canceled_and_paid_back(sandbox, receiver, order_id):
    await sandbox.set(keyCanceled=0.5, seed=3, partialStatus="refunded")
    await sandbox.call("PUT", "/_balance", json={"balance": 9})
    order = await sandbox.order(order_id, {"productId": "game-1", "qty": 9, "price": 5})
    await told(receiver, "refunded")
    now = statuses(await sandbox.order_now(order["orderId"]))
    assert {*now} == {"DELIVERED", "CANCELED"}
    downloaded = await keys(sandbox, order)
    assert len(downloaded) == now.count("DELIVERED")
    assert (await sandbox.esa("GET", "/v1/balance")).json() == {"balance": now.count("CANCELED")}
    (purchase,) = (await sandbox.ledger(order_id))["purchases"]
    assert purchase["keys"] == [each["serial"] for each in downloaded]


async def test_an_order_with_missing_keys_may_be_called_completed(sandbox, receiver):
    await sandbox.set(keyCanceled=0.5, seed=3)
    order = await sandbox.order("x", {"productId": "game-1", "qty": 9, "price": 5})
    await told(receiver, "completed")
    assert len(await keys(sandbox, order)) < order["totalQty"]


async def test_the_same_seed_means_the_same_fate_for_the_same_order(sandbox, receiver):
    async def fate(external_id):
        return await settled(sandbox, await sandbox.order(external_id, {"productId": "game-1", "qty": 9, "price": 5}))

    await sandbox.set(keyCanceled=0.5, seed=3)
    first = await fate("x")
    assert first == await fate("x") != await fate("y")


async def settled(sandbox, order):
    while (now := await sandbox.order_now(order["orderId"]))["status"] == "processing":
        await asyncio.sleep(0.01)
    return statuses(now)


@pytest.mark.parametrize(
    ("dial", "status", "key_status"),
    [("orderCanceled", "canceled", "CANCELED"), ("orderRefunded", "refunded", "REFUNDED")],
)
async def test_kinguin_may_end_an_order_without_keys(sandbox, receiver, dial, status, key_status):
    await sandbox.set(**{dial: 1})
    order = await sandbox.order()
    assert len(await told(receiver, "processing", status)) == 2
    assert statuses(await sandbox.order_now(order["orderId"])) == [key_status]
    assert await keys(sandbox, order) == []
    assert (await sandbox.esa("GET", "/v1/balance")).json() == {"balance": 1_000_000}


async def test_a_stuck_order_stays_in_processing(sandbox, receiver):
    await sandbox.set(orderStuck=1)
    order = await sandbox.order()
    await receiver.wait_for(1)
    assert statuses(await sandbox.order_now(order["orderId"])) == ["PENDING"]
    await happen(sandbox, order, "refund")
    assert (await sandbox.order_now(order["orderId"]))["status"] == "refunded"


async def test_a_refund_after_the_delivery_takes_the_keys_away(sandbox, receiver, order_id):
    order = await sandbox.order(order_id)
    await told(receiver, "completed")
    (key,) = await keys(sandbox, order)
    assert (await happen(sandbox, order, "refund"))["status"] == "refunded"
    assert await keys(sandbox, order) == []
    (purchase,) = (await sandbox.ledger(order_id))["purchases"]
    assert purchase["keys"] == purchase["takenBack"] == [key["serial"]]


PREORDER = {"price": 1, "qty": 5, "isPreorder": True, "releaseDate": "2026-01-03"}


async def test_a_pre_order_waits_for_its_date(sandbox, receiver, clock):
    product = await sandbox.offer("soon", PREORDER)
    assert (product["isPreorder"], product["releaseDate"]) == (True, "2026-01-03")
    order = await sandbox.order(None, {"productId": "soon", "qty": 1, "price": 1})
    assert (order["isPreorder"], order["preorderReleaseDate"]) == (True, "2026-01-03")
    assert (order["products"][0]["isPreorder"], order["products"][0]["releaseDate"]) == (True, "2026-01-03")
    clock.advance(47 * 3600)
    assert statuses(await sandbox.order_now(order["orderId"])) == ["PENDING"]
    clock.advance(3600)
    await told(receiver, "completed")
    assert len(await keys(sandbox, order)) == 1


async def test_a_pre_order_stands_alone_and_cannot_force_text(sandbox):
    await sandbox.offer("soon", PREORDER)
    await sandbox.offer("later", PREORDER)
    soon = {"productId": "soon", "qty": 1, "price": 1}
    for lines in (
        [soon, {"productId": "game-1", "qty": 1, "price": 5}],
        [soon, {**soon, "productId": "later"}],
        [{**soon, "keyType": "text"}],
    ):
        reply = await sandbox.esa("POST", "/v2/order", json={"products": lines})
        assert (reply.status, reply.json()["kind"]) == (422, "Preorder"), lines


async def test_keys_can_be_returned_once_before_anybody_read_them(sandbox, receiver, order_id):
    order = await sandbox.order(order_id)
    await told(receiver, "completed")
    await sandbox.set(keyDelay=600)
    reply = await give_back(sandbox, order)
    assert (reply.status, [each["status"] for each in reply.json()]) == (200, ["DELIVERED"])
    locked = await give_back(sandbox, order)
    assert (locked.status, locked.json()["kind"]) == (409, "ResourceLock")


async def test_a_return_pays_back_and_is_told(sandbox, receiver, order_id):
    order = await sandbox.order(order_id)
    await told(receiver, "completed")
    await give_back(sandbox, order)
    await told(receiver, "refunded")
    now = await sandbox.order_now(order["orderId"])
    assert (now["status"], statuses(now)) == ("refunded", ["RETURNED"])
    assert (await sandbox.esa("GET", "/v1/balance")).json() == {"balance": 1_000_000}
    again = await give_back(sandbox, order)
    assert (again.status, again.json()["kind"]) == (422, "NoKeysToReturn")


async def test_keys_that_come_after_the_request_are_returned_on_their_own(sandbox, receiver, order_id):
    await sandbox.set(keyDelay=600)
    order = await sandbox.order(order_id, {"productId": "game-1", "qty": 2, "price": 5})
    await sandbox.set(keyDelay=0)
    assert (await give_back(sandbox, order)).status == 200
    await happen(sandbox, order, "deliver")
    await told(receiver, "refunded")
    assert statuses(await sandbox.order_now(order["orderId"])) == ["RETURNED"] * 2


async def refused_return(sandbox, order):
    reply = await give_back(sandbox, order)
    return (reply.status, reply.json()["kind"]) == (422, "NoKeysToReturn")


async def test_a_read_key_is_claimed_and_cannot_be_returned(sandbox, receiver):
    order = await sandbox.order()
    await told(receiver, "completed")
    await keys(sandbox, order)
    assert await refused_return(sandbox, order)


async def test_after_a_day_nothing_can_be_returned(sandbox, receiver, clock):
    order = await sandbox.order()
    await told(receiver, "completed")
    clock.advance(24 * 3600)
    assert await refused_return(sandbox, order)


async def test_wholesale_and_pre_orders_cannot_be_returned(sandbox, receiver):
    await sandbox.offer("bulk", {"offerId": "w", "price": 1, "qty": 50, "tiers": [1]})
    await sandbox.offer("soon", PREORDER)
    bulk = await sandbox.order(None, {"productId": "bulk", "qty": 10, "price": 1, "offerId": "w"})
    soon = await sandbox.order(None, {"productId": "soon", "qty": 1, "price": 1})
    await happen(sandbox, soon, "deliver")
    await happen(sandbox, bulk, "deliver")
    assert await refused_return(sandbox, bulk)
    assert await refused_return(sandbox, soon)


async def test_what_was_commanded_is_not_undone_by_the_fate_that_was_drawn(sandbox, receiver):
    await sandbox.set(orderCanceled=1, keyDelay=0.05)
    order = await sandbox.order()
    assert (await happen(sandbox, order, "deliver"))["status"] == "completed"
    last = await sandbox.order()
    await receiver.wait_until(lambda: any(each.json()["status"] == "canceled" for each in receiver.received))
    assert (await sandbox.order_now(last["orderId"]))["status"] == "canceled"
    assert (await sandbox.order_now(order["orderId"]))["status"] == "completed"
