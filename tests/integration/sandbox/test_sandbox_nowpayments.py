import json
from decimal import Decimal

import pytest
from pydantic import SecretStr

from bitloot.signing import Form, nowpayments_verify
from tests.fakes.sandbox import SECRETS

SERIES = ["waiting", "confirming", "confirmed", "sending", "finished"]


def verified(received, secret=SECRETS["nowpayments_ipn_secret"]):
    return nowpayments_verify(received.body, received.headers["x-nowpayments-sig"], [SecretStr(secret)])


async def invoice(sandbox, order_id, **members):
    body = {"price_amount": 19.90, "price_currency": "EUR", "order_id": order_id, **members}
    reply = await sandbox.nowpayments("POST", "/invoice", json=body)
    assert reply.status == 200, reply.text
    return reply.json()


async def payment(sandbox, order_id, **members):
    body = {"price_amount": 19.90, "price_currency": "eur", "pay_currency": "btc", "order_id": order_id, **members}
    reply = await sandbox.nowpayments("POST", "/payment", json=body)
    assert reply.status == 201, reply.text
    return reply.json()


async def test_paying_an_invoice_sends_the_signed_series_in_order(sandbox, receiver, order_id):
    made = await invoice(sandbox, order_id)
    assert isinstance(made["id"], str)
    assert made["price_amount"] == "19.9"

    answers = await sandbox.pay(order_id)
    assert [(each["paymentStatus"], each["status"], each["body"]) for each in answers] == [
        (status, 200, "OK") for status in SERIES
    ]
    assert {each.path for each in receiver.received} == {"/webhooks/nowpayments"}
    bodies = [each.json() for each in receiver.received]
    assert [body["payment_status"] for body in bodies] == SERIES
    assert all(verified(each).refusal is None for each in receiver.received)
    last = bodies[-1]
    assert (last["order_id"], last["price_amount"], last["price_currency"]) == (order_id, 19.9, "eur")
    assert (str(last["invoice_id"]), last["parent_payment_id"]) == (made["id"], None)
    assert last["actually_paid"] == last["pay_amount"] == 0.00033167
    assert bodies[0]["actually_paid"] == 0
    assert last["fee"]["depositFee"] == 0.000083


@pytest.mark.parametrize("spelling", ["canonical", "respelled"])
async def test_both_spellings_are_signed_the_same_way(sandbox, receiver, order_id, spelling):
    await sandbox.set(ipnSpelling=spelling)
    await sandbox.pay(order_id, statuses=["finished"], priceAmount="19.90", priceCurrency="eur")
    (received,) = receiver.received
    assert verified(received).refusal is None
    assert (b'"fee":{' in received.body) is (spelling == "canonical")
    assert json.loads(received.body, parse_float=Decimal)["price_amount"] == Decimal("19.9")


async def test_another_secret_signs_from_now_on(sandbox, receiver, order_id):
    await sandbox.set(nowpaymentsIpnSecret="the next one")
    await sandbox.pay(order_id, statuses=["finished"], priceAmount=1, priceCurrency="eur")
    (received,) = receiver.received
    assert verified(received).refusal is not None
    assert verified(received, "the next one").form in (Form.CANONICAL, Form.RAW)


async def test_the_callback_of_the_invoice_wins(sandbox, receiver, order_id):
    await invoice(sandbox, order_id, ipn_callback_url=f"{receiver.url}/elsewhere")
    await sandbox.pay(order_id, statuses=["finished"])
    assert [each.path for each in receiver.received] == ["/elsewhere"]


async def test_paying_again_is_the_same_payment(sandbox, receiver, order_id):
    await invoice(sandbox, order_id)
    first, second = await sandbox.pay(order_id), await sandbox.pay(order_id, statuses=["finished"])
    assert len({each["paymentId"] for each in first + second}) == 1
    updates = [each.json()["updated_at"] for each in receiver.received]
    assert updates == sorted(set(updates))


async def test_a_repeat_is_the_same_bytes(sandbox, receiver, order_id):
    await invoice(sandbox, order_id)
    assert len(await sandbox.pay(order_id, statuses=["waiting", "finished"], repeat=3)) == 6
    assert len({each.body for each in receiver.received}) == 2
    assert [each.json()["payment_status"] for each in receiver.received] == ["waiting"] * 3 + ["finished"] * 3


async def test_the_claims_of_a_notification_can_be_bent(sandbox, receiver, order_id):
    await invoice(sandbox, order_id)
    await sandbox.pay(
        order_id,
        statuses=["partially_paid"],
        actuallyPaid="0.00000001",
        priceAmount=1,
        priceCurrency="usd",
        payCurrency="eth",
        fields={"payment_extra_ids": [7], "news": {"b": 1, "a": 1e-7}},
        omit=["fee"],
    )
    (received,) = receiver.received
    assert verified(received).refusal is None
    body = received.json()
    assert (body["actually_paid"], body["price_amount"], body["price_currency"]) == (1e-8, 1, "usd")
    assert (body["pay_currency"], body["payment_extra_ids"], body["news"]) == ("eth", [7], {"b": 1, "a": 1e-7})
    assert "fee" not in body
    # The order's own price is what it was.
    await sandbox.pay(order_id, statuses=["finished"])
    assert receiver.received[-1].json()["price_amount"] == 19.9


async def test_half_of_it_arrives_when_partially_paid(sandbox, receiver, order_id):
    made = await payment(sandbox, order_id, pay_amount=0.5)
    await sandbox.pay(order_id, statuses=["partially_paid"])
    assert receiver.received[0].json()["actually_paid"] == 0.25
    assert str(receiver.received[0].json()["payment_id"]) == made["payment_id"]


async def test_a_repeated_deposit_is_a_payment_of_its_own(sandbox, receiver, order_id):
    made = await payment(sandbox, order_id)
    parent = int(made["payment_id"])
    (answer,) = await sandbox.pay(order_id, statuses=["finished"], parentPaymentId=parent)
    body = receiver.received[0].json()
    assert body["payment_id"] == answer["paymentId"] != parent
    assert (body["parent_payment_id"], body["order_id"]) == (parent, order_id)
    # The order's payment is still the first.
    (again,) = await sandbox.pay(order_id, statuses=["finished"])
    assert again["paymentId"] == parent


async def test_a_payment_number_of_ones_own_makes_that_payment(sandbox, order_id):
    await invoice(sandbox, order_id)
    (answer,) = await sandbox.pay(order_id, statuses=["finished"], paymentId=4711000000)
    assert answer["paymentId"] == 4711000000
    (again,) = await sandbox.pay(order_id, statuses=["finished"])
    assert again["paymentId"] == 4711000000


async def test_everything_at_once(sandbox, receiver, order_id):
    answers = await sandbox.pay(order_id, priceAmount=3, priceCurrency="eur", parallel=True)
    assert [each["paymentStatus"] for each in answers] == SERIES
    assert sorted(each.json()["payment_status"] for each in receiver.received) == sorted(SERIES)


async def test_an_order_without_price_cannot_be_paid(sandbox, order_id):
    reply = await sandbox.call("POST", f"/_pay/{order_id}")
    assert reply.status == 404
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert "priceAmount" in reply.json()["detail"]


async def test_a_payment_is_text_when_made_and_a_number_when_read(sandbox, order_id):
    made = await payment(sandbox, order_id)
    assert isinstance(made["payment_id"], str)
    assert (made["payment_status"], made["price_amount"], made["pay_amount"]) == ("waiting", 19.9, 0.00033167)
    await sandbox.pay(order_id)
    read = (await sandbox.nowpayments("GET", f"/payment/{made['payment_id']}")).json()
    assert (read["payment_id"], read["payment_status"]) == (int(made["payment_id"]), "finished")
    assert read["actually_paid"] == read["pay_amount"]


async def test_creating_twice_makes_two_payments(sandbox, order_id):
    first, second = await payment(sandbox, order_id), await payment(sandbox, order_id)
    assert first["payment_id"] != second["payment_id"]
    assert first["pay_address"] != second["pay_address"]


async def test_coins_with_a_memo_get_one(sandbox, order_id):
    assert (await payment(sandbox, order_id, pay_currency="XRP"))["payin_extra_id"]
    assert (await payment(sandbox, order_id))["payin_extra_id"] is None


async def test_listing_wants_the_bearer_token_too(sandbox, clock, order_id):
    made = [(await payment(sandbox, order_id))["payment_id"] for _ in range(3)]
    assert (await sandbox.nowpayments("GET", "/payment/")).status == 401
    signed_in = await sandbox.nowpayments("POST", "/auth", json={"email": "a@b.test", "password": "x"})
    bearer = {"Authorization": f"Bearer {signed_in.json()['token']}"}
    page = (await sandbox.nowpayments("GET", "/payment/", params={"limit": "2"}, headers=bearer)).json()
    assert [str(each["payment_id"]) for each in page["data"]] == made[:0:-1]
    assert (page["total"], page["pagesCount"]) == (3, 2)
    assert (await sandbox.nowpayments("GET", "/payment/?limit=501", headers=bearer)).status == 400
    clock.advance(300)
    assert (await sandbox.nowpayments("GET", "/payment/", headers=bearer)).status == 401


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"price_amount": 0}, "INVALID_REQUEST_PARAMS"),
        ({"price_amount": "abc"}, "INVALID_REQUEST_PARAMS"),
        ({"price_amount": 1e300}, "INVALID_REQUEST_PARAMS"),
        ({"price_currency": ""}, "INVALID_REQUEST_PARAMS"),
        ({"pay_currency": "doge"}, "CURRENCY_UNAVAILABLE"),
        ({"price_amount": 4.99}, "AMOUNT_MINIMAL_ERROR"),
    ],
)
async def test_a_bad_payment_is_refused_in_its_own_words(sandbox, members, code):
    await sandbox.set(minAmount=5)
    body = {"price_amount": 10, "price_currency": "eur", "pay_currency": "btc", **members}
    reply = await sandbox.nowpayments("POST", "/payment", json=body)
    assert (reply.status, reply.json()["code"], reply.json()["status"]) == (400, code, False)


async def test_the_key_is_required(sandbox):
    reply = await sandbox.call("POST", "/nowpayments/invoice", json={}, headers={"x-api-key": "guess"})
    assert (reply.status, reply.json()["code"]) == (403, "INVALID_API_KEY")


async def test_small_questions_have_small_answers(sandbox):
    await sandbox.set(minAmount=6)
    assert (await sandbox.call("GET", "/nowpayments/status")).json() == {"message": "OK"}
    assert "btc" in (await sandbox.nowpayments("GET", "/currencies")).json()["currencies"]
    least = (await sandbox.nowpayments("GET", "/min-amount?currency_from=btc&currency_to=eur")).json()
    assert (least["min_amount"], least["fiat_equivalent"]) == (0.0001, 6)
    estimate = (await sandbox.nowpayments("GET", "/estimate?amount=60&currency_from=eur&currency_to=btc")).json()
    assert Decimal(estimate["estimated_amount"]) == Decimal("0.001")
    for amount in ("", "NaN", "Infinity", "-1", "1e400", "abc"):
        reply = await sandbox.nowpayments("GET", f"/estimate?amount={amount}&currency_from=eur&currency_to=btc")
        assert reply.status == 400


async def test_the_invoice_page_pays_by_button(sandbox, receiver, order_id):
    made, other = await invoice(sandbox, order_id), await invoice(sandbox, order_id)
    page = await sandbox.call("GET", made["invoice_url"].removeprefix(sandbox.url))
    assert f'action="/_pay/{order_id}"' in page.text
    assert f'name="invoiceId" value="{made["id"]}"' in page.text
    await sandbox.call("POST", f"/_pay/{order_id}", data={"invoiceId": made["id"]})
    assert [each.json()["payment_status"] for each in receiver.received] == SERIES
    assert {str(each.json()["invoice_id"]) for each in receiver.received} == {made["id"]} != {other["id"]}


async def test_each_invoice_has_a_payment_of_its_own_and_the_newest_is_paid_by_default(sandbox, receiver, order_id):
    old, new = await invoice(sandbox, order_id), await invoice(sandbox, order_id)
    for wish in ({"invoiceId": old["id"]}, {"invoiceId": old["id"]}, {"invoiceId": new["id"]}):
        await sandbox.pay(order_id, statuses=["finished"], **wish)
    assert [str(each.json()["invoice_id"]) for each in receiver.received] == [old["id"], old["id"], new["id"]]
    assert len({each.json()["payment_id"] for each in receiver.received}) == 2


@pytest.mark.parametrize("wish", [{"invoiceId": 1}, {"invoiceId": "x"}, {"invoice": 1}])
async def test_an_invoice_that_is_none_of_the_order_cannot_be_paid(sandbox, receiver, order_id, wish):
    await invoice(sandbox, order_id)
    reply = await sandbox.call("POST", f"/_pay/{order_id}", json=wish)
    assert reply.status == (404 if wish == {"invoiceId": 1} else 422), reply.text
    assert receiver.received == []
