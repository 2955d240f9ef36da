"""`python -m delivery` and `python -m delivery.order_page` on real Kafka, PostgreSQL and S3."""

import asyncio
import json
import re
import uuid
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from bitloot import links, topics
from bitloot.contracts.codec import decode
from bitloot.contracts.events import EffectFailed, KeysRevealed, KeysStored, MailSent
from bitloot.contracts.topics import DELIVERIES, ORDER_EVENTS
from bitloot.ids import order_id
from bitloot.kafka import Producer
from bitloot.settings import KafkaSettings
from tests.fakes.buyers import keep_key
from tests.integration.delivery.conftest import now, open_r2
from tests.integration.delivery.processes import running
from tests.integration.plumbing.broker import Broker
from tests.unit.delivery.samples import PAIR, mail_effect, store_effect

CODES = ["PLANTED-AAAA-1111", "PLANTED-BBBB-2222"]
LINK_SECRET = SecretStr("link-secret-of-the-test")


class Stack:
    """The real parts, and one order of this test's own."""

    def __init__(self, kafka_bootstrap, database, bucket, log_dir):
        self.order = order_id(str(uuid.uuid4()))
        self.kafka = KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap)
        self._broker = Broker(self.kafka, "")
        self._log_dir = log_dir
        self._settings = {
            "kafka_bootstrap_servers": kafka_bootstrap,
            "database_url": database,
            "r2_endpoint_url": bucket.endpoint,
            "r2_bucket": bucket.name,
            "r2_access_key_id": bucket.access_key,
            "r2_secret_access_key": bucket.secret_key,
            "order_link_secrets": LINK_SECRET.get_secret_value(),
        }

    def _log_file(self):
        """Each start has a file of its own."""
        return self._log_dir / f"{len(list(self._log_dir.iterdir()))}.log"

    @property
    def logs(self):
        return "".join(each.read_text() for each in sorted(self._log_dir.glob("*.log")))

    @property
    def page_path(self):
        return f"/o/{links.mint(self.order, 1, now() + timedelta(days=1), [LINK_SECRET])}"

    @asynccontextmanager
    async def worker(self, sandbox):
        settings = {
            "sealing_private_keys": PAIR.private.get_secret_value(),
            "public_url": "https://shop.test",
            "resend_base_url": f"{sandbox.url}/resend",
            "resend_api_key": sandbox.settings.resend_api_key.get_secret_value(),
            "email_from": "BitLoot <orders@bitloot.test>",
        }
        async with running("delivery", self._log_file(), **self._settings, **settings) as worker:
            yield worker

    @asynccontextmanager
    async def page(self):
        async with running("delivery.order_page", self._log_file(), **self._settings) as page:
            yield page

    async def ask(self, *effects):
        async with Producer(self.kafka, client_id="test") as producer:
            for effect in effects:
                await producer.send(DELIVERIES, self.order, effect)

    async def events(self):
        """Return this order's events so far."""
        return [
            decode(ORDER_EVENTS, record.value)
            for record in await self._broker.read(ORDER_EVENTS)
            if record.key == self.order.encode()
        ]

    async def event(self, kind):
        """Return the newest event of a kind, once there is one."""
        async with asyncio.timeout(40):
            while not (found := [each for each in await self.events() if isinstance(each, kind)]):
                await asyncio.sleep(0.1)
        return found[-1]


@pytest.fixture
async def stack(kafka_bootstrap, database, bucket, tmp_path):
    await topics.ensure(KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap), partitions=1, replication=1)
    return Stack(kafka_bootstrap, database, bucket, tmp_path)


async def test_keys_and_mail_through_a_kill_in_the_middle_of_sending(stack, sandbox, pool):
    # One test for the worker: all of them would share the consumer group.
    await keep_key(pool, stack.order)
    store = store_effect(CODES, order=stack.order)
    async with stack.worker(sandbox) as worker:
        await stack.ask(store)
        stored = await stack.event(KeysStored)
        await sandbox.fail({"provider": "resend", "call": "send", "kind": "timeout_after", "delay": 30, "count": 1})
        await stack.ask(mail_effect(order=stack.order))
        async with asyncio.timeout(20):
            while not await sandbox.mails():
                await asyncio.sleep(0.05)
        await worker.kill()
    assert not [each for each in await stack.events() if isinstance(each, MailSent)]
    await pool.execute("update effect_ledger set deadline = now()")  # the time that the claim had passes

    async with stack.worker(sandbox) as worker:
        abandoned = await stack.event(EffectFailed)
        await stack.ask(mail_effect(order=stack.order, attempt=2), store)
        sent = await stack.event(MailSent)
        assert await worker.stop() == 0

    assert (stored.object_key, stored.codes) == (f"keys/{stack.order}.json", 2)
    assert (abandoned.failure, abandoned.cause) == ("unknown", "abandoned")
    (mail,) = await sandbox.mails()
    assert mail["id"] == sent.provider_message_id
    page, link = re.findall(r"https?://\S+", mail["text"])
    assert links.verify(page.removeprefix("https://shop.test/o/"), [LINK_SECRET], now()).order_id == stack.order
    async with httpx.AsyncClient() as buyer:
        assert (await buyer.get(link)).json() == {"codes": CODES}
    assert "PLANTED" not in stack.logs
    assert "X-Amz-Signature=" + link.rsplit("X-Amz-Signature=", 1)[1] not in stack.logs
    assert '"delivery.attempted"' in stack.logs


async def test_the_page_reveals_what_is_stored(stack, bucket, pool):
    async with open_r2(bucket) as r2:
        await r2.put_new(f"keys/{stack.order}.json", json.dumps({"codes": CODES}).encode())
    async with stack.page() as page, httpx.AsyncClient(base_url=page.url) as buyer:
        early = await buyer.get(f"{stack.page_path}/status")
        await _insert_order(pool, stack.order)
        shown = await buyer.get(stack.page_path, headers={"Accept": "text/html"})
        status = (await buyer.get(f"{stack.page_path}/status")).json()
        revealed = await buyer.post(f"{stack.page_path}/reveal")
        event = await stack.event(KeysRevealed)
        metrics = (await buyer.get("/metrics")).text
        keys = await buyer.get(revealed.json()["url"])
        assert await page.stop() == 0

    assert early.json()["status"] == "unplaced"
    assert "<h1>Your keys are ready</h1>" in shown.text
    assert (status["status"], status["revealable"], status["keys"]) == ("fulfilled", True, 2)
    assert status["items"] == [{"title": "Zelda", "quantity": 1}, {"title": "Amnesia", "quantity": 1}]
    assert event.order_id == stack.order
    assert keys.json() == {"codes": CODES}
    assert 'bitloot_http_requests_total{method="POST",route="/o/{token}/reveal",status="200"} 1.0' in metrics
    assert "PLANTED" not in stack.logs
    assert revealed.json()["url"].rsplit("=", 1)[1] not in stack.logs
    assert stack.page_path.removeprefix("/o/") not in stack.logs
    assert '"keys.revealed"' in stack.logs


async def _insert_order(pool, order):
    await pool.execute(
        """
        insert into orders (id, status, email, currency, total, object_key, version, placed_at, paid_at, purchased_at,
                            stored_at, mailed_at, updated_at)
        values ($1, 'fulfilled', 'buyer@bitloot.test', 'eur', 20, 'keys/' || $1::uuid || '.json', 9,
                now(), now(), now(), now(), now(), now())
        """,
        order,
    )
    await pool.executemany(
        """
        insert into order_items (id, order_id, position, product_id, title, quantity, unit_price, status, order_version)
        values ($1, $2, $3, 'p', $4, 1, 10, 'stored', 9)
        """,
        [(f"{order}-2", order, 2, "Amnesia"), (f"{order}-1", order, 1, "Zelda")],
    )
