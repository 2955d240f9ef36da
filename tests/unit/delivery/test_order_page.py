import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from bitloot import links
from bitloot.contracts.events import KeysRevealed
from bitloot.contracts.state import OrderStatus
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.errors import Cause, Transient
from bitloot.health import Health
from bitloot.ids import order_id
from delivery.order_page.app import build, order_of
from delivery.order_page.status import Line
from delivery.order_page.views import PagePorts
from delivery.settings import OrderPageSettings
from tests.fakes.key_store import FakeKeyStore
from tests.fakes.orders import FakeOrders
from tests.fakes.producer import FakeProducer
from tests.fakes.time import FakeTime
from tests.unit.delivery.orders import CANCELED, FULFILLED, PLACED, PURCHASING, REVIEW, STORED
from tests.unit.delivery.samples import ORDER

SECRETS = (SecretStr("current-link-secret"), SecretStr("previous-link-secret"))
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SETTINGS = OrderPageSettings(
    kafka_bootstrap_servers="127.0.0.1:9",
    database_url="postgresql://127.0.0.1:9/none",
    r2_endpoint_url="https://storage.test:8333",
    r2_bucket="bucket",
    r2_access_key_id="id",
    r2_secret_access_key="secret",
    support_email="help@bitloot.test",
    order_link_secrets=",".join(each.get_secret_value() for each in SECRETS),
)


class Buyer:
    """A buyer's browser, and all that the page stands on, in memory."""

    def __init__(self):
        self.time = FakeTime()
        self.orders = FakeOrders()
        self.store = FakeKeyStore(self.time)
        self.producer = FakeProducer()
        self.path = self.link()

    async def __aenter__(self):
        ports = PagePorts(
            orders=self.orders,
            links=self.store,
            events=self.producer,
            order_of=lambda token: order_of(token, secrets=SECRETS, clock=self.time),
            clock=self.time,
        )
        server = TestServer(build(SETTINGS, ports, Health()))
        await server.start_server(access_log=None)  # as in production; it would hold the links
        self._client = TestClient(server)
        return self

    async def __aexit__(self, *_):
        await self._client.close()

    def link(self, order=ORDER, secret=SECRETS[0], **span):
        return f"/o/{links.mint(order, 0, self.time() + timedelta(**(span or {'days': 1})), [secret])}"

    def knows(self, order):
        self.orders.known[ORDER] = order

    async def ask(self, method, path, **options):
        answer = await self._client.request(method, path, allow_redirects=False, **options)
        answer.body = await answer.text()
        return answer

    async def see(self, path=None):
        return await self.ask("GET", path or self.path, headers=BROWSER)

    async def status(self):
        answer = await self.ask("GET", f"{self.path}/status")
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    async def reveal(self, **options):
        return await self.ask("POST", f"{self.path}/reveal", **options)

    @property
    def events(self):
        return self.producer.on(ORDER_EVENTS)


@pytest.fixture
async def buyer():
    async with Buyer() as buyer:
        yield buyer


# --- The page -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "headline", "button"),
    [
        (None, "We have your order", None),
        (PLACED, "Waiting for your payment", None),
        (PURCHASING, "Payment received", None),
        (STORED, "Your keys are ready", "Reveal keys"),
        (FULFILLED, "Your keys are ready", "Reveal keys"),
        (replace(FULFILLED, lines=(Line("Half-Life 3", 1),)), "Your key is ready", "Reveal key"),
        (REVIEW, "We are looking into your order", None),
        (CANCELED, "This order was canceled", None),
    ],
)
async def test_the_page_says_where_the_order_is_without_its_script(buyer, order, headline, button):
    if order:
        buyer.knows(order)
    page = await buyer.see()

    assert page.status == 200
    assert page.content_type == "text/html"
    assert f"<h1>{headline}</h1>" in page.body
    assert re.findall(r'<button class="button button--wide" type="submit">(.*?)</button>', page.body) == (
        [button] if button else []
    )
    assert ORDER in page.body


async def test_the_way_to_pay_is_on_the_page(buyer):
    buyer.knows(PLACED)

    assert f'href="{PLACED.pay_url}"' in (await buyer.see()).body


async def test_titles_cannot_write_html(buyer):
    buyer.knows(replace(FULFILLED, lines=(Line("<script>alert(1)</script>", 1),)))
    page = await buyer.see()

    assert "<script>alert" not in page.body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.body


async def test_everything_on_the_page_comes_from_here_and_nothing_is_inline(buyer):
    buyer.knows(FULFILLED)
    page = await buyer.see()
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', page.body)

    assert addresses
    addresses.remove("mailto:help@bitloot.test")
    assert not [each for each in addresses if "//" in each or each.startswith("/")]  # relative: any prefix will do
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page.body)
    for address in addresses:
        answer = await buyer.ask("GET", f"/o/{address}")
        assert answer.status == (405 if address.endswith("/reveal") else 200), address


async def test_files_may_be_kept_and_pages_may_not(buyer):
    page = await buyer.see()
    script = re.search(r'src="(static/page.js\?v=\w+)"', page.body).group(1)
    answer = await buyer.ask("GET", f"/o/{script}")

    assert page.headers["Cache-Control"] == "no-store"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.content_type == "text/javascript"
    assert (await buyer.ask("GET", "/o/static/order.html")).status == 404
    assert (await buyer.ask("GET", "/o/static/..%2Fhtml.py")).status == 404


@pytest.mark.parametrize("path", ["", "/status", "/nothing", "x"])
async def test_every_answer_keeps_to_itself(buyer, path):
    headers = (await buyer.ask("GET", buyer.path + path, headers=BROWSER)).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))

    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["img-src"] == "'self'"
    assert policy["connect-src"] == policy["form-action"] == "'self' https://storage.test:8333"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Robots-Tag"].startswith("noindex")


# --- The link -------------------------------------------------------------------------------------


async def test_links_of_the_previous_secret_still_work(buyer):
    assert (await buyer.see(buyer.link(secret=SECRETS[1]))).status == 200


@pytest.mark.parametrize(
    ("link", "status", "headline"),
    [
        (lambda buyer: "/o/short", 404, "We cannot find this order"),
        (lambda buyer: buyer.path[:-1] + ("A" if buyer.path[-1] != "A" else "B"), 404, "We cannot find this order"),
        (lambda buyer: buyer.link(secret=SecretStr("another")), 404, "We cannot find this order"),
        (lambda buyer: buyer.link(seconds=0), 410, "This link has expired"),
    ],
    ids=["short", "altered", "another's", "expired"],
)
async def test_bad_and_expired_links(buyer, link, status, headline):
    path = link(buyer)
    page = await buyer.see(path)
    assert page.status == status
    assert page.content_type == "text/html"
    assert f"<h1>{headline}</h1>" in page.body

    for method, below in (("GET", ""), ("GET", "/status"), ("POST", "/reveal")):
        answer = await buyer.ask(method, path + below)
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        assert json.loads(answer.body)["status"] == status
        assert path.rsplit("/", 1)[1] not in answer.body
    assert buyer.events == []


async def test_a_link_opens_its_own_order_only(buyer):
    buyer.knows(FULFILLED)
    buyer.path = buyer.link(order_id("another order"))

    assert (await buyer.status())["status"] == "unplaced"
    assert (await buyer.reveal()).status == 409


# --- The status -----------------------------------------------------------------------------------


async def test_the_status(buyer):
    assert (await buyer.status())["status"] == "unplaced"
    buyer.knows(PLACED)
    assert (await buyer.status())["payUrl"] == PLACED.pay_url
    buyer.knows(FULFILLED)
    status = await buyer.status()

    assert (status["status"], status["revealable"], status["orderId"]) == ("fulfilled", True, ORDER)
    assert "buyer@" not in json.dumps(status)
    assert "keys/" not in json.dumps(status)


async def test_a_database_that_is_away(buyer):
    buyer.orders.away = True

    page, status, reveal = await buyer.see(), await buyer.ask("GET", f"{buyer.path}/status"), await buyer.reveal()

    assert [each.status for each in (page, status, reveal)] == [503, 503, 503]
    assert "<h1>We will be right back</h1>" in page.body
    assert all(int(each.headers["Retry-After"]) >= 1 for each in (page, status, reveal))
    assert "PostgreSQL" not in page.body + status.body + reveal.body


# --- Revealing ------------------------------------------------------------------------------------


async def test_revealing_is_recorded_and_gives_a_fresh_link(buyer):
    buyer.knows(STORED)
    answer = await buyer.reveal()
    revealed = json.loads(answer.body)

    assert answer.status == 200
    assert revealed["url"].startswith(f"https://storage.test/bucket/keys/{ORDER}.json?")
    assert revealed["expiresAt"] == "2026-03-01T12:15:00Z"
    (sent,) = buyer.producer.sent
    assert (sent.topic, sent.key) == (ORDER_EVENTS, ORDER)
    assert isinstance(sent.record, KeysRevealed)
    assert (sent.record.order_id, sent.record.occurred_at) == (ORDER, buyer.time())


async def test_every_reveal_gives_another_link_and_one_event_a_minute_counts(buyer):
    buyer.knows(FULFILLED)
    urls = {json.loads((await buyer.reveal()).body)["url"] for _ in range(2)}
    buyer.time.advance(minutes=1)
    await buyer.reveal()
    first, second, later = (each.event_id for each in buyer.events)

    assert len(urls) == 2
    assert first == second != later


async def test_get_and_head_reveal_nothing(buyer):
    buyer.knows(FULFILLED)
    for method in ("GET", "HEAD"):
        for below in ("", "/status", "/reveal"):
            await buyer.ask(method, buyer.path + below, headers=BROWSER)
    answer = await buyer.ask("GET", f"{buyer.path}/reveal")

    assert answer.status == 405
    assert buyer.events == []
    assert buyer.store.signed == 0
    for _ in range(10):  # nor did it use up what may be revealed in a minute
        assert (await buyer.reveal()).status == 200


async def test_without_the_script_the_form_is_sent_on_to_the_keys(buyer):
    buyer.knows(FULFILLED)
    answer = await buyer.reveal(headers=BROWSER)

    assert answer.status == 303
    assert answer.headers["Location"].startswith(f"https://storage.test/bucket/keys/{ORDER}.json?")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert len(buyer.events) == 1


@pytest.mark.parametrize(
    "order", [None, PLACED, PURCHASING, REVIEW, CANCELED, replace(STORED, status=OrderStatus.REFUNDED)]
)
async def test_there_is_nothing_to_reveal_before_the_keys_are_stored(buyer, order):
    if order:
        buyer.knows(order)
    answer, page = await buyer.reveal(), await buyer.reveal(headers=BROWSER)

    assert (answer.status, answer.content_type) == (409, "application/problem+json")
    assert (page.status, page.content_type) == (409, "text/html")
    assert f'href="../{buyer.path.removeprefix("/o/")}"' in page.body
    assert 'href="../static/page.css' in page.body
    assert (buyer.events, buyer.store.signed) == ([], 0)


async def test_no_link_without_an_acknowledged_record(buyer):
    buyer.knows(FULFILLED)
    buyer.producer.away = True
    answer = await buyer.reveal()

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert buyer.store.signed == 0


async def test_a_storage_that_is_away(buyer):
    buyer.knows(FULFILLED)
    buyer.store.failures = [Transient(Cause.STORAGE_UNAVAILABLE, "storage: EndpointConnectionError")]

    assert (await buyer.reveal()).status == 503


async def test_ten_reveals_a_minute(buyer):
    buyer.knows(FULFILLED)
    answers = [(await buyer.reveal()).status for _ in range(10)]
    more, page = await buyer.reveal(), await buyer.reveal(headers=BROWSER)

    assert answers == [200] * 10
    assert (more.status, page.status) == (429, 429)
    assert 1 <= int(more.headers["Retry-After"]) <= 60
    assert 1 <= int(page.headers["Retry-After"]) <= 60
    assert len(buyer.events) == 10


async def test_nothing_that_opens_keys_is_logged(buyer, capsys, caplog):
    buyer.knows(FULFILLED)
    with caplog.at_level("DEBUG"):
        url = json.loads((await buyer.reveal()).body)["url"]
        await buyer.reveal(headers=BROWSER)
        await buyer.see()
    written = "".join(capsys.readouterr()) + caplog.text

    assert "keys.revealed" in written
    assert url.rsplit("=", 1)[1] not in written
    assert "X-Amz-Signature=planted" not in written
    assert buyer.path.removeprefix("/o/") not in written


async def test_probes(buyer):
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await buyer.ask("GET", path)).status == 200
