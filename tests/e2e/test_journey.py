"""A buyer's way through the whole system in a real browser: pay, watch, reveal, read the mail, correct an address."""

import asyncio
import re
import uuid
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_orders import Shop
from tests.integration.delivery.browser import CHROMIUM, SHOWN, browser_tab, picture, scheme, width
from tests.integration.delivery.browser_axe import violations

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

VIEWS = (("light", 1000), ("dark", 360))
_SECONDS = 60


class Journey:
    """One buyer: a browser, a mailbox and a wallet."""

    def __init__(self, shop, tab):
        self.shop = shop
        self.tab = tab
        self.label = uuid.uuid4().hex[:8]

    async def place(self, mailbox, **more):
        answer = await self.shop.client.post(
            f"{self.shop.stack['ingress_url']}/orders",
            headers={"Authorization": f"Bearer {self.shop.stack['shop_token']}", "Idempotency-Key": uuid.uuid4().hex},
            json={
                "email": f"{mailbox}+{self.label}@resend.dev",
                "currency": "eur",
                "items": [
                    {"productId": "alpha", "title": 'Zelda <b>"Deluxe"</b>', "quantity": 2, "unitPrice": "12.50"},
                    {"productId": "beta", "title": "Half-Life 3", "quantity": 1, "unitPrice": "59.99"},
                ],
                **more,
            },
        )
        return answer.raise_for_status().json()

    async def sold(self, order):
        ledger = await self.shop.ledger(order)
        return sorted(code for purchase in ledger["purchases"] for code in purchase["keys"])

    async def mails(self, mailbox, count):
        """Return the mails of an address, the newest first, once there are as many."""
        async with asyncio.timeout(_SECONDS):
            while True:
                if len(found := await self.shop.mails(f"{mailbox}+{self.label}@resend.dev")) >= count:
                    return found
                await asyncio.sleep(0.1)

    async def read(self, mail):
        """Show a mail as a mail program does."""
        await self.tab.open("about:blank")
        frame = (await self.tab.call("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        await self.tab.call("Page.setDocumentContent", frameId=frame, html=mail["html"])

    async def headline(self, words):
        await self.tab.wait(f"document.querySelector('h1')?.textContent === {words!r}", _SECONDS)

    async def look(self, name):
        """See that nobody is kept out, on a desk in the light and on a phone in the dark."""
        for mode, pixels in VIEWS:
            await scheme(self.tab, mode)
            await width(self.tab, pixels)
            assert await violations(self.tab) == []
            assert await self.tab.js("document.documentElement.scrollWidth <= innerWidth"), name
            await picture(self.tab, f"journey-{name}-{mode}-{pixels}")


@pytest.fixture
async def journey(stack):
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client, browser_tab() as tab:
        yield Journey(Shop(stack, client), tab)


def page_in(mail):
    """Return the link to the order page that a mail leads with."""
    link = re.search(r'href="(http[^"]+/o/[^"]+)"', mail["html"])
    assert link is not None
    assert link[1] in mail["text"]
    return link[1].replace("&amp;", "&")


async def test_from_unpaid_to_revealed(journey):
    tab = journey.tab
    placed = await journey.place("delivered")
    await tab.open(placed["statusUrl"])
    await journey.headline("Waiting for your payment")
    await tab.js("window.sameDocument = true")
    await journey.look("1-unpaid")

    await journey.shop.pay(placed["orderId"])
    await journey.headline("Your keys are ready")
    await tab.wait("document.querySelectorAll('.step--done').length === 5", _SECONDS)
    assert await tab.js("window.sameDocument") is True, "it came to the page, and the page was not loaded again"
    await journey.look("2-ready")

    await tab.js("document.querySelector('#reveal button').click()")
    await tab.wait("!document.getElementById('revealed').hidden")
    shown = await tab.js("[...document.querySelectorAll('#revealed code')].map(e => e.textContent)")
    assert sorted(shown) == await journey.sold(placed["orderId"])
    titles = await tab.js("[...document.querySelectorAll('#revealed h3')].map(e => e.textContent)")
    assert titles == ['Zelda <b>"Deluxe"</b>', "Half-Life 3"]
    await journey.look("3-revealed")
    assert tab.complaints == []

    (mail,) = await journey.mails("delivered", 1)
    assert mail["subject"] == "Your BitLoot Order"
    assert not any(code in mail["html"] + mail["text"] for code in shown)
    await journey.read(mail)
    await journey.look("4-mail")
    if SHOWN:
        await asyncio.to_thread(Path(SHOWN, "journey-4-mail.txt").write_text, mail["text"])
    await tab.open(page_in(mail))
    await journey.headline("Your keys are ready")


async def test_how_to_pay_in_one_coin_is_on_the_page_until_it_is_paid(journey):
    tab = journey.tab
    placed = await journey.place("delivered", payCurrency="xrp")
    how = placed["payment"]
    await tab.open(placed["statusUrl"])
    await tab.wait("document.getElementById('pay-address') !== null", _SECONDS)
    shown = await tab.js(
        "['amount', 'address', 'memo'].map(each => document.getElementById(`pay-${each}`).textContent)"
    )
    assert shown == [how["amount"], how["address"], how["memo"]]
    await tab.wait("/^\\d.* left$/.test(document.querySelector('.countdown').textContent)")
    assert await tab.js("document.querySelector('.pay__code svg') !== null")
    await journey.look("8-one-coin")

    await journey.shop.pay(placed["orderId"])
    await journey.headline("Your keys are ready")
    assert await tab.js("document.getElementById('pay-address')") is None
    assert tab.complaints == []


async def test_a_mail_that_comes_back_is_sent_to_another_address(journey):
    """The buyer mistyped: the page says so, the right mailbox confirms, and links from before open nothing."""
    tab = journey.tab
    placed = await journey.place("bounced")
    await journey.shop.pay(placed["orderId"])
    await tab.open(placed["statusUrl"])
    await tab.wait("document.querySelector('[data-part=mail]')?.textContent.includes('came back')", _SECONDS)
    await journey.look("5-bounced")

    await tab.js(f"document.getElementById('email').value = 'delivered+{journey.label}@resend.dev'")
    await tab.js("document.querySelector('form[action$=\"/email\"] button').click()")
    await tab.wait("document.querySelector('.wish').textContent.startsWith('Look into that mailbox')")
    (asked,) = await journey.mails("delivered", 1)
    await journey.read(asked)
    await journey.look("6-confirmation-mail")
    await tab.open(page_in(asked))
    await journey.headline("Is this your mail address?")
    await tab.js("document.querySelector('form button').click()")
    await journey.headline("Your address is confirmed")

    mail = next(each for each in await journey.mails("delivered", 2) if each["id"] != asked["id"])
    await tab.open(page_in(mail))
    await journey.headline("Your keys are ready")
    await tab.open(placed["statusUrl"])
    await tab.wait("document.querySelector('h1')?.textContent !== 'Your keys are ready'")
    assert (await journey.shop.client.get(placed["statusUrl"])).status_code == 410
    await journey.look("7-revoked")
    assert len(await journey.mails("bounced", 1)) == 1
