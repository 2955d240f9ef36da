"""From a paid order to its mail, through everything: orders per second, and what the buyer waits."""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import asyncpg
import httpx

from bench.load import quantile
from bench.processes import cpu_seconds
from bitloot.ids import order_id

T = TypeVar("T")

OURS = ("ingress", "fulfillment", "kinguin", "delivery", "sink", "admin-api", "order-page", "payments", "seller")
"""The processes that are ours to run; the others stand in for somebody, or are servers."""

_PLACED = "select count(*) as orders from orders where id = any($1::uuid[])"

_DONE = """
select count(*) as orders, min(paid_at) as first, max(mailed_at) as last,
       array_agg(extract(epoch from mailed_at - paid_at)::float8) as waits
from orders where id = any($1::uuid[]) and status = 'fulfilled'
"""


@dataclass(frozen=True, slots=True)
class Journey:
    """What a run of orders showed. `waits` are seconds from the accepted IPN `finished` to the accepted mail."""

    orders: int
    seconds: float
    waits: tuple[float, ...]
    cpu: Mapping[str, float]
    """CPU seconds for one order, from its placing to its mail, by kind of process."""

    @property
    def per_second(self) -> float:
        """Return fulfilled orders per second, from the first payment to the last mail."""
        return self.orders / self.seconds

    def wait(self, share: float) -> float:
        """Return the wait in seconds that `share` of the buyers stayed below."""
        return quantile(self.waits, share)


class Shop:
    """Places and pays orders through the outside interface of a running stack."""

    def __init__(self, client: httpx.AsyncClient, stack: Mapping[str, str]) -> None:
        self._client = client
        self._stack = stack

    async def place(self, name: str) -> str:
        """Place an order for one key and return its id."""
        answer = await self._client.post(
            f"{self._stack['ingress_url']}/orders",
            headers={"Authorization": f"Bearer {self._stack['shop_token']}", "Idempotency-Key": name},
            json={
                "email": "bench@example.com",
                "currency": "eur",
                "items": [{"productId": "bench", "title": "Bench", "quantity": 1, "unitPrice": str(Decimal("5.00"))}],
            },
        )
        answer.raise_for_status()
        if answer.json()["orderId"] != order_id(name):
            raise RuntimeError("the ingress made another order id than ours")
        return str(answer.json()["orderId"])

    async def pay(self, order: str) -> None:
        """Have the sandbox send the notification that the order is paid."""
        answer = await self._client.post(f"{self._stack['sandbox_url']}/_pay/{order}", json={"statuses": ["finished"]})
        answer.raise_for_status()


def _cpu(pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    return {name: sum(map(cpu_seconds, each)) for name, each in pids.items()}


async def run(stack: Mapping[str, Any], name: str, *, orders: int, per_second: float | None) -> Journey:
    """Place `orders`, pay them (`per_second` of them, or as fast as they are taken), wait for the last mail."""
    before = _cpu(stack["pids"])
    limits = httpx.Limits(max_connections=32)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
        shop = Shop(client, stack)
        gate = asyncio.Semaphore(32)

        async def gated(work: Coroutine[None, None, T]) -> T:
            async with gate:
                return await work

        placed = await asyncio.gather(*(gated(shop.place(f"{name}-{n}")) for n in range(orders)))
        await _until(stack["postgres"], _PLACED, placed, within=60)  # else the first payments wait behind all placing
        begun = time.monotonic()
        payments = []
        for n, order in enumerate(placed):
            if per_second:
                await asyncio.sleep(max(0.0, begun + n / per_second - time.monotonic()))
            payments.append(asyncio.create_task(gated(shop.pay(order))))
        await asyncio.gather(*payments)
    done = await _until(stack["postgres"], _DONE, placed, within=600)
    seconds, waits = (done["last"] - done["first"]).total_seconds(), tuple(done["waits"])
    cpu = {name: (used - before[name]) / orders for name, used in _cpu(stack["pids"]).items()}
    return Journey(orders, seconds, waits, cpu)


async def _until(dsn: str, question: str, placed: list[str], *, within: float) -> asyncpg.Record:
    """Ask until the answer's `orders` is the number of those placed, and return it."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(within):
            while True:
                row = await connection.fetchrow(question, placed)
                if row is not None and row["orders"] == len(placed):
                    return row
                await asyncio.sleep(0.2)
    finally:
        await connection.close()
