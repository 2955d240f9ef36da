"""Answers that are well formed and wrong, in both dialects; and the faults that ESA shares with the other providers."""

import json

import pytest


@pytest.fixture
async def delivered(sandbox, receiver, order_id):
    """Return the path of two delivered keys in each dialect."""
    await sandbox.set(keyDelay=0)
    reservation_id = await sandbox.buy(order_id, quantity=2)
    order = await sandbox.order(order_id, {"productId": "game-1", "qty": 2, "price": 5})
    await receiver.wait_for(5)
    return {"kinguin": f"/reservations/{reservation_id}/delivered", "esa": f"/v2/order/{order['orderId']}/keys"}


async def codes(sandbox, dialect, path):
    reply = await getattr(sandbox, dialect)("GET", path)
    assert reply.status == 200
    body = reply.json()
    return [each["serial"] for each in body] if dialect == "esa" else body["codes"]


@pytest.mark.parametrize("dialect", ["kinguin", "esa"])
@pytest.mark.parametrize("how", ["short", "long", "duplicate", "empty_code", "huge_code", "control_code"])
async def test_a_list_of_codes_can_be_wrong_in_each_way(sandbox, delivered, dialect, how):
    right = await codes(sandbox, dialect, delivered[dialect])
    await sandbox.fail({"kind": "distorted", "how": how})
    wrong = await codes(sandbox, dialect, delivered[dialect])
    expected = {
        "short": len(wrong) == 1,
        "long": len({*wrong} - {*right}) == 1 and len(wrong) == 3,
        "duplicate": wrong == [right[0]] * 2,
        "empty_code": wrong[0] == "",
        "huge_code": len(wrong[0]) == 1_000_000,
        "control_code": "\x00" in wrong[0],
    }
    assert expected[how], wrong
    await sandbox.call("DELETE", "/_faults")
    assert await codes(sandbox, dialect, delivered[dialect]) == right


async def test_an_order_can_be_wrong_in_each_way(sandbox, order_id):
    placed = await sandbox.order(order_id)

    async def read(how):
        await sandbox.fail({"provider": "kinguin-esa", "call": "order", "kind": "distorted", "how": how})
        return await sandbox.order_now(placed["orderId"])

    assert (await read("foreign_external_id"))["orderExternalId"] not in (order_id, None)
    assert (await read("unknown_status"))["status"] == "teleported"
    wrong = await read("wrong_quantity")
    assert (wrong["totalQty"], wrong["products"][0]["qty"]) == (2, 2)


async def test_a_search_and_a_look_up_can_find_what_was_not_asked_for(sandbox, order_id):
    await sandbox.order(order_id)
    await sandbox.reserve(order_id)
    await sandbox.fail({"kind": "distorted", "how": "foreign_external_id"})
    found = await sandbox.esa("GET", "/v1/order", params={"orderExternalId": order_id})
    assert found.json()["results"][0]["orderExternalId"] != order_id
    items = await sandbox.kinguin("GET", "/reservations", params={"orderId": order_id})
    assert items.json()["items"][0]["orderId"] != order_id


async def test_an_answer_can_be_html_an_error_or_a_way_elsewhere(sandbox):
    async def balance(how):
        await sandbox.fail({"provider": "kinguin-esa", "kind": "distorted", "how": how})
        return await sandbox.esa("GET", "/v1/balance", allow_redirects=False)

    page = await balance("html")
    assert (page.status, page.headers["content-type"].split(";")[0]) == (200, "text/html")
    failure = await balance("error_body")
    assert (failure.status, failure.json()["kind"]) == (200, "Error")
    away = await balance("redirect")
    assert (away.status, away.headers["location"]) == (302, "http://elsewhere.invalid/")


async def test_a_refusal_is_not_distorted(sandbox):
    await sandbox.fail({"kind": "distorted", "how": "short"})
    assert (await sandbox.esa("GET", "/v1/order/NOSUCH")).json()["kind"] == "OrderNotFound"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, None, "Error"),
        (503, None, "HttpClient"),
        (429, None, "Http"),
        (401, None, "Authorization"),
        (422, None, "OrderFailed"),
        (409, None, "ResourceLock"),
        (422, "InsufficientBalance", "InsufficientBalance"),
        (422, "OrderNotSupported", "OrderNotSupported"),
    ],
)
async def test_every_kind_of_error_can_be_made(sandbox, order_id, status, code, kind):
    rule = {"provider": "kinguin-esa", "call": "place", "kind": "error", "status": status, "retryAfter": 7}
    await sandbox.fail({**rule, "code": code} if code else rule)
    body = {"products": [{"productId": "g", "qty": 1, "price": 5}], "orderExternalId": order_id}
    reply = await sandbox.esa("POST", "/v2/order", json=body)
    assert (reply.status, reply.json()["status"], reply.json()["kind"]) == (status, status, kind)
    assert (reply.json()["path"], reply.headers["retry-after"]) == ("/api/v2/order", "7")
    assert (await sandbox.ledger(order_id))["purchases"] == []


async def test_an_error_after_the_effect_leaves_an_order_that_can_be_found(sandbox, order_id):
    await sandbox.fail({"provider": "kinguin-esa", "call": "place", "kind": "error_after", "status": 500})
    body = {"products": [{"productId": "g", "qty": 1, "price": 5}], "orderExternalId": order_id}
    assert (await sandbox.esa("POST", "/v2/order", json=body)).json()["kind"] == "Error"
    found = await sandbox.esa("GET", "/v1/order", params={"orderExternalId": order_id})
    assert found.json()["item_count"] == 1
    assert len((await sandbox.ledger(order_id))["purchases"]) == 1


async def test_a_distorted_answer_stands_in_the_ledger_as_it_was_sent(sandbox, order_id, delivered):
    await sandbox.fail({"provider": "kinguin-esa", "call": "keys", "kind": "distorted", "how": "short"})
    sent = await sandbox.esa("GET", delivered["esa"])
    call = (await sandbox.ledger(order_id))["calls"][-1]
    assert (call["fault"], call["answer"]) == ("distorted", json.loads(sent.text))
