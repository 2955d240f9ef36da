"""Orders paid in one coin, and orders of whose payment no notification ever told, through everything."""

import uuid
from decimal import Decimal

import asyncpg
import httpx
import pytest

from tests.e2e.test_orders import Shop, when

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


@pytest.fixture
async def shop(stack):
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield Shop(stack, client)


@pytest.fixture
async def read_model(stack):
    connection = await asyncpg.connect(stack["postgres"])
    yield connection
    await connection.close()


async def place(shop: Shop, key: str, **more) -> httpx.Response:
    return await shop.client.post(
        f"{shop.stack['ingress_url']}/orders",
        headers={"Authorization": f"Bearer {shop.stack['shop_token']}", "Idempotency-Key": key},
        json={
            "email": f"buyer-{key[:8]}@example.com",
            "currency": "eur",
            "items": [{"productId": "alpha", "title": "Alpha", "quantity": 1, "unitPrice": "12.50"}],
            **more,
        },
    )


async def accepted(read_model, order: str):
    return await when(
        read_model, "select * from payments where order_id = $1 and verdict = 'accepted'", uuid.UUID(order)
    )


async def test_an_order_is_paid_in_the_coin_that_was_asked_for(shop, read_model):
    key = uuid.uuid4().hex
    answer = await place(shop, key, payCurrency="XRP")
    assert answer.status_code == 201
    placed = answer.json()
    assert (placed["payment"]["payCurrency"], placed["payment"]["amount"]) == ("xrp", "25")
    assert placed["payment"]["memo"], "without its tag a deposit is lost"
    assert (await place(shop, key, payCurrency="xrp")).json() == placed

    await shop.pay(placed["orderId"])

    await shop.until(placed["statusUrl"], "fulfilled")
    row = await accepted(read_model, placed["orderId"])
    assert (row["id"], row["found_by"]) == (placed["payment"]["paymentId"], "notification")
    assert row["actually_paid"] == Decimal(25)
    calls = [call["call"] for call in (await shop.ledger(placed["orderId"]))["calls"]]
    assert calls.count("payment") == 1, "one address, however often the order was placed"
    assert calls.count("payment_status") == 1, "read once before anything is bought"


@pytest.mark.parametrize("coin", [{"payCurrency": "btc"}, {}], ids=["an address", "an invoice"])
async def test_a_payment_that_no_notification_told_of_is_found(shop, read_model, coin):
    placed = (await place(shop, uuid.uuid4().hex, **coin)).json()

    answers = await shop.pay(placed["orderId"], silent=True)

    assert {answer["error"] for answer in answers} == {"dropped"}
    await shop.until(placed["statusUrl"], "fulfilled")
    assert (await accepted(read_model, placed["orderId"]))["found_by"] == "poll"
    assert (await shop.ledger(placed["orderId"]))["webhooks"] is not None


async def test_a_coin_that_is_not_offered_and_too_little_of_one_are_told(shop):
    unknown = await place(shop, uuid.uuid4().hex, payCurrency="doge")
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "#/payCurrency")
    item = {"productId": "alpha", "title": "Alpha", "quantity": 1, "unitPrice": "0.00000001"}
    await shop.settings(minAmount=2)
    try:
        little = await place(shop, uuid.uuid4().hex, payCurrency="btc", items=[item])
    finally:
        await shop.settings(minAmount=0)
    assert (little.status_code, little.json()["errors"][0]["type"]) == (422, "amount_too_small")
    assert little.headers["content-type"].startswith("application/problem+json")
