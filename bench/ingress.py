"""How many signed notifications the ingress takes a second, beside a plain one and a bare echo of the same bodies.

All servers are one process each; the load generator has the other core to itself and the broker. Rounds are
interleaved: what the machine does to one, it does to the others. Where others work on the same cores, requests a second
say less than CPU seconds of the process for each request, which are taken beside them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from bench.alone import Doors, Served
from bench.load import Load, drive, post
from bench.processes import cpu_seconds
from bitloot.canonical_json import parse
from bitloot.ids import order_id
from bitloot.signing import nowpayments_sign

CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of all servers, one after the other."""

    ingress: Load
    plain: Load
    echo: Load
    ingress_cpu: float
    """Seconds of the process for one request."""
    plain_cpu: float
    echo_cpu: float
    kafka_cpu: float
    """Seconds of the broker for one notification."""

    @property
    def ratio(self) -> float:
        """Return the ingress's requests per second as a part of the echo's."""
        return self.ingress.per_second / self.echo.per_second

    @property
    def plain_ratio(self) -> float:
        """Return the ingress's requests per second as a part of the plain one's."""
        return self.ingress.per_second / self.plain.per_second

    @property
    def cpu_ratio(self) -> float:
        """Return the echo's CPU seconds for a request as a part of the ingress's."""
        return self.echo_cpu / self.ingress_cpu


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


async def measure(servers: Doors, *, rounds: int, requests: int) -> Sequence[Round]:
    """Return `rounds` measurements of `requests` notifications each. Raises where an answer was not 200."""
    measured = []
    for number in range(rounds + 1):
        bodies = notifications(f"round {number}", requests, servers.secret)
        kafka = cpu_seconds(servers.kafka_pid)
        ingress, ingress_cpu = await _run(servers.ingress, "/webhooks/nowpayments", bodies)
        kafka = (cpu_seconds(servers.kafka_pid) - kafka) / requests
        plain, plain_cpu = await _run(servers.plain, "/webhooks/nowpayments", bodies)
        echo, echo_cpu = await _run(servers.echo, "/", bodies)
        measured.append(Round(ingress, plain, echo, ingress_cpu, plain_cpu, echo_cpu, kafka))
    return measured[1:]  # the first one warmed both up


async def _run(server: Served, path: str, bodies: Sequence[tuple[bytes, str]]) -> tuple[Load, float]:
    """Return what the load showed, and CPU seconds of the server for each request."""
    address = urlsplit(server.url)
    host, port = str(address.hostname), int(address.port or 80)
    requests = [post(f"{host}:{port}", path, body, {"x-nowpayments-sig": signature}) for body, signature in bodies]
    cpu = cpu_seconds(server.pid)
    load = await drive(host, port, requests, connections=CONNECTIONS)
    if set(load.statuses) != {200}:
        raise RuntimeError(f"{server.url} answered {dict(load.statuses)}")
    return load, (cpu_seconds(server.pid) - cpu) / len(requests)
