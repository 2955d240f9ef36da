"""The order page in a real browser, its storage on another origin."""

import asyncio
import io
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import segno
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bitloot import links
from bitloot.health import Health
from delivery.mail import SignedLink
from delivery.order_page.app import build, confirmed, opened
from delivery.order_page.asking import Asking
from delivery.order_page.status import KnownMail, PayInstructions
from delivery.order_page.views import PagePorts
from delivery.order_page.watch import Watch
from delivery.settings import OrderPageSettings
from tests.fakes.buyers import FakeBuyers
from tests.fakes.buyers import opened as opened_text
from tests.fakes.orders import FakeAttempts, FakeLostRequests, FakeOrders
from tests.fakes.producer import FakeProducer
from tests.integration.delivery.browser import CHROMIUM, browser_tab, picture, scheme, width
from tests.integration.delivery.browser_axe import violations
from tests.integration.delivery.conftest import now
from tests.unit.delivery.orders import FULFILLED, PLACED, PURCHASING, REVIEW, STORED
from tests.unit.delivery.samples import ORDER

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

SECRET = SecretStr("link-secret")
CODES = ["AAAA-1", "AAAA-2<b>", "BBBB-1"]


def _drawn():
    drawn = io.BytesIO()
    segno.make("a key", micro=False, version=1).save(drawn, kind="png", scale=2, border=5)  # 62 pixels wide
    return drawn.getvalue()


PICTURE = _drawn()


async def press(tab, key):
    for kind in ("keyDown", "keyUp"):
        await tab.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=13, text="\r")


class Shop:
    """The page and its storage; `orders` is what the read model knows."""

    def __init__(self):
        self.orders = FakeOrders()
        self.producer = FakeProducer()
        self.cross_origin = True
        self.referers = []
        self._storage = ""

    def knows(self, order):
        self.orders.known[ORDER] = order

    async def sign(self, object_key):
        return SignedLink(f"{self._storage}/b/{object_key}?X-Amz-Signature=abc", now() + timedelta(minutes=15))

    async def read(self, request):
        self.referers.append(request.headers.get("Referer"))
        headers = {"Access-Control-Allow-Origin": "*"} if self.cross_origin else {}
        if request.path.endswith(".png"):
            return web.Response(body=PICTURE, content_type="image/png")
        return web.json_response({"codes": CODES}, headers=headers)

    @asynccontextmanager
    async def open(self):
        storage = web.Application()
        storage.router.add_get("/b/{key:.*}", self.read)
        async with TestServer(storage) as store:
            self._storage = str(store.make_url("")).rstrip("/")
            settings = OrderPageSettings(
                kafka_bootstrap_servers="127.0.0.1:9",
                database_url="postgresql://127.0.0.1:9/none",
                r2_endpoint_url=self._storage,
                r2_bucket="bucket",
                r2_access_key_id="id",
                r2_secret_access_key="secret",
                order_link_secrets=SECRET.get_secret_value(),
            )
            watch = self.watch = Watch(self.orders, pause=0.05)
            ports = PagePorts(
                orders=self.orders,
                links=self,
                events=self.producer,
                opens=lambda token: opened(token, secrets=[SECRET], clock=now),
                confirms=lambda token: confirmed(token, secrets=[SECRET], clock=now),
                asking=Asking(
                    events=self.producer,
                    attempts=FakeAttempts(now),
                    orders=self.orders,
                    requests=FakeLostRequests(),
                    buyers=FakeBuyers(),
                    secrets=[SECRET],
                    clock=now,
                ),
                watch=watch,
                clock=now,
            )
            watching = asyncio.create_task(watch.run())
            async with TestServer(build(settings, ports, Health())) as server:
                self.page = str(server.make_url(f"/o/{links.mint(ORDER, 1, now() + timedelta(days=1), [SECRET])}"))
                yield self
            watching.cancel()


@pytest.fixture
async def shop():
    async with Shop().open() as shop:
        yield shop


@pytest.fixture
async def tab():
    async with browser_tab() as tab:
        yield tab


def headline(text):
    return f"document.querySelector('h1').textContent === {json.dumps(text)}"


async def test_from_placed_to_revealed_without_a_reload(shop, tab):
    await tab.open(shop.page)
    await tab.js("window.sameDocument = true")
    await tab.wait(headline("We have your order"))
    for order, words in [
        (PLACED, "Waiting for your payment"),
        (PURCHASING, "Payment received"),
        (STORED, "Your keys are ready"),
    ]:
        shop.knows(order)
        await tab.wait(headline(words))
        assert await tab.js("document.getElementById('announcer').textContent") == words
    shop.knows(FULFILLED)
    await tab.wait("document.getElementById('order').dataset.live === 'false'")

    await tab.js("document.querySelector('#reveal button').click()")
    await tab.wait("!document.getElementById('revealed').hidden")
    shown = await tab.js("[...document.querySelectorAll('#revealed h3, #revealed code')].map(e => e.textContent)")
    assert shown == ["Half-Life 3", "AAAA-1", "AAAA-2<b>", "Portal 3", "BBBB-1"]
    assert await tab.js("document.activeElement.id") == "revealed"
    assert len(shop.producer.sent) == 1

    await tab.js("document.querySelector('.tools button:last-child').click()")
    assert await tab.js("document.body.innerText.includes('AAAA-1')") is False
    assert await tab.js("window.sameDocument") is True
    assert tab.complaints == []


async def test_a_storage_that_no_script_may_read_is_opened_by_hand(shop, tab):
    shop.cross_origin = False
    shop.knows(FULFILLED)
    await tab.open(shop.page)
    await tab.js("document.querySelector('#reveal button').click()")
    await tab.wait("!document.getElementById('reveal-problem').hidden")

    way = "document.querySelector('#reveal-problem a')"
    assert "X-Amz-Signature" in await tab.js(f"{way}.href")
    assert await tab.js(f"{way}.rel") == "noopener noreferrer"


async def test_trouble_is_told_and_passes(shop, tab):
    shop.knows(replace(STORED, lines=()))
    await tab.open(shop.page)
    shop.producer.away = True
    await tab.js("document.querySelector('#reveal button').click()")
    await tab.wait("!document.getElementById('reveal-problem').hidden")
    shop.producer.away = False
    await tab.js("document.querySelector('#reveal button').click()")
    await tab.wait("document.getElementById('reveal-problem').hidden")
    await tab.wait("document.querySelectorAll('#revealed code').length === 3")  # no items known: one plain list

    shop.orders.away = True
    await tab.wait("!document.getElementById('trouble').hidden")
    assert await tab.js("document.querySelectorAll('#revealed code').length") == 3
    shop.orders.away = False
    await tab.wait("document.getElementById('trouble').hidden")


async def test_without_the_script_the_form_leads_to_the_keys(shop, tab):
    shop.knows(FULFILLED)
    await tab.call("Emulation.setScriptExecutionDisabled", value=True)
    await tab.open(shop.page)
    await tab.js("document.getElementById('reveal').submit()")
    await tab.wait("document.body.innerText.includes('AAAA-1')")

    assert "/b/keys/" in await tab.js("location.pathname")
    assert len(shop.producer.sent) == 1


@pytest.mark.parametrize("order", [None, PLACED, FULFILLED, REVIEW])
async def test_nothing_is_wider_than_a_phone(shop, tab, order):
    if order:
        shop.knows(order)
    await tab.call("Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=1, mobile=True)
    await tab.open(shop.page)

    assert await tab.js("document.documentElement.scrollWidth") == 320


# --- What everybody can use -----------------------------------------------------------------------

HOW = PayInstructions(
    pay_currency="xrp",
    network="xrp",
    pay_address="rEb8TK3gBgk5auZkwc6sHnwrGVJH8DuaLh",
    memo="3141592653",
    pay_amount="12.345678",
    valid_until=datetime.now(UTC) + timedelta(days=1),  # of the import: a test may run much later
)
BOUNCED = KnownMail(
    message_id=f"{ORDER}/mail/1",
    kind="keys",
    recipient="buyer@bitloot.test",
    requested_at=PLACED.placed_at,
    delivery="bounced",
)
STATES = {
    "new": None,
    "unpaid": replace(PLACED, instructions=HOW),
    "invoice": PLACED,
    "working": PURCHASING,
    "ready": replace(FULFILLED, mails=(BOUNCED.model_copy(update={"delivery": "delivered"}),)),
    "bounced": replace(FULFILLED, mails=(BOUNCED,)),
    "review": replace(REVIEW, review_cause="underpaid"),
    "gone": replace(FULFILLED, keys_deleted=True),
}


@pytest.mark.parametrize("state", STATES)
async def test_nobody_is_kept_out_in_either_color_scheme_and_on_a_phone(shop, tab, state):
    if STATES[state]:
        shop.knows(STATES[state])
    await tab.open(shop.page)
    for name, pixels in (("light", 1000), ("dark", 360)):
        await scheme(tab, name)
        await width(tab, pixels)
        assert await violations(tab) == []
        assert await tab.js("document.documentElement.scrollWidth <= innerWidth")
        await picture(tab, f"{state}-{name}-{pixels}")
    assert tab.complaints == []


async def test_revealed_keys_and_pictures_keep_nobody_out(shop, tab):
    shop.knows(replace(FULFILLED, pictures=("keys/a.png",)))
    await tab.open(shop.page)
    await tab.js("document.querySelector('#reveal button').focus()")
    await press(tab, "Enter")  # by keyboard alone
    await tab.wait("!document.getElementById('revealed').hidden")
    await tab.wait("document.querySelector('.picture img').naturalWidth === 62")
    for name, pixels in (("light", 1000), ("dark", 360)):
        await scheme(tab, name)
        await width(tab, pixels)
        assert await violations(tab) == []
        await picture(tab, f"revealed-{name}-{pixels}")

    assert [each for each in shop.referers if each] == []
    assert len(shop.referers) == 2
    assert tab.complaints == []


@pytest.mark.parametrize("page", ["lost", "email", "expired", "nothing"])
async def test_the_other_pages_keep_nobody_out(shop, tab, page):
    link = links.OrderLink(ORDER, 1, now() + timedelta(days=1))
    root = shop.page.rpartition("/")[0]
    address = {
        "lost": f"{root}/lost",
        "email": f"{root}/email/{links.mint_confirmation(link, 'right@bitloot.test', [SECRET])}",
        "expired": f"{root}/{links.mint(ORDER, 1, now() - timedelta(days=1), [SECRET])}",
        "nothing": f"{root}/nothing",
    }[page]
    await tab.open(address)
    for name, pixels in (("light", 1000), ("dark", 360)):
        await scheme(tab, name)
        await width(tab, pixels)
        assert await violations(tab) == []
        await picture(tab, f"{page}-{name}-{pixels}")


async def test_axe_would_find_something(shop, tab):
    await tab.open(shop.page)
    await tab.js("document.body.append(document.createElement('img'))")

    assert any(each.startswith("image-alt") for each in await violations(tab))


async def test_the_page_is_small_and_waits_for_no_script(shop, tab):
    shop.knows(STATES["unpaid"])
    await tab.open(shop.page)
    sizes = "performance.getEntries().filter(e => 'transferSize' in e).map(e => [e.name, e.transferSize, e.renderBlockingStatus])"
    loaded = await tab.js(sizes)

    assert sum(size for _, size, _ in loaded) < 60_000, loaded
    blocking = [name.rpartition("/")[2].partition("?")[0] for name, _, status in loaded if status == "blocking"]
    assert blocking == ["page.css"]
    assert {name.split("/o/")[0] for name, _, _ in loaded} == {shop.page.split("/o/")[0]}


# --- What the buyer asks for ----------------------------------------------------------------------


async def test_changes_come_by_the_stream_and_without_it_by_asking(shop, tab):
    shop.knows(PLACED)
    await tab.open(shop.page)
    await tab.wait("performance.getEntriesByType('resource').length > 0")
    shop.knows(PURCHASING)
    await tab.wait(headline("Payment received"))
    assert await tab.js("performance.getEntriesByType('resource').some(e => e.name.endsWith('/status'))") is False

    shop.watch.close()  # too many pages, or a proxy that lets no stream through
    shop.knows(FULFILLED)
    await tab.wait(headline("Your keys are ready"))


async def test_the_mail_is_asked_for_once_more_and_another_address_given(shop, tab):
    shop.knows(STATES["ready"])
    await tab.open(shop.page)
    await tab.js("document.querySelector('form[action$=\"/mail\"] button').click()")
    await tab.wait("document.querySelector('.wish').textContent.startsWith('The mail is on its way')")
    await tab.js("document.querySelector('form[action$=\"/mail\"] button').click()")
    await tab.js("document.querySelector('summary').click()")
    await tab.js("document.getElementById('email').value = 'right@bitloot.test'")
    await tab.js("document.querySelector('form[action$=\"/email\"] button').click()")
    await tab.wait("document.querySelector('.wish').textContent.startsWith('Look into that mailbox')")

    *again, confirm = [sent.record for sent in shop.producer.sent]
    assert {each.action_id for each in again} == {again[0].action_id}
    assert (confirm.kind, opened_text(ORDER, confirm.email)) == ("confirm", "right@bitloot.test")
    assert await tab.js("location.href") == shop.page
    assert tab.complaints == []


async def test_the_time_to_pay_runs_down(shop, tab):
    soon = HOW.model_copy(update={"valid_until": now() + timedelta(minutes=19)})
    shop.knows(replace(PLACED, instructions=soon))
    await tab.open(shop.page)
    await tab.wait("/^1\\d:\\d\\d left$/.test(document.querySelector('.countdown').textContent)")
    before = await tab.js("document.querySelector('.countdown').textContent")
    await tab.wait(f"document.querySelector('.countdown').textContent !== '{before}'")

    shop.knows(replace(PLACED, version=99, instructions=HOW.model_copy(update={"valid_until": now()})))
    await tab.wait("document.querySelector('.countdown').textContent.startsWith('The time is over')")
