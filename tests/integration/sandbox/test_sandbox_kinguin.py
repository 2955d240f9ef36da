import re
import uuid

import pytest

KEY = re.compile(r"[A-Z2-9]{5}(-[A-Z2-9]{5}){4}")


async def delivered(sandbox, reservation_id):
    return await sandbox.kinguin("GET", f"/reservations/{reservation_id}/delivered")


async def test_a_given_reservation_is_a_purchase_whose_keys_come_once(sandbox, receiver, order_id):
    reservation_id = await sandbox.buy(order_id, "game-7", quantity=3)
    await receiver.wait_for(3)

    first, second = await delivered(sandbox, reservation_id), await delivered(sandbox, reservation_id)
    assert first.status == second.status == 200
    assert first.json() == second.json()
    codes = first.json()["codes"]
    assert len(set(codes)) == 3
    assert all(KEY.fullmatch(code) for code in codes)

    (purchase,) = (await sandbox.ledger(order_id))["purchases"]
    assert purchase["keys"] == codes
    assert (purchase["reservationId"], purchase["orderId"]) == (reservation_id, order_id)
    assert (purchase["productId"], purchase["quantity"]) == ("game-7", 3)


async def test_a_reservation_alone_buys_nothing(sandbox, order_id):
    reservation = await sandbox.reserve(order_id)
    assert reservation["status"] == "BUYING"
    assert (await sandbox.ledger(order_id))["purchases"] == []
    reply = await delivered(sandbox, reservation["reservationId"])
    assert (reply.status, reply.json()["kind"]) == (409, "NotDelivered")


async def test_keys_wait_for_the_key_delay(sandbox, order_id):
    await sandbox.set(keyDelay=600, notDeliveredStatus=404)
    reservation_id = await sandbox.buy(order_id)
    reply = await delivered(sandbox, reservation_id)
    assert (reply.status, reply.json()["kind"]) == (404, "NotDelivered")
    (purchase,) = (await sandbox.ledger(order_id))["purchases"]
    assert purchase["keys"] == []


async def test_giving_twice_is_one_purchase(sandbox, receiver, order_id):
    reservation_id = await sandbox.buy(order_id)
    await receiver.wait_for(3)
    again = await sandbox.kinguin("POST", f"/reservations/{reservation_id}/give")
    assert (again.status, again.json()["status"]) == (200, "DELIVERED")
    assert len((await sandbox.ledger(order_id))["purchases"]) == 1


async def test_reserving_twice_is_two_reservations(sandbox, order_id):
    first, second = await sandbox.reserve(order_id), await sandbox.reserve(order_id)
    assert first["reservationId"] != second["reservationId"]


async def test_each_step_is_told_by_webhook(sandbox, receiver, order_id):
    await sandbox.set(codesInWebhook=True)
    reservation_id = await sandbox.buy(order_id, quantity=2)
    received = await receiver.wait_for(3)

    assert {each.path for each in received} == {"/webhooks/kinguin"}
    assert {each.headers["x-auth-token"] for each in received} == {"test-kinguin-webhook-secret"}
    by_event = {each.json()["event"]: each.json() for each in received}
    assert set(by_event) == {"reserve", "give", "delivered"}
    assert {body["reservationId"] for body in by_event.values()} == {reservation_id}
    assert {body["orderId"] for body in by_event.values()} == {order_id}
    assert by_event["delivered"]["codes"] == (await delivered(sandbox, reservation_id)).json()["codes"]
    assert "codes" not in by_event["give"]


async def test_dials_change_the_shape_of_answers_and_webhooks(sandbox, receiver, order_id):
    await sandbox.set(codesField="keys", codesInWebhook=True, orderIdInWebhook=False)
    reservation_id = await sandbox.buy(order_id)
    bodies = [each.json() for each in await receiver.wait_for(3)]
    assert not any("orderId" in body for body in bodies)
    keys = (await delivered(sandbox, reservation_id)).json()["keys"]
    assert [body["keys"] for body in bodies if "keys" in body] == [keys]


async def test_without_the_dial_no_webhook_carries_a_code(sandbox, receiver, order_id):
    reservation_id = await sandbox.buy(order_id)
    received = await receiver.wait_for(3)
    (code,) = (await delivered(sandbox, reservation_id)).json()["codes"]
    assert not any(code.encode() in each.body for each in received)


async def test_a_cancel_ends_the_reservation_before_its_keys(sandbox, receiver, order_id):
    reservation_id = (await sandbox.reserve(order_id))["reservationId"]
    assert (await sandbox.call("POST", f"/_kinguin/{reservation_id}/cancel")).json()["status"] == "CANCELED"
    reply = await sandbox.kinguin("POST", f"/reservations/{reservation_id}/give")
    assert (reply.status, reply.json()["kind"]) == (409, "ReservationEnded")
    assert sorted(await receiver.events(2)) == ["cancel", "reserve"]
    assert (await sandbox.ledger(order_id))["purchases"] == []


async def test_a_reversal_takes_the_keys_away(sandbox, receiver, order_id):
    reservation_id = await sandbox.buy(order_id)
    await receiver.wait_for(3)
    await sandbox.call("POST", f"/_kinguin/{reservation_id}/reversed")
    assert (await receiver.events(4))[-1] == "reversed"
    assert (await delivered(sandbox, reservation_id)).status == 409


async def test_an_earlier_event_can_be_told_again_without_changing_anything(sandbox, receiver, order_id):
    reservation_id = await sandbox.buy(order_id)
    await receiver.wait_for(3)
    await sandbox.call("POST", f"/_kinguin/{reservation_id}/reserve")
    assert (await receiver.wait_for(4))[-1].json()["status"] == "BUYING"
    assert (await delivered(sandbox, reservation_id)).status == 200


async def test_the_look_up_finds_exactly_this_order_id(sandbox, order_id):
    reservation_id = await sandbox.buy(order_id)
    await sandbox.reserve(f"{order_id}-2")
    reply = await sandbox.kinguin("GET", "/reservations", params={"orderId": order_id})
    (item,) = reply.json()["items"]
    assert (item["reservationId"], item["orderId"], item["quantity"]) == (reservation_id, order_id, 1)
    nothing = await sandbox.kinguin("GET", "/reservations", params={"orderId": str(uuid.uuid4())})
    assert (nothing.status, nothing.json()) == (200, {"items": []})


async def test_the_look_up_may_be_late_or_missing(sandbox, clock, order_id):
    await sandbox.set(lookupDelay=30)
    await sandbox.reserve(order_id)
    query = {"params": {"orderId": order_id}}
    assert (await sandbox.kinguin("GET", "/reservations", **query)).json()["items"] == []
    clock.advance(30)
    assert len((await sandbox.kinguin("GET", "/reservations", **query)).json()["items"]) == 1
    await sandbox.set(lookup=False)
    assert (await sandbox.kinguin("GET", "/reservations", **query)).status == 404


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "{}",
        '{"orderId":"o","productId":"p","quantity":0}',
        '{"orderId":"o","productId":"p","quantity":"1"}',
        '{"orderId":"","productId":"p","quantity":1}',
        "[" * 100_000,
    ],
)
async def test_a_bad_reservation_is_a_constraint_violation(sandbox, body):
    reply = await sandbox.kinguin("POST", "/reservations", data=body)
    assert (reply.status, reply.json()["kind"]) == (400, "ConstraintViolation")


async def test_an_unknown_reservation_is_not_found(sandbox):
    for method, path in (("POST", "/reservations/nope/give"), ("GET", "/reservations/nope/delivered")):
        reply = await sandbox.kinguin(method, path)
        assert (reply.status, reply.json()["kind"]) == (404, "ReservationNotFound")


async def test_a_token_is_required_and_ends(sandbox, clock, order_id):
    path = {"params": {"orderId": order_id}}
    assert (await sandbox.call("GET", "/kinguin/reservations", **path)).status == 401
    forged = {"Authorization": "Bearer nonsense"}
    assert (await sandbox.call("GET", "/kinguin/reservations", headers=forged, **path)).status == 401

    assert (await sandbox.kinguin("GET", "/reservations", **path)).status == 200
    clock.advance(3600)
    reply = await sandbox.kinguin("GET", "/reservations", **path)
    assert (reply.status, reply.json()["kind"]) == (401, "Authorization")


async def test_tokens_can_be_revoked_at_once(sandbox, order_id):
    await sandbox.reserve(order_id)
    assert (await sandbox.call("DELETE", "/_tokens")).status == 204
    assert (await sandbox.kinguin("GET", "/reservations", params={"orderId": order_id})).status == 401


async def test_a_token_is_bought_with_the_right_credentials_only(sandbox):
    form = {"grant_type": "client_credentials", "client_id": "test-client", "client_secret": "test-client-secret"}

    async def ask(**changes):
        return await sandbox.call("POST", "/kinguin-id/auth/token", data={**form, **changes})

    await sandbox.set(tokenLifetime=90)
    granted = (await ask()).json()
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 90)
    wrong = await ask(client_secret="guess")
    assert (wrong.status, wrong.json()) == (401, {"error": "invalid_client"})
    assert (await ask(grant_type="password")).status == 400


async def test_tokens_and_client_secrets_stay_out_of_the_ledger(sandbox):
    token = await sandbox.fetch_token()
    ledger = str(await sandbox.ledger())
    assert "'call': 'token'" in ledger
    assert token not in ledger
    assert "test-client-secret" not in ledger
