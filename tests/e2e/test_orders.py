"""Paid orders become delivered keys, through everything, and no code stands anywhere but in S3."""

import asyncio
import re
import uuid
from decimal import Decimal

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from rocksdict import Options, Rdict

from bitloot.ids import order_id
from chaos.leaks import scan, spellings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

_SECONDS = 60


class Shop:
    """A shop's backend, a buyer and an admin, on the outside interface."""

    def __init__(self, stack: dict, client: httpx.AsyncClient) -> None:
        self.stack = stack
        self.client = client

    async def place(self, items: list[tuple[str, int]], key: str | None = None) -> httpx.Response:
        return await self.client.post(
            f"{self.stack['ingress_url']}/orders",
            headers={
                "Authorization": f"Bearer {self.stack['shop_token']}",
                "Idempotency-Key": key or uuid.uuid4().hex,
            },
            json={
                "email": f"buyer-{uuid.uuid4().hex[:8]}@example.com" if key is None else f"buyer-{key}@example.com",
                "currency": "eur",
                "items": [
                    {"productId": name, "title": f"Game {name}", "quantity": quantity, "unitPrice": "12.50"}
                    for name, quantity in items
                ],
            },
        )

    async def pay(self, order: str, **body) -> list:
        answer = await self.client.post(f"{self.stack['sandbox_url']}/_pay/{order}", json=body)
        answer.raise_for_status()
        return answer.json()

    async def settings(self, **dials) -> None:
        (await self.client.put(f"{self.stack['sandbox_url']}/_settings", json=dials)).raise_for_status()

    async def admin(self, path: str, **query) -> dict:
        answer = await self.client.get(
            f"{self.stack['admin_url']}/admin/{path}",
            params=query,
            headers={"Authorization": f"Bearer {self.stack['admin_token']}"},
        )
        answer.raise_for_status()
        return answer.json()

    async def until(self, status_url: str, wanted: str) -> dict:
        async with asyncio.timeout(_SECONDS):
            while True:
                answer = await self.client.get(f"{status_url}/status")
                if answer.status_code == 200 and answer.json()["status"] == wanted:
                    return answer.json()
                await asyncio.sleep(0.1)

    async def ledger(self, order: str) -> dict:
        return (await self.client.get(f"{self.stack['sandbox_url']}/_ledger", params={"orderId": order})).json()

    async def mails(self, address: str) -> list[dict]:
        return (await self.client.get(f"{self.stack['sandbox_url']}/_mail", params={"to": address})).json()["items"]


@pytest.fixture
async def shop(stack):
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield Shop(stack, client)


@pytest.fixture
async def database_of_the_stack(stack):
    connection = await asyncpg.connect(stack["postgres"])
    yield connection
    await connection.close()


async def when(connection: asyncpg.Connection, query: str, *arguments):
    """Await the first row that a query gives."""
    async with asyncio.timeout(_SECONDS):
        while (row := await connection.fetchrow(query, *arguments)) is None:
            await asyncio.sleep(0.1)
        return row


def link_in(text: str, stack: dict) -> str:
    """Return the signed link of a mail."""
    (link,) = re.findall(rf"{re.escape(stack['s3_endpoint'])}\S+X-Amz-Signature=[0-9a-f]+", text)
    return link


async def test_two_orders_from_payment_to_codes(stack, shop, database_of_the_stack, tmp_path):
    await shop.client.put(f"{stack['sandbox_url']}/_settings", json={"webhookDuplicates": 2, "codesInWebhook": False})
    wishes = {"one": [("alpha", 1)], "three": [("beta", 1), ("gamma", 2), ("delta", 1)]}
    codes: list[str] = []
    for name, items in wishes.items():
        placed = (await shop.place(items, key=f"{name}{uuid.uuid4().hex}")).raise_for_status().json()
        order, quantity = placed["orderId"], sum(q for _, q in items)
        answers = await shop.pay(order, repeat=3)
        assert answers
        status = await shop.until(placed["statusUrl"], "fulfilled")
        assert status["revealable"] is True

        ledger = await shop.ledger(order)
        assert [p["quantity"] for p in ledger["purchases"]] == [q for _, q in items], "one purchase per item"
        sold = sorted(code for p in ledger["purchases"] for code in p["keys"])

        row = await when(database_of_the_stack, "select * from orders where id = $1 and status = 'fulfilled'", order)
        (mail,) = await shop.mails(row["email"])
        assert mail["subject"] == "Your BitLoot Order"
        link = link_in(mail["text"], stack)
        content = (await shop.client.get(link)).raise_for_status().json()
        assert sorted(content["codes"]) == sold
        assert list(content) == ["codes"]
        codes += content["codes"]

        keys = await database_of_the_stack.fetch(
            "select k.* from keys k join order_items i on i.id = k.order_item_id where i.order_id = $1", order
        )
        assert len(keys) == quantity
        assert {k["storage_ref"] for k in keys} == {f"keys/{order}.json"}
        assert all(k["viewed_at"] is None for k in keys)

        revealed = (await shop.client.post(f"{placed['statusUrl']}/reveal")).raise_for_status().json()
        assert (await shop.client.get(revealed["url"])).json() == content
        await when(
            database_of_the_stack,
            "select 1 from keys k join order_items i on i.id = k.order_item_id "
            "where i.order_id = $1 having count(*) = count(k.viewed_at)",
            order,
        )

        logs = await shop.admin("webhook-logs", orderId=order, provider="nowpayments")
        assert sorted(entry["eventType"] for entry in logs["items"]) == [
            "confirmed", "confirming", "finished", "sending", "waiting",
        ]  # fmt: skip
        assert {entry["repeats"] for entry in logs["items"]} == {2}, "one row, and the two repeats counted"

    scanner = await scan(stack, codes, tmp_path)
    assert scanner.looked_at > 100
    assert scanner.found == set()


async def test_the_scan_would_find_a_planted_code(stack, shop, database_of_the_stack, tmp_path):
    planted = "PLANT-" + "-".join(uuid.uuid4().hex[n : n + 5].upper() for n in range(0, 20, 5))
    order = (await shop.place([("alpha", 1)])).json()["orderId"]
    admin = AIOKafkaAdminClient(bootstrap_servers=stack["kafka"])
    await admin.start()
    topic = f"planted-{uuid.uuid4().hex}"
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    producer = AIOKafkaProducer(bootstrap_servers=stack["kafka"], compression_type="gzip")
    await producer.start()
    await producer.send_and_wait(topic, planted.encode())
    await producer.stop()
    await when(database_of_the_stack, "select 1 from orders where id = $1", order)
    await database_of_the_stack.execute("create table planted as select $1::text as note", f"a {planted} b")
    tables = tmp_path / "tables"
    store = Rdict(str(tables / "planted.db"), options=Options(raw_mode=True))
    store[b"order"] = f"{{{planted}}}".encode()
    store.close()
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "service.log").write_bytes(b"\xff" + min(spellings(planted)))
    (tmp_path / "scratch").mkdir()
    try:
        scanner = await scan(
            stack | {"data_dirs": stack["data_dirs"] | {"tables": str(tables)}, "log_dir": str(logs)},
            [planted],
            tmp_path / "scratch",
        )
    finally:
        await database_of_the_stack.execute("drop table planted")
        await admin.delete_topics([topic])
        await admin.close()
    places = {place for _, place in scanner.found}
    assert f"{topic}@0" in places
    assert "postgres public.planted" in places
    assert "rocksdb planted.db" in places
    assert "logs/service.log" in places


async def test_a_repeated_order_is_the_same_order_and_another_body_is_refused(shop):
    key = uuid.uuid4().hex
    first = await shop.place([("alpha", 1)], key=key)
    again = await shop.place([("alpha", 1)], key=key)
    other = await shop.place([("alpha", 2)], key=key)
    assert first.status_code == again.status_code == 201
    assert first.json()["orderId"] == again.json()["orderId"] == order_id(key)
    assert other.status_code == 409
    assert other.headers["content-type"].startswith("application/problem+json")


async def test_another_orders_amount_does_not_pay(shop, database_of_the_stack):
    placed = (await shop.place([("alpha", 1)])).json()
    await shop.pay(placed["orderId"], statuses=["finished"], priceAmount="1.00")
    row = await when(
        database_of_the_stack, "select * from orders where id = $1 and status = 'needs_review'", placed["orderId"]
    )
    assert row["paid_at"] is None
    assert row["total"] == Decimal("12.50")
    assert (await shop.ledger(placed["orderId"]))["purchases"] == []
