"""The order page in a real browser, its storage on another origin."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bitloot import links
from bitloot.health import Health
from delivery.mail import SignedLink
from delivery.order_page.app import build, order_of
from delivery.order_page.views import PagePorts
from delivery.settings import OrderPageSettings
from tests.fakes.orders import FakeOrders
from tests.fakes.producer import FakeProducer
from tests.integration.delivery.browser import CHROMIUM, browser_tab
from tests.integration.delivery.conftest import now
from tests.unit.delivery.orders import FULFILLED, PLACED, PURCHASING, REVIEW, STORED
from tests.unit.delivery.samples import ORDER

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

SECRET = SecretStr("link-secret")
CODES = ["AAAA-1", "AAAA-2<b>", "BBBB-1"]


class Shop:
    """The page and its storage; `orders` is what the read model knows."""

    def __init__(self):
        self.orders = FakeOrders()
        self.producer = FakeProducer()
        self.cross_origin = True
        self._storage = ""

    def knows(self, order):
        self.orders.known[ORDER] = order

    async def sign(self, object_key):
        return SignedLink(f"{self._storage}/b/{object_key}?X-Amz-Signature=abc", now() + timedelta(minutes=15))

    async def read(self, _request):
        headers = {"Access-Control-Allow-Origin": "*"} if self.cross_origin else {}
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
            ports = PagePorts(
                self.orders, self, self.producer, lambda token: order_of(token, secrets=[SECRET], clock=now), now
            )
            async with TestServer(build(settings, ports, Health())) as server:
                self.page = str(server.make_url(f"/o/{links.mint(ORDER, 1, now() + timedelta(days=1), [SECRET])}"))
                yield self


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
