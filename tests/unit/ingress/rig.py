"""The ingress as its tests see it: settings, fakes for its ports, and senders that sign as the providers do."""

import base64
import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from pydantic import SecretStr

from bitloot import ids
from bitloot.canonical_json import parse
from bitloot.code_hashes import generate_key
from bitloot.contracts.effects import CreatePayment
from bitloot.contracts.events import PaymentInstructions
from bitloot.contracts.topics import KINGUIN_NOTICES, ORDER_EVENTS, WEBHOOKS_LOG
from bitloot.errors import Cause, Refused, Transient
from bitloot.ids import OrderId, PaymentId
from bitloot.sealing import KeyPair, Opener, generate_key_pair
from bitloot.signing import nowpayments_sign, svix_sign
from ingress.app import Ports
from ingress.ports import Begun, KnownOrder, Opened
from ingress.refusals import Refused as RefusedNotification
from ingress.settings import Settings
from tests.fakes.buyers import FakeBuyers
from tests.fakes.producer import FakeProducer

IPN_SECRET = SecretStr("ipn-secret-current")
IPN_SECRET_BEFORE = SecretStr("ipn-secret-previous")
KINGUIN_TOKEN = "kinguin-token-current"
KINGUIN_TOKEN_BEFORE = "kinguin-token-previous"
SELLER_TOKEN = "seller-token-current"
SELLER_TOKEN_BEFORE = "seller-token-previous"
SHOP_TOKEN = "shop-token-current"
SHOP_TOKEN_BEFORE = "shop-token-previous"
RESEND_SECRET = SecretStr("whsec_" + base64.b64encode(b"resend-secret-of-24-bytes").decode())
LINK_SECRET = SecretStr("order-link-secret")
API_KEY = "nowpayments-api-key"

SECRETS = (
    IPN_SECRET.get_secret_value(),
    IPN_SECRET_BEFORE.get_secret_value(),
    KINGUIN_TOKEN,
    KINGUIN_TOKEN_BEFORE,
    SELLER_TOKEN,
    SELLER_TOKEN_BEFORE,
    SHOP_TOKEN,
    SHOP_TOKEN_BEFORE,
    RESEND_SECRET.get_secret_value(),
    LINK_SECRET.get_secret_value(),
    API_KEY,
    "hunter2",
)

CODES = ("ABCDE-FGHJK-LMNPQ-RSTUV-WXYZ2", "22222-33333-44444-55555-66666", "C0DE-W1TH-0THER-L00K")
"""Every plain code of these tests: none may be found in a log or in anything published."""

ORDER = ids.order_id("unit-test-order")
KEY_PAIR: KeyPair = generate_key_pair("test")
HASH_KEY = generate_key("test")
DATABASE_AWAY = Transient(Cause.DATABASE_UNAVAILABLE, "ConnectionRefusedError")


def settings(**changes: Any) -> Settings:
    values = {
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "database_url": "postgresql://bitloot:hunter2@127.0.0.1:1/bitloot",
        "public_url": "https://keys.example.test",
        "ingress_public_url": "https://in.example.test",
        "shop_token": f"{SHOP_TOKEN},{SHOP_TOKEN_BEFORE}",
        "order_link_secrets": LINK_SECRET.get_secret_value(),
        "sealing_public_key": KEY_PAIR.public,
        "code_hash_keys": HASH_KEY.get_secret_value(),
        "nowpayments_api_key": API_KEY,
        "nowpayments_ipn_secret": f"{IPN_SECRET.get_secret_value()},{IPN_SECRET_BEFORE.get_secret_value()}",
        "kinguin_webhook_secret": f"{KINGUIN_TOKEN},{KINGUIN_TOKEN_BEFORE}",
        "kinguin_seller_webhook_secret": f"{SELLER_TOKEN},{SELLER_TOKEN_BEFORE}",
        "resend_webhook_secret": RESEND_SECRET.get_secret_value(),
    }
    return Settings(**(values | changes))


class FakeCheckouts:
    """What a database knows of orders: their keys, first requests, and what a test puts into the read model.

    `away` is without a database, `away_later` one that goes away after it has told what it knows.
    """

    def __init__(self) -> None:
        self.buyers = FakeBuyers()
        self.begun: dict[OrderId, Begun] = {}
        self.placed: dict[OrderId, KnownOrder] = {}
        self.away = False
        self.away_later = False
        self._keys: set[OrderId] = set()

    async def open(self, order_id: OrderId, request: str, now: datetime, *, begin: bool) -> Opened:
        if self.away:
            raise DATABASE_AWAY
        key = await self.buyers.of(order_id)
        if begin and order_id not in self._keys and not self.away_later:
            self.begun.setdefault(order_id, Begun(key.digest(request), now))
        self._keys.add(order_id)
        return Opened(key, self.begun.get(order_id), self.placed.get(order_id))

    async def begin(self, order_id: OrderId, begun: Begun) -> Begun:
        if self.away or self.away_later:
            raise DATABASE_AWAY
        return self.begun.setdefault(order_id, begun)


class FakeBills:
    """Invoices numbered from 1, an address where a coin is asked for; nothing while `away`, or a refusal."""

    def __init__(self) -> None:
        self.asked: list[CreatePayment] = []
        self.away = False
        self.refusal: Refused | None = None

    async def first(self, wish: CreatePayment) -> PaymentInstructions | None:
        self.asked.append(wish)
        if self.refusal is not None:
            raise self.refusal
        if self.away:
            return None
        number = len(self.asked)
        if wish.pay_currency is None:
            return PaymentInstructions(pay_url=f"https://pay.example.test/?iid={number}", invoice_id=f"inv-{number}")
        return PaymentInstructions(
            payment_id=PaymentId(f"50000{number}"),
            pay_currency=wish.pay_currency,
            network="xrp",
            pay_address="TEST-ADDRESS-1",
            memo="184467",
            pay_amount=Decimal("39.96"),
            valid_until=datetime(2026, 1, 31, tzinfo=UTC),
        )


class FakeCoins:
    """Coins that can all be paid with, or a refusal."""

    def __init__(self) -> None:
        self.asked: list[tuple[Decimal, str, str]] = []
        self.refusal: Refused | None = None

    async def check(self, total: Decimal, currency: str, coin: str) -> None:
        self.asked.append((total, currency, coin))
        if self.refusal is not None:
            raise self.refusal


@dataclass
class Fakes:
    """What a test's ingress has of the outside."""

    producer: FakeProducer = field(default_factory=FakeProducer)
    checkouts: FakeCheckouts = field(default_factory=FakeCheckouts)
    bills: FakeBills = field(default_factory=FakeBills)
    coins: FakeCoins = field(default_factory=FakeCoins)
    refused: list[RefusedNotification] = field(default_factory=list)

    def keep(self, refused: RefusedNotification) -> None:
        self.refused.append(refused)

    @property
    def ports(self) -> Ports:
        return Ports(self.producer, self.checkouts, self.bills, self.coins, self)


def ipn(**changes: Any) -> dict[str, Any]:
    """The notification of a payment that settled `ORDER`, as NOWPayments writes it."""
    document = {
        "actually_paid": 0.00042117,
        "actually_paid_at_fiat": 0,
        "fee": {"currency": "usdttrc20", "depositFee": 0.09853637216235617, "serviceFee": 0, "withdrawalFee": 0},
        "invoice_id": 4522625843,
        "order_description": None,
        "order_id": ORDER,
        "outcome_amount": 21.1042,
        "outcome_currency": "usdttrc20",
        "parent_payment_id": None,
        "pay_address": "TEST-ADDRESS-1",
        "pay_amount": 0.00042117,
        "pay_currency": "btc",
        "payin_extra_id": None,
        "payment_extra_ids": None,
        "payment_id": 5745459419,
        "payment_status": "finished",
        "price_amount": 19.99,
        "price_currency": "eur",
        "purchase_id": "5837122679",
        "updated_at": 1765249461097,
    }
    return document | changes


def order(**changes: Any) -> dict[str, Any]:
    """A body of `POST /orders`."""
    item = {"productId": "5c9b5f6b2539a4e8f172916a", "title": "Stardew Valley", "quantity": 2, "unitPrice": "9.99"}
    return {"email": "buyer@example.com", "currency": "EUR", "items": [item]} | changes


def item(**changes: Any) -> dict[str, Any]:
    return order()["items"][0] | changes


def body_of(document: Any) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


@dataclass
class Rig:
    """A running ingress, what it published, and how to send to it."""

    client: TestClient[Any, Any]
    fakes: Fakes
    settings: Settings
    opener: Opener = field(default_factory=lambda: Opener([KEY_PAIR.private]))

    @property
    def producer(self) -> FakeProducer:
        return self.fakes.producer

    @property
    def buyers(self) -> FakeBuyers:
        return self.fakes.checkouts.buyers

    @property
    def checkouts(self) -> FakeCheckouts:
        return self.fakes.checkouts

    @property
    def bills(self) -> FakeBills:
        return self.fakes.bills

    @property
    def coins(self) -> FakeCoins:
        return self.fakes.coins

    async def ipn(self, document: Any, *, secret: SecretStr = IPN_SECRET, **headers: str) -> ClientResponse:
        """Send a notification as NOWPayments does; `document` may be raw bytes."""
        raw = body_of(document)
        signature = nowpayments_sign(parse(raw, max_size=2**20).canonical, secret)
        return await self.post("/webhooks/nowpayments", raw, **({"x-nowpayments-sig": signature} | headers))

    async def kinguin(
        self, document: Any, *, token: str = KINGUIN_TOKEN, path: str = "/webhooks/kinguin", **headers: str
    ) -> ClientResponse:
        return await self.post(path, body_of(document), **{"X-Auth-Token": token} | headers)

    async def esa(self, document: Any, *, name: str = "order.status", secret: str = KINGUIN_TOKEN) -> ClientResponse:
        headers = {"X-Event-Secret": secret, "X-Event-Name": name}
        return await self.post("/webhooks/kinguin", body_of(document), **headers)

    async def resend(
        self, document: Any, *, message_id: str = "msg_1", secret: SecretStr = RESEND_SECRET
    ) -> ClientResponse:
        raw, now = body_of(document), int(time.time())
        headers = {
            "svix-id": message_id,
            "svix-timestamp": str(now),
            "svix-signature": svix_sign(raw, message_id, now, secret),
        }
        return await self.post("/webhooks/resend", raw, **headers)

    async def order(
        self, document: Any, *, key: str | None = "key-1", token: str | None = SHOP_TOKEN
    ) -> ClientResponse:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self.post("/orders", body_of(document), **headers)

    async def post(self, path: str, body: bytes, **headers: str) -> ClientResponse:
        return await self.client.post(path, data=body, headers={"Content-Type": "application/json"} | headers)

    @property
    def events(self) -> list[Any]:
        return self.producer.on(ORDER_EVENTS)

    @property
    def notices(self) -> list[Any]:
        return self.producer.on(KINGUIN_NOTICES)

    @property
    def logged(self) -> list[Any]:
        return self.producer.on(WEBHOOKS_LOG)

    def key_of(self, record: Any) -> str:
        """Return the key that a record was published under."""
        return next(each.key for each in self.producer.sent if each.record == record)


def leaks(text: str) -> list[str]:
    """Return what must not be in a text: secrets, codes, order page tokens."""
    return [each for each in (*SECRETS, *CODES) if each in text] + re.findall(r"/o/[\w-]{20,}", text)


async def refusal(response: ClientResponse, status: int, *words: str) -> dict[str, Any]:
    """Check that an answer is a problem document with this status whose text has these words."""
    text = await response.text()
    assert response.status == status, text
    assert response.content_type == "application/problem+json"
    problem = json.loads(text)
    assert problem["status"] == status
    assert problem["title"]
    for each in words:
        assert each in text
    return problem
