"""Sends what must be refused: forged, malformed and oversized requests, all the time."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from chaos.sales import Sale

CODE = "FORGE-DCODE-WHICH-MUSTN-OTLIV"
"""A code in forged notifications; it may stand nowhere."""
_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Forgery:
    """A request and the statuses that refuse it."""

    name: str
    path: str
    body: bytes
    refusals: frozenset[int]
    headers: Mapping[str, str] = field(default_factory=dict)


def forgeries(sale: Sale, kinguin_secret: str) -> Sequence[Forgery]:
    """Return everything that somebody who wants the codes of `sale` for nothing may try, and what merely is broken."""
    paid = json.dumps(
        {
            "payment_id": 4711,
            "payment_status": "finished",
            "order_id": sale.order,
            "price_amount": sale.total,
            "price_currency": "eur",
            "pay_amount": 1,
            "actually_paid": 1,
            "pay_currency": "btc",
        }
    ).encode()
    delivered = json.dumps(
        {"event": "delivered", "reservationId": "forged", "orderId": f"{sale.order}-1", "codes": [CODE]}
    ).encode()
    mail = json.dumps({"type": "email.delivered", "created_at": "2026-01-01T00:00:00Z", "data": {}}).encode()
    svix = {"svix-id": "msg_1", "svix-timestamp": "1767225600", "svix-signature": "v1,Zm9yZ2Vk"}
    token, forged = {"X-Auth-Token": kinguin_secret}, {"X-Auth-Token": "forged"}
    hint = json.dumps({"orderId": "FORGED", "orderExternalId": f"{sale.order}-1", "status": "completed"}).encode()
    esa = {"X-Event-Name": "order.status", "X-Event-Secret": "forged"}
    no, broken, large = frozenset({401}), frozenset({400}), frozenset({413})
    return (
        Forgery("payment without signature", "/webhooks/nowpayments", paid, no),
        Forgery("payment with a forged signature", "/webhooks/nowpayments", paid, no, {"x-nowpayments-sig": "0" * 128}),
        Forgery("payment that is not JSON", "/webhooks/nowpayments", b'{"payment_id":', frozenset({400, 401})),
        Forgery("payment of 2 MB", "/webhooks/nowpayments", b" " * (2 << 20), large),
        Forgery("delivery without token", "/webhooks/kinguin", delivered, no),
        Forgery("delivery with a forged token", "/webhooks/kinguin", delivered, no, forged),
        Forgery("delivery that is not JSON", "/webhooks/kinguin", delivered[:-1], broken, token),
        Forgery("delivery that is a list", "/kinguin/webhook", b"[]", broken, token),
        Forgery("order status with a forged secret", "/webhooks/kinguin", hint, no, esa),
        Forgery("mail event with an old signature", "/webhooks/resend", mail, no, svix),
        Forgery("order without token", "/orders", json.dumps(sale.body).encode(), no, {"Idempotency-Key": sale.key}),
    )


class Forger:
    """Tries one forgery a second. `answers` counts statuses, `accepted` has what should have been refused."""

    def __init__(self, client: httpx.AsyncClient, ingress_url: str, kinguin_secret: str, seed: int) -> None:
        self._client = client
        self._ingress = ingress_url
        self._secret = kinguin_secret
        self._dice = random.Random(f"{seed}/forger")  # noqa: S311 - repeatable on purpose
        self.answers: Counter[str] = Counter()
        self.accepted: list[str] = []

    async def forge(self, targets: Sequence[Sale]) -> None:
        """Go on until canceled; `targets` are orders whose codes would be worth it."""
        while True:
            for each in self._dice.sample(tried := forgeries(self._dice.choice(targets), self._secret), len(tried)):
                await self._try(each)
                await asyncio.sleep(_EVERY_SECONDS)

    async def _try(self, forgery: Forgery) -> None:
        headers = {"Content-Type": "application/json", **forgery.headers}
        try:
            answer = await self._client.post(self._ingress + forgery.path, content=forgery.body, headers=headers)
        except httpx.TransportError:
            self.answers["none"] += 1
            return
        self.answers[str(answer.status_code)] += 1
        if answer.status_code not in forgery.refusals:
            self.accepted.append(f"{forgery.name}: {answer.status_code} {answer.text[:200]}")
