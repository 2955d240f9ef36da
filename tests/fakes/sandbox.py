"""The provider sandbox in this process on a free port, and a receiver for what it sends.

async with running_sandbox(ingress_url=receiver.url) as sandbox:
    answer = await sandbox.reserve(order_id)
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from sandbox.app import build
from sandbox.settings import Settings

# Port 9 discards; nobody listens there, so webhooks end at once.
NOWHERE = "http://127.0.0.1:9"

SECRETS = {
    "nowpayments_ipn_secret": "test-ipn-secret-not-real",
    "nowpayments_api_key": "test-nowpayments-key",
    "kinguin_webhook_secret": "test-kinguin-webhook-secret",
    "kinguin_client_id": "test-client",
    "kinguin_client_secret": "test-client-secret",
    "kinguin_api_key": "test-kinguin-api-key",
    "resend_api_key": "re_test_key",
    "resend_webhook_secret": "whsec_WyE3m4YJQKO2tKLXv3XmhRBi7CFhNsTd",
}


def sandbox_settings(ingress_url: str = NOWHERE, **overrides: Any) -> Settings:
    return Settings(**{**SECRETS, "ingress_url": ingress_url, **overrides})


class ManualClock:
    """Stands still until it is moved; seconds since 1970."""

    def __init__(self, now: float = 1_767_225_600.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class RunningSandbox:
    """A client of a running sandbox that knows its keys."""

    def __init__(self, url: str, settings: Settings, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.settings = settings
        self.session = session
        self._token: str | None = None

    async def call(self, method: str, path: str, **options: Any) -> Reply:
        async with self.session.request(method, self.url + path, **options) as answer:
            return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.text())

    async def fetch_token(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.settings.kinguin_client_id,
            "client_secret": self.settings.kinguin_client_secret.get_secret_value(),
        }
        reply = await self.call("POST", "/kinguin-id/auth/token", data=form)
        return str(reply.json()["access_token"])

    def forget_token(self) -> None:
        """Fetch another token with the next call."""
        self._token = None

    async def kinguin(self, method: str, path: str, **options: Any) -> Reply:
        self._token = self._token or await self.fetch_token()
        return await self.call(method, "/kinguin" + path, headers={"Authorization": f"Bearer {self._token}"}, **options)

    async def reserve(self, order_id: str, product_id: str = "game-1", quantity: int = 1) -> dict[str, Any]:
        wanted = {"orderId": order_id, "productId": product_id, "quantity": quantity}
        reply = await self.kinguin("POST", "/reservations", json=wanted)
        assert reply.status == 201, reply.text
        return dict(reply.json())

    async def buy(self, order_id: str, product_id: str = "game-1", quantity: int = 1) -> str:
        """Reserve and give; return the reservation id."""
        reservation_id = str((await self.reserve(order_id, product_id, quantity))["reservationId"])
        reply = await self.kinguin("POST", f"/reservations/{reservation_id}/give")
        assert reply.status == 200, reply.text
        return reservation_id

    async def esa(self, method: str, path: str, **options: Any) -> Reply:
        headers = {"X-Api-Key": self.settings.kinguin_api_key.get_secret_value(), **options.pop("headers", {})}
        return await self.call(method, "/kinguin-esa" + path, headers=headers, **options)

    async def order(self, external_id: str | None = None, *products: dict[str, Any]) -> dict[str, Any]:
        """Place an ESA order, one key of `game-1` unless told otherwise; return it as placed."""
        wanted: dict[str, Any] = {"products": products or [{"productId": "game-1", "qty": 1, "price": 5}]}
        if external_id is not None:
            wanted["orderExternalId"] = external_id
        reply = await self.esa("POST", "/v2/order", json=wanted)
        assert reply.status == 201, reply.text
        return dict(reply.json())

    async def order_now(self, order_id: str) -> dict[str, Any]:
        return dict((await self.esa("GET", f"/v1/order/{order_id}")).json())

    async def offer(self, product_id: str, *offers: dict[str, Any], **members: Any) -> dict[str, Any]:
        """Put a product with these offers up for sale at ESA."""
        reply = await self.call("PUT", f"/_products/{product_id}", json={"offers": offers, **members})
        assert reply.status == 200, reply.text
        return dict(reply.json())

    async def seller(self, method: str, path: str, **options: Any) -> Reply:
        """Call the seller's side: `/offers...` of the sales manager, `/envoy2/...` as it is."""
        self._token = self._token or await self.fetch_token()
        base = "" if path.startswith("/envoy2/") else "/sales-manager-api/api/v1"
        headers = {"Authorization": f"Bearer {self._token}"}
        return await self.call(method, f"/kinguin-seller{base}{path}", headers=headers, **options)

    async def offer_for_sale(self, stock: int = 10, product_id: str = "game-1", **members: Any) -> str:
        """Offer declared text stock to Kinguin's customers; return the offer's id."""
        offer = {
            "productId": product_id,
            "price": {"amount": 999, "currency": "EUR"},
            "declaredStock": stock,
            "declaredTextStock": stock,
        }
        reply = await self.seller("POST", "/offers", json={**offer, **members})
        assert reply.status == 201, reply.text
        return str(reply.json()["id"])

    async def sell(self, offer_id: str, **wish: Any) -> list[dict[str, Any]]:
        reply = await self.call("POST", "/_sell", json={"offerId": offer_id, **wish})
        assert reply.status == 200, reply.text
        return list(reply.json())

    async def hand_over(self, offer_id: str, reservation_id: str, code: str, **members: Any) -> Reply:
        """Upload a code for a reservation."""
        body = {"body": code, "mimeType": "text/plain", "reservationId": reservation_id, **members}
        return await self.seller("POST", f"/offers/{offer_id}/stock", json=body)

    async def nowpayments(self, method: str, path: str, **options: Any) -> Reply:
        headers = {"x-api-key": self.settings.nowpayments_api_key.get_secret_value(), **options.pop("headers", {})}
        return await self.call(method, "/nowpayments" + path, headers=headers, **options)

    async def send_mail(self, key: str | None = None, **message: Any) -> Reply:
        mail = {"from": "BitLoot <orders@bitloot.test>", "to": "buyer@bitloot.test", "subject": "Hello", "text": "Hi"}
        headers = {"Authorization": f"Bearer {self.settings.resend_api_key.get_secret_value()}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self.call("POST", "/resend/emails", json={**mail, **message}, headers=headers)

    async def set(self, **dials: Any) -> None:
        reply = await self.call("PUT", "/_settings", json=dials)
        assert reply.status == 200, reply.text

    async def fail(self, *rules: dict[str, Any]) -> None:
        reply = await self.call("PUT", "/_faults", json={"rules": list(rules)})
        assert reply.status == 200, reply.text

    async def answer(self, call: str, document: Any, provider: str = "nowpayments") -> None:
        """Let a call be answered like this, whatever it does."""
        await self.fail({"provider": provider, "call": call, "kind": "malformed", "body": json.dumps(document)})

    async def pay(self, order_id: str, **wish: Any) -> list[dict[str, Any]]:
        reply = await self.call("POST", f"/_pay/{order_id}", json=wish)
        assert reply.status == 200, reply.text
        return list(reply.json())

    async def ledger(self, order_id: str = "") -> dict[str, Any]:
        return dict((await self.call("GET", "/_ledger", params={"orderId": order_id})).json())

    async def mails(self, to: str = "") -> list[dict[str, Any]]:
        return list((await self.call("GET", "/_mail", params={"to": to})).json()["items"])


@asynccontextmanager
async def running_sandbox(
    ingress_url: str = NOWHERE, clock: Callable[[], float] | None = None, **overrides: Any
) -> AsyncIterator[RunningSandbox]:
    """Serve the sandbox on a free loopback port until the block ends."""
    settings = sandbox_settings(ingress_url, **overrides)
    app = build(settings) if clock is None else build(settings, clock)
    async with _served(app) as url, aiohttp.ClientSession() as session:
        yield RunningSandbox(url, settings, session)


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class WebhookReceiver:
    """Stands in for the ingress: keeps every request and answers with the next of `statuses`, then 200.

    ESA gets the empty answer that it wants, unless `wordy`.
    """

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    wordy: bool = False
    received: list[Received] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with self._news:
            self.received.append(Received(request.path, headers, await request.read()))
            self._news.notify_all()
        status = self.statuses.pop(0) if self.statuses else 200
        if "x-event-name" in headers and not self.wordy:
            return web.Response(status=204 if status == 200 else status)
        return web.Response(status=status, text="OK")

    async def wait_for(self, count: int, seconds: float = 10) -> list[Received]:
        """Return everything received once there are `count` of them."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.received) >= count)
        return list(self.received)

    async def wait_until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        """Return once `condition`, which looks at what was received, is true."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(condition)

    async def events(self, count: int) -> list[str]:
        """Return Kinguin's event names once there are `count` webhooks."""
        return [each.json()["event"] for each in await self.wait_for(count)]


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[WebhookReceiver]:
    """Serve a receiver on a free loopback port until the block ends."""
    receiver = WebhookReceiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    async with _served(app) as url:
        receiver.url = url
        yield receiver


@asynccontextmanager
async def _served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
