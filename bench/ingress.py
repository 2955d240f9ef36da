"""How many signed notifications the ingress takes a second, beside a bare echo of the same bodies.

Both servers are one process each; the load generator has the other core to itself and the broker. Rounds are
interleaved: what the machine does to one, it does to the other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from bench.load import Load, drive, post
from bitloot.canonical_json import parse
from bitloot.ids import order_id
from bitloot.signing import nowpayments_sign

CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of both servers, one after the other."""

    ingress: Load
    echo: Load

    @property
    def ratio(self) -> float:
        """Return the ingress's requests per second as a part of the echo's."""
        return self.ingress.per_second / self.echo.per_second


def notifications(run: str, count: int, secret: SecretStr) -> list[tuple[bytes, str]]:
    """Return `count` distinct bodies as NOWPayments sends them, each with its signature."""
    return [_notification(f"{run}-{n}", 6_000_000_000 + n, secret) for n in range(count)]


def _notification(name: str, payment_id: int, secret: SecretStr) -> tuple[bytes, str]:
    body = json.dumps(
        {
            "actually_paid": 0.00042117,
            "actually_paid_at_fiat": 0,
            "fee": {"currency": "usdttrc20", "depositFee": 0.09853637216235617, "serviceFee": 0, "withdrawalFee": 0},
            "invoice_id": None,
            "order_description": None,
            "order_id": order_id(f"bench {name}"),
            "outcome_amount": 21.1042,
            "outcome_currency": "usdttrc20",
            "parent_payment_id": None,
            "pay_address": "TEST-ADDRESS-1",
            "pay_amount": 0.00042117,
            "pay_currency": "btc",
            "payin_extra_id": None,
            "payment_extra_ids": None,
            "payment_id": payment_id,
            "payment_status": "waiting",
            "price_amount": 19.99,
            "price_currency": "eur",
            "purchase_id": str(payment_id),
        },
        separators=(",", ":"),
    ).encode()
    return body, nowpayments_sign(parse(body).canonical, secret)


async def measure(ingress_url: str, echo_url: str, secret: SecretStr, *, rounds: int, requests: int) -> Sequence[Round]:
    """Return `rounds` measurements of `requests` notifications each. Raises where an answer was not 200."""
    measured = []
    for number in range(rounds + 1):
        bodies = notifications(f"round {number}", requests, secret)
        measured.append(
            Round(await _run(ingress_url, "/webhooks/nowpayments", bodies), await _run(echo_url, "/", bodies))
        )
    return measured[1:]  # the first one warmed both up


async def _run(url: str, path: str, bodies: Sequence[tuple[bytes, str]]) -> Load:
    address = urlsplit(url)
    host, port = str(address.hostname), int(address.port or 80)
    requests = [post(f"{host}:{port}", path, body, {"x-nowpayments-sig": signature}) for body, signature in bodies]
    load = await drive(host, port, requests, connections=CONNECTIONS)
    if set(load.statuses) != {200}:
        raise RuntimeError(f"{url} answered {dict(load.statuses)}")
    return load
