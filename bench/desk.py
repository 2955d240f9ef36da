"""`make bench-desk`: ask the real admin API, over HTTP, all that the desk asks; writes docs/desk.md.

Needs `DATABASE_URL` of a read model that `make seed-read-model` filled. Kafka is not needed: how fresh a list is is then
not known, and costs nothing.
"""

import asyncio
import os
import random
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx

from embedded.ports import free_port

CALLS: Final = 40
"""Of each query, after three to warm up."""
PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "desk.md"
_WARM_UP: Final = 3
_START_SECONDS: Final = 60
_LIMIT_MS: Final = 100

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: an address and, drawn anew for each call, its parameters."""

    name: str
    path: str
    parameters: Callable[[Item], Mapping[str, str]] = lambda _: {}


def _ago(**back: float) -> str:
    return (datetime.now(UTC) - timedelta(**back)).isoformat()


QUERIES: Final = (
    Query("orders, newest first", "/admin/orders"),
    Query("orders, a page in the middle by cursor", "/admin/orders", lambda at: {"cursor": at["order_cursor"]}),
    Query("orders, the last page by offset", "/admin/orders", lambda _: {"limit": "100", "offset": "10000"}),
    Query("orders by status: fulfilled", "/admin/orders", lambda _: {"status": "fulfilled"}),
    Query("orders by status: needs_review", "/admin/orders", lambda _: {"status": "needs_review"}),
    Query("orders by address", "/admin/orders", lambda at: {"email": at["email"]}),
    Query("orders by payment", "/admin/orders", lambda at: {"paymentId": at["payment"]}),
    Query("orders by reservation", "/admin/orders", lambda at: {"reservationId": at["reservation"]}),
    Query("orders by product, often sold", "/admin/orders", lambda _: {"productId": "product-0"}),
    Query("orders by product, seldom sold", "/admin/orders", lambda _: {"productId": "product-4321"}),
    Query("orders of a month", "/admin/orders", lambda _: {"placedFrom": _ago(days=120), "placedTo": _ago(days=90)}),
    Query("orders by product and status", "/admin/orders", lambda _: {"productId": "product-0", "status": "refunded"}),
    Query("orders of a product in a month", "/admin/orders", lambda _: {"productId": "product-7", "placedFrom": _ago(days=30)}),
    Query("search: an order id", "/admin/orders", lambda at: {"q": at["order"]}),
    Query("search: a part of an address, rare", "/admin/orders", lambda at: {"q": at["email"].partition("@")[0]}),
    Query("search: a part of an address, common", "/admin/orders", lambda _: {"q": "gmail"}),
    Query("search: a part of an address that many have and few of the newest", "/admin/orders", lambda _: {"q": "host4321"}),
    Query("search: a product, often sold", "/admin/orders", lambda _: {"q": "product-0"}),
    Query("search: a payment id", "/admin/orders", lambda at: {"q": at["payment"]}),
    Query("search: nothing", "/admin/orders", lambda _: {"q": secrets.token_hex(8)}),
    Query("one order with its story", "/admin/orders/{order}"),
    Query("reviews", "/admin/reviews"),
    Query("payments, newest first", "/admin/payments"),
    Query("payments by status: finished", "/admin/payments", lambda _: {"status": "finished"}),
    Query("payments of an order", "/admin/payments", lambda at: {"orderId": at["order"]}),
    Query("reservations, newest first", "/admin/reservations"),
    Query("reservations by status: canceled", "/admin/reservations", lambda _: {"status": "canceled"}),
    Query("webhook logs, newest first", "/admin/webhook-logs"),
    Query("webhook logs, a page in the middle by cursor", "/admin/webhook-logs", lambda at: {"cursor": at["log_cursor"]}),
    Query("webhook logs by provider", "/admin/webhook-logs", lambda _: {"provider": "kinguin"}),
    Query("webhook logs by type", "/admin/webhook-logs", lambda _: {"eventType": "finished"}),
    Query("webhook logs by provider and type", "/admin/webhook-logs", lambda _: {"provider": "nowpayments", "eventType": "expired"}),
    Query("webhook logs of an order", "/admin/webhook-logs", lambda at: {"orderId": at["order"]}),
    Query("webhook logs, a type that is none", "/admin/webhook-logs", lambda _: {"eventType": "nothing"}),
    Query("one webhook log", "/admin/webhook-logs/{log}"),
    Query("dead letters, newest first", "/admin/dead-letters"),
    Query("dead letters not sent again", "/admin/dead-letters", lambda _: {"replayed": "false"}),
    Query("dead letters by reason", "/admin/dead-letters", lambda _: {"reason": "defect"}),
    Query("calls, newest first", "/admin/effects"),
    Query("calls by kind", "/admin/effects", lambda _: {"kind": "buy_key"}),
    Query("calls by cause", "/admin/effects", lambda _: {"cause": "out_of_stock"}),
    Query("calls by kind and cause", "/admin/effects", lambda _: {"kind": "send_mail", "cause": "timeout"}),
    Query("calls not finished", "/admin/effects", lambda _: {"finished": "false"}),
    Query("calls of an order", "/admin/effects", lambda at: {"orderId": at["order"]}),
    Query("mails, newest first", "/admin/mails"),
    Query("mails by status: refused", "/admin/mails", lambda _: {"status": "refused"}),
    Query("mails by kind", "/admin/mails", lambda _: {"kind": "keys"}),
    Query("mails to an address", "/admin/mails", lambda at: {"recipient": at["email"]}),
    Query("actions", "/admin/actions"),
    Query("audit log", "/admin/audit"),
    Query("replays", "/admin/dead-letters/replays"),
    Query("stock", "/admin/stock"),
    Query("overview", "/admin/overview"),
    Query("failures of a day", "/admin/failures"),
    Query("failures of a month", "/admin/failures", lambda _: {"since": _ago(days=31)}),
    Query("providers", "/admin/providers"),
    Query("balances", "/admin/balances"),
    Query("time-to-key of a day", "/admin/metrics/time-to-key", lambda _: {"since": _ago(days=1)}),
    Query("time-to-key of all time", "/admin/metrics/time-to-key"),
    Query("time-to-key, hours of a day", "/admin/metrics/time-to-key/series"),
    Query("time-to-key, hours of a week", "/admin/metrics/time-to-key/series", lambda _: {"since": _ago(days=7)}),
    Query("time-to-key of a month", "/admin/metrics/time-to-key", lambda _: {"since": _ago(days=31)}),
    Query("time-to-key, days of a month", "/admin/metrics/time-to-key/series", lambda _: {"step": "day", "since": _ago(days=31)}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """How long calls of one query took, in ms."""

    name: str
    times: Sequence[float]

    @property
    def p95(self) -> float:
        """The 95th percentile."""
        return self._percentile(95)

    @property
    def p99(self) -> float:
        """The 99th percentile."""
        return self._percentile(99)

    def _percentile(self, number: int) -> float:
        return statistics.quantiles(self.times, n=100, method="inclusive")[number - 1]


@asynccontextmanager
async def _api(dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run the admin API as a process of its own."""
    port, token = free_port(), secrets.token_hex(16)
    settings = {
        "DATABASE_URL": dsn,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "ADMIN_TOKEN": token,
        "HTTP_PORT": str(port),
        "LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "admin_api", env=os.environ | settings, stdout=subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=120,
            trust_env=False,
        ) as client:
            async with asyncio.timeout(_START_SECONDS):
                while not await _answers(client):
                    await asyncio.sleep(0.1)
            yield client
    finally:
        process.terminate()
        await process.wait()


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/livez")).status_code == 200
    except httpx.TransportError:
        return False


async def _samples(client: httpx.AsyncClient) -> list[Item]:
    """Return orders from all over the year, with what they are found by."""
    found: list[Item] = []
    for days in range(1, 360, 18):
        page = await _ask(client, "/admin/orders", {"placedTo": _ago(days=days), "status": "fulfilled", "limit": "2"})
        logs = await _ask(client, "/admin/webhook-logs", {"limit": "50"})
        middle = await _ask(client, "/admin/orders", {"limit": "50"})
        for order in page["items"]:
            whole = await _ask(client, f"/admin/orders/{order['id']}", {})
            found.append(
                {
                    "order": order["id"],
                    "email": order["email"],
                    "payment": whole["payments"][0]["id"],
                    "reservation": whole["reservations"][0]["id"],
                    "log": whole["notifications"][0]["id"],
                    "order_cursor": middle["next"],
                    "log_cursor": logs["next"],
                }
            )
    return found


async def _ask(client: httpx.AsyncClient, path: str, parameters: Mapping[str, str]) -> Any:
    response = await client.get(path, params=dict(parameters))
    if response.status_code != 200:
        raise RuntimeError(f"{path} was answered with {response.status_code}")
    return response.json()


async def _measure(client: httpx.AsyncClient, query: Query, samples: Sequence[Item], calls: int) -> Measured:
    chance = random.Random(query.name)  # noqa: S311 - the same draws in every run
    times = []
    for number in range(_WARM_UP + calls):
        sample = chance.choice(samples)
        path, parameters = query.path.format(**sample), query.parameters(sample)
        started = time.perf_counter()
        await _ask(client, path, parameters)
        if number >= _WARM_UP:
            times.append((time.perf_counter() - started) * 1000)
    return Measured(query.name, times)


async def _size(dsn: str) -> Mapping[str, int]:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(dsn)
    try:
        return {
            table: await connection.fetchval(f"select count(*) from {table}")  # noqa: S608 - ours
            for table in ("webhook_logs", "orders", "order_events", "effect_ledger")
        }
    finally:
        await connection.close()


async def run(dsn: str, calls: int) -> str:
    """Measure all, and return the page."""
    load = os.getloadavg()[0]
    size = await _size(dsn)
    async with _api(dsn) as client:
        samples = await _samples(client)
        measured = []
        for query in QUERIES:
            measured.append(await _measure(client, query, samples, calls))
            print(_line(measured[-1]), flush=True)
    return page(size, measured, calls, load)


def _line(each: Measured) -> str:
    slow = " (!)" if each.p95 > _LIMIT_MS else ""
    return f"| {each.name} | {statistics.median(each.times):.1f} | {each.p95:.1f}{slow} | {each.p99:.1f} | {max(each.times):.1f} |"


def page(size: Mapping[str, int], measured: Sequence[Measured], calls: int, load: float) -> str:
    """Return docs/desk.md."""
    counted = ", ".join(f"{rows:,} {table.replace('_', ' ')}" for table, rows in size.items())
    slow = [each.name for each in measured if each.p95 > _LIMIT_MS]
    told = f"Over {_LIMIT_MS} ms (!): {'; '.join(slow)}." if slow else f"None is over {_LIMIT_MS} ms."
    lines = [
        "# The desk at size",
        "",
        f"Written by `make bench-desk` on {datetime.now(UTC):%Y-%m-%d} on a machine of {os.cpu_count()} cores, which was shared: others had a load of {load:.1f} before it began.",
        f"The read model is what `make seed-read-model` fills: {counted}.",
        "",
        f"Each query is asked {calls} times, one after the other, over HTTP of the admin API, a process of its own on the same machine, with parameters drawn anew each time",
        "where there are some (the same in every run), after three to warm up. Times in ms, with all that the API does: sign-in, counting, the page itself, JSON. PostgreSQL 18 with its default",
        "settings (128 MB of buffers); the rest of the data is in the system's page cache or on disk as it comes. Kafka is away, so how fresh a list is is not told. Reading only: no sink writes meanwhile.",
        "",
        told,
        "",
        "| query | p50 | p95 | p99 | max |",
        "| --- | ---: | ---: | ---: | ---: |",
        *map(_line, measured),
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure and write the page."""
    dsn = os.environ.get("DATABASE_URL")
    if dsn is None:
        print("DATABASE_URL is not set.", file=sys.stderr)
        return 2
    text = asyncio.run(run(dsn, int(os.environ.get("CALLS", CALLS))))
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
