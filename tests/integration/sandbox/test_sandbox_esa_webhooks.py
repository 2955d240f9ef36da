"""What ESA tells by webhook, and how it takes the answer."""

import asyncio
import re

from tests.fakes.sandbox import running_sandbox, webhook_receiver

MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")


async def test_each_status_is_told_with_name_and_secret(sandbox, receiver, order_id):
    order = await sandbox.order(order_id)
    received = await receiver.wait_for(2)
    assert {each.path for each in received} == {"/webhooks/kinguin"}
    assert {each.headers["x-event-name"] for each in received} == {"order.status"}
    assert {each.headers["x-event-secret"] for each in received} == {"test-kinguin-webhook-secret"}
    assert {each.headers["content-type"] for each in received} == {"aplication/json"}
    assert sorted(each.json()["status"] for each in received) == ["completed", "processing"]
    body = received[0].json()
    assert set(body) == {"orderId", "orderExternalId", "status", "updatedAt"}
    assert (body["orderId"], body["orderExternalId"]) == (order["orderId"], order_id)
    assert MILLISECONDS.fullmatch(body["updatedAt"])


async def test_without_an_external_id_none_is_told(sandbox, receiver):
    await sandbox.order()
    assert "orderExternalId" not in (await receiver.wait_for(1))[0].json()


async def test_an_answer_with_a_body_is_no_answer(sandbox, receiver, order_id):
    receiver.wordy = True
    await sandbox.set(orderStuck=1)
    await sandbox.order(order_id)
    # As many as the dial allows attempts.
    received = await receiver.wait_for(3)
    assert len({each.body for each in received}) == 1


async def test_webhooks_repeat_and_overtake_one_another(sandbox, receiver, order_id):
    await sandbox.set(webhookDuplicates=2, webhookShuffle=0.2, seed=3)
    await sandbox.order(order_id)
    told = [each.json()["status"] for each in await receiver.wait_for(6)]
    assert sorted(told) == ["completed"] * 3 + ["processing"] * 3
    assert told != sorted(told, reverse=True)


async def test_a_status_can_be_told_again_or_wrongly(sandbox, receiver, order_id):
    await sandbox.order(order_id)
    await receiver.wait_for(2)
    old = {"status": "processing", "updatedAt": "2020-10-16T11:24:08.025+00:00"}
    assert (await sandbox.call("POST", f"/_esa/{order_id}/status", json=old)).json()["status"] == "completed"
    body = (await receiver.wait_for(3))[-1].json()
    assert {"status": body["status"], "updatedAt": body["updatedAt"]} == old


async def test_a_lost_status_is_recorded(sandbox, receiver, order_id):
    await sandbox.fail({"provider": "kinguin-esa", "call": "order.status", "kind": "drop_webhook", "count": 1})
    await sandbox.order(order_id)
    assert [each.json()["status"] for each in await receiver.wait_for(1)] == ["completed"]
    webhooks = (await sandbox.ledger(order_id))["webhooks"]
    assert [each["request"]["status"] for each in webhooks if each["error"] == "dropped"] == ["processing"]


async def test_a_changed_product_is_told_without_its_price(sandbox, receiver):
    product = await sandbox.offer("game-3", {"offerId": "a", "price": 4, "qty": 7, "textQty": 5})
    (update,) = await receiver.wait_for(1)
    assert update.headers["x-event-name"] == "product.update"
    body = update.json()
    assert (body.pop("kinguinId"), body.pop("updatedAt")) == (product["kinguinId"], "2026-01-01T00:00:00.000+00:00")
    assert body == {"productId": "game-3", "qty": 7, "textQty": 5, "cheapestOfferId": ["a"]}


async def test_running_out_of_stock_is_told(sandbox, receiver):
    await sandbox.offer("rare", {"price": 1, "qty": 1})
    await sandbox.order(None, {"productId": "rare", "qty": 1, "price": 1})
    updates = [each.json() for each in await receiver.wait_for(4) if each.headers["x-event-name"] == "product.update"]
    assert sorted(each["qty"] for each in updates) == [0, 1]


async def test_the_test_button_sends_a_request_without_anything(sandbox, receiver):
    reply = await sandbox.call("POST", "/_esa/probe")
    assert reply.json() == {"status": 204, "body": "", "error": None}
    (probe,) = receiver.received
    assert (probe.body, probe.headers["x-event-secret"]) == (b"", "test-kinguin-webhook-secret")


async def eventually_disabled(sandbox):
    while not (await sandbox.call("GET", "/_esa")).json()["disabled"]:
        await asyncio.sleep(0.01)


async def test_too_many_failures_switch_the_endpoint_off(order_id):
    async with webhook_receiver() as receiver, running_sandbox(receiver.url) as sandbox:
        await sandbox.set(webhookAttempts=1, disableAfter=2, orderStuck=1)
        receiver.statuses = [500, 500]
        for _ in range(2):
            await sandbox.order(order_id)
        await eventually_disabled(sandbox)
        await sandbox.order(order_id)
        off = [each["error"] for each in (await sandbox.ledger(order_id))["webhooks"]]
        assert off == [None, None, "disabled"]
        await sandbox.call("POST", "/_esa/enable")
        await sandbox.order(order_id)
        await receiver.wait_for(3)


async def test_an_accepted_webhook_makes_up_for_failures(receiver, sandbox, order_id):
    await sandbox.set(webhookAttempts=1, disableAfter=2, orderStuck=1)
    receiver.statuses = [500, 200, 500]
    for failures in (1, 0, 1):
        await sandbox.order(order_id)
        while (told := (await sandbox.call("GET", "/_esa")).json())["failures"] != failures:
            await asyncio.sleep(0.01)
        assert not told["disabled"]
