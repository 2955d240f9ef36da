"""The same system on Kinguin's buyer API: many items in one order, pictures, parts, and keys that go back."""

import asyncio
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer

from bitloot.contracts.codec import encode
from bitloot.contracts.events import KeysReturnRequested
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.ids import EventId
from chaos.leaks import scan
from tests.e2e.test_orders import Shop, when

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture
async def shop(esa_stack):
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        shop = Shop(esa_stack, client)
        await shop.settings(imageKeys=0, keyCanceled=0, keyDelay=0.2)
        yield shop


@pytest.fixture
async def database_of_the_stack(esa_stack):
    connection = await asyncpg.connect(esa_stack["postgres"])
    yield connection
    await connection.close()


async def paid(shop: Shop, items: list[tuple[str, int]]) -> dict:
    placed = (await shop.place(items)).raise_for_status().json()
    await shop.pay(placed["orderId"])
    return placed


async def test_all_items_of_an_order_are_one_kinguin_order_and_pictures_have_links_of_their_own(
    esa_stack, shop, database_of_the_stack, tmp_path
):
    await shop.settings(imageKeys=0.5)
    placed = await paid(shop, [("alpha", 4), ("beta", 5), ("gamma", 3)])
    order = placed["orderId"]
    await shop.until(placed["statusUrl"], "fulfilled")
    ledger = await shop.ledger(order)
    assert {sold["orderId"] for sold in ledger["purchases"]} == {f"{order}-1"}
    assert [sold["quantity"] for sold in ledger["purchases"]] == [4, 5, 3]
    assert len({sold["reservationId"] for sold in ledger["purchases"]}) == 1

    await when(database_of_the_stack, "select 1 from orders where id = $1 and status = 'fulfilled'", order)
    keys = await database_of_the_stack.fetch("select * from keys where order_id = $1", order)
    assert len(keys) == 12
    pictures = {key["storage_ref"] for key in keys if key["media_type"] != "text/plain"}
    assert {key["storage_ref"] for key in keys} - pictures == {f"keys/{order}.json"}
    assert 0 < len(pictures) < 12
    address = await database_of_the_stack.fetchval("select email from orders where id = $1", order)
    (mail,) = [each for each in await shop.mails(address) if each["subject"] == "Your BitLoot Order"]
    for name in (f"keys/{order}.json", *pictures):
        assert name in mail["text"], "each object has a link of its own"
    sold = [code for each in ledger["purchases"] for code in each["keys"]]
    scanner = await scan(esa_stack, [code for code in sold if len(code) < 100], tmp_path)
    assert scanner.found == set()


async def test_a_quantity_above_the_limit_is_several_kinguin_orders(shop):
    placed = await paid(shop, [("alpha", 20), ("beta", 1)])
    order = placed["orderId"]
    await shop.until(placed["statusUrl"], "fulfilled")
    sold = (await shop.ledger(order))["purchases"]
    assert sorted((each["orderId"], each["productId"], each["quantity"]) for each in sold) == [
        (f"{order}-1", "alpha", 9),
        (f"{order}-1", "beta", 1),
        (f"{order}-2", "alpha", 9),
        (f"{order}-3", "alpha", 2),
    ]


async def test_of_a_partial_delivery_only_the_missing_keys_are_bought_anew(shop, database_of_the_stack):
    await shop.settings(keyCanceled=0.5, seed=3)
    placed = await paid(shop, [("alpha", 4), ("beta", 5)])
    order = placed["orderId"]
    waits = await when(database_of_the_stack, "select * from orders where id = $1 and status = 'needs_review'", order)
    assert "partly_delivered" in waits["review"]
    assert 0 < waits["owed"] < waits["total"]
    assert Decimal(str((await shop.admin(f"orders/{order}"))["owed"])) == waits["owed"]
    await shop.settings(keyCanceled=0)
    answer = await shop.client.post(
        f"{shop.stack['admin_url']}/admin/orders/{order}/reprocess",
        headers={"Authorization": f"Bearer {shop.stack['admin_token']}"},
        json={"reason": "buy the rest", "actionId": uuid.uuid4().hex},
    )
    assert answer.status_code == 202, answer.text
    await shop.until(placed["statusUrl"], "fulfilled")
    row = await when(database_of_the_stack, "select * from orders where id = $1 and status = 'fulfilled'", order)
    assert row["owed"] == 0
    sold = (await shop.ledger(order))["purchases"]
    kept = sum(len(each["keys"]) for each in sold)
    assert kept == 9
    rest = int(waits["owed"] / Decimal("12.50"))
    assert sum(each["quantity"] for each in sold if each["orderId"] == f"{order}-2") == rest


async def test_keys_go_back_to_kinguin_on_an_admins_word(esa_stack, shop, database_of_the_stack):
    await shop.settings(keyDelay=600)
    placed = await paid(shop, [("alpha", 2)])
    order = placed["orderId"]
    await when(database_of_the_stack, "select 1 from reservations where order_id = $1 and status = 'given'", order)
    producer = AIOKafkaProducer(bootstrap_servers=esa_stack["kafka"])
    await producer.start()
    asked = KeysReturnRequested(
        event_id=EventId(f"return/{order}"),
        occurred_at=datetime.now(UTC),
        order_id=order,
        action_id=uuid.uuid4().hex,
        actor="admin",
    )
    await producer.send_and_wait(ORDER_EVENTS.name, encode(asked), key=order.encode())
    await producer.stop()
    row = await when(database_of_the_stack, "select * from orders where id = $1 and status = 'needs_review'", order)
    assert "keys_returned" in row["review"]
    assert row["owed"] == row["total"]
    calls = [call["call"] for call in (await shop.ledger(order))["calls"]]
    assert calls.count("return") == 1
    assert "keys" not in calls, "to download a key is to claim it"


async def test_many_orders_at_once_are_bought_once_each(shop):
    placed = await asyncio.gather(*(paid(shop, [("alpha", 1), ("beta", 2)]) for _ in range(20)))
    await asyncio.gather(*(shop.until(each["statusUrl"], "fulfilled") for each in placed))
    for each in placed:
        sold = (await shop.ledger(each["orderId"]))["purchases"]
        assert [(one["orderId"], one["quantity"]) for one in sold] == [
            (f"{each['orderId']}-1", 1),
            (f"{each['orderId']}-1", 2),
        ]
