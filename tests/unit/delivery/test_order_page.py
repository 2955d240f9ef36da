import asyncio
import json
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from bitloot import links
from bitloot.contracts.events import KeysRevealed, MailKind
from bitloot.contracts.state import OrderStatus
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.errors import Cause, Transient
from bitloot.health import Health
from bitloot.ids import order_id
from delivery.order_page.app import build, confirmed, opened
from delivery.order_page.asking import Asking
from delivery.order_page.status import KnownMail, Line, PayInstructions
from delivery.order_page.views import PagePorts
from delivery.order_page.watch import Watch
from delivery.settings import OrderPageSettings
from tests.fakes.buyers import FakeBuyers, sealed
from tests.fakes.eventually import eventually_async
from tests.fakes.key_store import FakeKeyStore
from tests.fakes.orders import FakeAttempts, FakeLostRequests, FakeOrders
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

    def __init__(self, settings=None):
        self.settings = settings or SETTINGS
        self.time = FakeTime()
        self.orders = FakeOrders()
        self.store = FakeKeyStore(self.time)
        self.producer = FakeProducer()
        self.path = self.link()

    async def __aenter__(self):
        self.watch = Watch(self.orders, pause=0.01)
        self.requests = FakeLostRequests()
        self.buyers = FakeBuyers()
        self.asking = Asking(
            events=self.producer,
            attempts=FakeAttempts(self.time),
            orders=self.orders,
            requests=self.requests,
            buyers=self.buyers,
            secrets=SECRETS,
            clock=self.time,
        )
        ports = PagePorts(
            orders=self.orders,
            links=self.store,
            events=self.producer,
            opens=lambda token: opened(token, secrets=SECRETS, clock=self.time),
            confirms=lambda token: confirmed(token, secrets=SECRETS, clock=self.time),
            asking=self.asking,
            watch=self.watch,
            clock=self.time,
        )
        server = TestServer(build(self.settings, ports, Health()))
        await server.start_server(access_log=None)  # as in production; it would hold the links
        self._client = TestClient(server)
        return self

    async def __aexit__(self, *_):
        await self._client.close()

    def link(self, order=ORDER, secret=SECRETS[0], generation=1, **span):
        return f"/o/{links.mint(order, generation, self.time() + timedelta(**(span or {'days': 1})), [secret])}"

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
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["img-src"] == policy["connect-src"] == policy["form-action"] == "'self' https://storage.test:8333"
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


async def test_every_reveal_gives_another_link_and_is_an_event_with_where_it_came_from(buyer):
    buyer.knows(FULFILLED)
    urls = {json.loads((await buyer.reveal()).body)["url"] for _ in range(2)}

    assert len(urls) == 2
    assert len({each.event_id for each in buyer.events}) == 2
    assert {each.client for each in buyer.events} == {"127.0.0.0/24"}


async def test_behind_a_proxy_of_ours_it_tells_where_a_reveal_comes_from():
    settings = SETTINGS.model_copy(update={"trusted_proxies": ("127.0.0.0/8",)})
    async with Buyer(settings) as buyer:
        buyer.knows(FULFILLED)
        await buyer.reveal(headers={"X-Forwarded-For": "198.51.100.9, 203.0.113.77"})

    assert buyer.events[0].client == "203.0.113.0/24"


async def test_keys_that_are_pictures_have_links_of_their_own(buyer):
    buyer.knows(replace(FULFILLED, pictures=("keys/a.png", "keys/b.png")))
    revealed = json.loads((await buyer.reveal()).body)

    assert [re.search(r"keys/(\w+)\.png", each).group(1) for each in revealed["pictures"]] == ["a", "b"]


async def test_keys_that_are_not_kept_any_longer_are_told_to_be_so(buyer):
    buyer.knows(replace(FULFILLED, keys_deleted=True))
    page, answer = await buyer.see(), await buyer.reveal()

    assert "not kept any longer" in page.body
    assert answer.status == 409
    assert buyer.store.signed == 0


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


async def test_a_link_that_was_revoked_uses_up_no_reveals_of_its_successor(buyer):
    buyer.knows(replace(FULFILLED, generation=2))
    assert [(await buyer.reveal()).status for _ in range(11)] == [410] * 10 + [429]
    buyer.path = buyer.link(generation=2)

    assert (await buyer.reveal()).status == 200


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


# --- Links that were replaced ---------------------------------------------------------------------


async def test_a_link_of_an_earlier_generation_opens_nothing_and_says_why(buyer):
    buyer.knows(replace(FULFILLED, generation=2))
    page = await buyer.see()
    answers = [await buyer.ask("GET", f"{buyer.path}/status"), await buyer.ask("GET", f"{buyer.path}/events")]
    answers += [await buyer.reveal(), await buyer.ask("POST", f"{buyer.path}/mail", data={})]

    assert page.status == 410
    assert "<h1>This link no longer works</h1>" in page.body
    assert 'href="lost"' in page.body
    assert [each.status for each in answers] == [410] * 4
    assert (await buyer.see(buyer.link(generation=2))).status == 200
    assert buyer.events == []


# --- Paying ---------------------------------------------------------------------------------------


async def test_how_to_pay_is_on_the_page_with_a_code(buyer):
    how = PayInstructions(
        pay_currency="xrp",
        network="xrp",
        pay_address="rExample<b>",
        memo="12345",
        pay_amount="12.50",
        valid_until="2026-03-01T12:20:00Z",
    )
    buyer.knows(replace(PLACED, instructions=how))
    page, status = await buyer.see(), await buyer.status()

    assert "rExample&lt;b&gt;" in page.body
    assert '<code id="pay-memo">12345</code>' in page.body
    assert '<code id="pay-amount">12.50</code> XRP' in page.body
    assert 'data-until="2026-03-01T12:20:00+00:00"' in page.body
    assert page.body.count("<svg") == 1
    assert status["pay"]["uri"] == "rExample<b>"


async def test_a_bitcoin_wallet_reads_address_and_amount(buyer):
    how = PayInstructions(pay_currency="btc", pay_address="bc1qexample", pay_amount="0.00012300")
    buyer.knows(replace(PLACED, instructions=how))

    assert (await buyer.status())["pay"]["uri"] == "bitcoin:bc1qexample?amount=0.00012300"


async def test_nothing_is_to_be_paid_once_it_is_paid(buyer):
    buyer.knows(PURCHASING)

    assert (await buyer.status())["pay"] is None
    assert "<svg" not in (await buyer.see()).body


# --- Hearing of changes ---------------------------------------------------------------------------


async def test_changes_are_told_as_they_happen(buyer):
    buyer.knows(PLACED)
    watching = asyncio.create_task(buyer.watch.run())
    async with buyer._client.get(f"{buyer.path}/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        lines = aiter(answer.content)
        assert [await anext(lines) for _ in range(3)] == [b"retry: 5000\n", b"data: 1\n", b"\n"]
        buyer.orders.away = True
        assert [await anext(lines) for _ in range(3)] == [b"event: away\n", b"data:\n", b"\n"]
        buyer.knows(PURCHASING)
        buyer.orders.away = False
        assert [await anext(lines) for _ in range(2)] == [b"data: 3\n", b"\n"]
        buyer.watch.close()
        assert [each async for each in lines] == []
    watching.cancel()
    assert (await buyer.ask("GET", f"{buyer.path}/events")).status == 503
    assert (await buyer.ask("HEAD", f"{buyer.path}/events")).status == 503


# --- Asking for mails -----------------------------------------------------------------------------


def mail(delivery, recipient="buyer@bitloot.test"):
    return KnownMail(
        message_id=f"{ORDER}/mail/1", kind="keys", recipient=recipient, requested_at=PLACED.placed_at, delivery=delivery
    )


async def test_the_page_says_how_far_the_mail_came(buyer):
    buyer.knows(replace(FULFILLED, mails=(mail("delivered"),)))
    page = await buyer.see()

    assert "The mail with your link to b•••@bitloot.test was delivered." in page.body
    assert "buyer@bitloot.test" not in page.body
    assert (await buyer.status())["live"] is False
    buyer.knows(replace(FULFILLED, mails=(mail("sent"),)))
    assert (await buyer.status())["live"] is True


async def test_a_mail_that_came_back_asks_for_another_address(buyer):
    buyer.knows(replace(FULFILLED, mails=(mail("bounced"),)))
    page = await buyer.see()

    assert "came back" in page.body
    assert "<details open>" in page.body
    buyer.knows(replace(FULFILLED, email="right@bitloot.test", mails=(mail("bounced"),)))
    assert "came back" not in (await buyer.see()).body


async def test_the_mail_is_sent_again_once_for_each_click_and_three_times_an_hour(buyer):
    buyer.knows(FULFILLED)
    answers = [await buyer.ask("POST", f"{buyer.path}/mail", data={"action": "click1"}) for _ in range(4)]

    assert [each.status for each in answers] == [202, 202, 202, 429]
    assert int(answers[3].headers["Retry-After"]) > 60
    assert len(buyer.events) == 3
    assert len({each.event_id for each in buyer.events}) == 1
    assert {(each.action_id, each.actor, each.kind, each.email) for each in buyer.events} == {
        ("click1", "buyer", "keys", sealed(ORDER, "buyer@bitloot.test"))
    }
    page = await buyer.ask("POST", f"{buyer.path}/mail", headers=BROWSER, data={})
    assert (page.status, page.content_type) == (429, "text/html")


async def test_without_the_script_the_form_says_that_it_was_sent(buyer):
    buyer.knows(FULFILLED)
    form = re.search(
        r'action="([^"]+/mail)" data-wish>\s*<input type="hidden" name="action" value="(\w+)"', (await buyer.see()).body
    )
    assert form is None  # no mail was ever sent
    buyer.knows(replace(FULFILLED, mails=(mail("sent"),)))
    form = re.search(
        r'action="([^"]+/mail)" data-wish>\s*<input type="hidden" name="action" value="(\w+)"', (await buyer.see()).body
    )
    page = await buyer.ask("POST", f"/o/{form[1]}", headers=BROWSER, data={"action": form[2]})

    assert (page.status, page.content_type) == (200, "text/html")
    assert "The mail is on its way" in page.body
    assert f'href="../{buyer.path.removeprefix("/o/")}"' in page.body


async def test_another_address_is_asked_first_and_confirmed_by_a_click(buyer):
    buyer.knows(FULFILLED)
    answer = await buyer.ask("POST", f"{buyer.path}/email", data={"email": " right@bitloot.test ", "action": "a1"})
    (asked,) = buyer.events

    assert answer.status == 202
    assert (asked.kind, asked.email, asked.actor) == (MailKind.CONFIRM, sealed(ORDER, "right@bitloot.test"), "buyer")

    link = links.OrderLink(ORDER, 1, buyer.time() + timedelta(days=1))
    path = f"/o/email/{links.mint_confirmation(link, 'right@bitloot.test', SECRETS)}"
    for method in ("GET", "HEAD"):
        assert (await buyer.ask(method, path, headers=BROWSER)).status == 200
    assert len(buyer.events) == 1  # scanners have confirmed nothing
    assert "right@bitloot.test" in (await buyer.see(path)).body
    done = await buyer.ask("POST", path, headers=BROWSER, data={})
    again = await buyer.ask("POST", path, data={})
    assert (done.status, again.status) == (200, 202)
    changed, repeat = buyer.events[1:]
    assert (changed.email, changed.generation) == (sealed(ORDER, "right@bitloot.test"), 1)
    assert changed.event_id == repeat.event_id

    buyer.knows(replace(FULFILLED, generation=2, email="right@bitloot.test"))
    assert (await buyer.ask("POST", path, data={})).status == 410


async def test_an_order_that_closed_long_ago_sends_links_and_takes_no_other_address(buyer):
    old = replace(FULFILLED, mails=(mail("delivered"),), left=True)
    buyer.knows(old)
    page = (await buyer.see()).body
    assert "Send it again" in page
    assert "Use another mail address" not in page
    assert (await buyer.status())["addressChanges"] is False
    assert (await buyer.ask("POST", f"{buyer.path}/mail", data={})).status == 202
    assert [each.email for each in buyer.events] == [sealed(ORDER, "buyer@bitloot.test")]

    link = links.OrderLink(ORDER, 1, buyer.time() + timedelta(days=1))
    confirmation = f"/o/email/{links.mint_confirmation(link, 'right@bitloot.test', SECRETS)}"
    asked = await buyer.ask("POST", f"{buyer.path}/email", data={"email": "right@bitloot.test"})
    confirmed = await buyer.ask("POST", confirmation, data={})
    assert (asked.status, confirmed.status) == (409, 409)
    assert "cannot be changed" in asked.body
    assert len(buyer.events) == 1


async def test_an_order_whose_buyer_was_erased_shows_its_keys_and_mails_nothing(buyer):
    buyer.buyers.gone.add(ORDER)
    buyer.knows(replace(FULFILLED, email=None, mails=(mail("delivered").model_copy(update={"recipient": ""}),)))
    page = (await buyer.see()).body
    assert "Use another mail address" not in page
    assert (await buyer.status())["revealable"] is True
    assert (await buyer.status())["mailedTo"] is None

    link = links.OrderLink(ORDER, 1, buyer.time() + timedelta(days=1))
    confirmation = f"/o/email/{links.mint_confirmation(link, 'right@bitloot.test', SECRETS)}"
    for path in (f"{buyer.path}/mail", f"{buyer.path}/email", confirmation):
        answer = await buyer.ask("POST", path, data={"email": "right@bitloot.test"})
        assert (answer.status, "was erased" in answer.body) == (409, True), path
    assert (await buyer.reveal()).status == 200
    assert [each.type for each in buyer.events] == ["keys.revealed"]


async def test_a_question_for_links_of_an_order_that_was_erased_in_this_moment_is_over(buyer):
    buyer.knows(FULFILLED)
    buyer.buyers.gone.add(ORDER)
    await buyer.requests.put("r1", "buyer@bitloot.test")
    await buyer.asking.catch_up()
    assert (buyer.events, buyer.requests.kept) == ([], {})


async def test_while_the_keys_are_away_nothing_is_asked_for(buyer):
    buyer.knows(FULFILLED)
    buyer.buyers.away = True
    answer = await buyer.ask("POST", f"{buyer.path}/mail", data={})
    assert answer.status == 503
    assert buyer.events == []


async def test_a_domain_beyond_ascii_is_found_and_written_to_as_it_was_taken_down(buyer):
    buyer.knows(FULFILLED)
    assert (await buyer.ask("POST", "/o/lost", data={"email": "buyer@Bücher.test"})).status == 202
    await eventually_async(lambda: buyer.orders.asked == ["buyer@xn--bcher-kva.test"])
    assert (await buyer.ask("POST", f"{buyer.path}/email", data={"email": "other@bücher.test"})).status == 202
    assert await buyer.buyers.open(ORDER, buyer.events[-1].email) == "other@xn--bcher-kva.test"


@pytest.mark.parametrize(
    "email",
    [
        "",
        "nobody",
        "a@ü..test",
        "a@\N{SNOWMAN}\N{SNOWMAN}.test",
        "a@b.c\r\nBcc: d@e.f",
        "a@b.c, d@e.f",
        '"a"@b.c',
        f"{'a' * 255}@b.c",
    ],
)
async def test_what_is_no_address_is_refused(buyer, email):
    buyer.knows(FULFILLED)
    for path in (f"{buyer.path}/email", "/o/lost"):
        answer = await buyer.ask("POST", path, data={"email": email})
        page = await buyer.ask("POST", path, data={"email": email}, headers=BROWSER)
        assert (answer.status, answer.content_type) == (422, "application/problem+json")
        assert (page.status, page.content_type) == (422, "text/html")
    assert buyer.events == []


@pytest.mark.parametrize("path", ["/o/email/short", "/o/email/" + "x" * 90])
async def test_a_confirmation_that_was_not_made_here(buyer, path):
    assert (await buyer.see(path)).status == 404
    assert (await buyer.ask("POST", path, data={})).status == 404


async def test_large_and_strange_forms_are_refused(buyer):
    buyer.knows(FULFILLED)
    assert (await buyer.ask("POST", "/o/lost", data={"email": "a" * 5000})).status == 413
    assert (await buyer.ask("POST", "/o/lost", json={"email": "a@b.c"})).status == 415
    assert buyer.events == []


@pytest.mark.parametrize("kind", ["", "; charset=nonsense", "; charset=utf-16", "; charset=zlib"])
@pytest.mark.parametrize("body", [b"email=\xff\xfe", b"email=%ff%40bitloot.test", b"a=b&" * 30])
async def test_a_form_that_cannot_be_read_is_refused(buyer, kind, body):
    buyer.knows(FULFILLED)
    headers = {"Content-Type": f"application/x-www-form-urlencoded{kind}"}
    for path in (f"{buyer.path}/mail", f"{buyer.path}/email", "/o/lost"):
        answer = await buyer.ask("POST", path, data=body, headers=headers)
        page = await buyer.ask("POST", path, data=body, headers=headers | BROWSER)
        assert (answer.status, answer.content_type) == (400, "application/problem+json")
        assert (page.status, page.content_type) == (400, "text/html")
    assert buyer.events == []


async def test_a_form_is_utf8_whatever_is_said_of_it(buyer):
    buyer.knows(FULFILLED)
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}
    body = "email=b%C3%BCyer%40bitloot.test&email=other%40bitloot.test"
    assert (await buyer.ask("POST", f"{buyer.path}/email", data=body, headers=headers)).status == 202
    assert await buyer.buyers.open(ORDER, buyer.events[0].email) == "büyer@bitloot.test"


async def test_a_large_form_is_refused_also_where_its_length_is_not_told(buyer):
    async def pieces():
        for _ in range(5):
            yield b"a" * 1000

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await buyer.ask("POST", "/o/lost", data=pieces(), headers=headers)).status == 413


# --- Lost links -----------------------------------------------------------------------------------


async def test_lost_links_are_mailed_and_the_answer_does_not_tell_whether_there_are_any(buyer):
    buyer.knows(FULFILLED)
    known = await buyer.ask("POST", "/o/lost", data={"email": "BUYER@bitloot.test"})
    unknown = await buyer.ask("POST", "/o/lost", data={"email": "nobody@bitloot.test"})
    await eventually_async(lambda: buyer.orders.asked == ["BUYER@bitloot.test", "nobody@bitloot.test"])

    assert (known.status, known.body) == (unknown.status, unknown.body)
    (asked,) = buyer.events
    assert (asked.order_id, asked.kind, asked.actor) == (ORDER, MailKind.LOST, "support")
    assert asked.email == sealed(ORDER, "BUYER@bitloot.test")


async def test_the_answer_is_given_before_anybody_looks(buyer):
    buyer.orders.away = True
    page = await buyer.ask("POST", "/o/lost", data={"email": "buyer@bitloot.test"}, headers=BROWSER)

    assert page.status == 200
    assert "If this address has orders" in page.body


async def test_a_question_that_nobody_could_deal_with_is_kept_and_answered_later_with_one_mail(buyer):
    buyer.knows(FULFILLED)
    buyer.orders.away = True
    await buyer.ask("POST", "/o/lost", data={"email": "buyer@bitloot.test"})
    await eventually_async(lambda: buyer.orders.asked == ["buyer@bitloot.test"])
    assert (list(buyer.requests.kept.values()), buyer.events) == (["buyer@bitloot.test"], [])

    buyer.orders.away = False
    left_over = dict(buyer.requests.kept)
    await buyer.asking.catch_up()
    assert (len(buyer.events), buyer.requests.kept) == (1, {})

    # A process that died between asking for the mail and forgetting the question asks for the same mail.
    buyer.requests.kept.update(left_over)
    await buyer.asking.catch_up()
    assert {event.action_id for event in buyer.events} == set(left_over)


async def test_tries_in_vain_use_no_allowance_up(buyer):
    buyer.knows(FULFILLED)
    buyer.orders.away = True
    await buyer.ask("POST", "/o/lost", data={"email": "buyer@bitloot.test"})
    for _ in range(5):
        with pytest.raises(Transient):
            await buyer.asking.catch_up()

    buyer.orders.away = False
    await buyer.asking.catch_up()
    assert (len({event.action_id for event in buyer.events}), buyer.requests.kept) == (1, {})


async def test_one_address_is_mailed_three_times_an_hour_and_one_network_asks_twenty_times(buyer):
    buyer.knows(FULFILLED)
    answers = [await buyer.ask("POST", "/o/lost", data={"email": "buyer@bitloot.test"}) for _ in range(21)]
    await eventually_async(lambda: len(buyer.events) == 3)

    assert [each.status for each in answers] == [202] * 20 + [429]


async def test_the_page_for_lost_links(buyer):
    page = await buyer.see("/o/lost")

    assert page.status == 200
    assert '<form class="form" method="post" action="lost">' in page.body
    assert 'action="lost"' in page.body


async def test_ten_thousand_reveals_in_a_minute_are_ten(buyer):
    buyer.knows(FULFILLED)
    path, client = f"{buyer.path}/reveal", buyer._client

    async def reveal():
        async with client.post(path) as answer:
            return answer.status

    statuses = Counter()
    for _ in range(100):
        statuses.update(await asyncio.gather(*(reveal() for _ in range(100))))

    assert statuses == {200: 10, 429: 9_990}
    assert (len(buyer.events), buyer.store.signed) == (10, 10)
