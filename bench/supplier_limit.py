"""`python -m bench.supplier_limit`: more paid orders in a minute than Kinguin answers calls, and none is lost.

A whole stack that speaks the buyer API, with two kinguin workers that share one limit, and a sandbox that counts the
calls of the last 60 seconds and refuses what is above its own. Orders are placed and paid within a minute; then it is
waited for the last mail. An order costs four calls (price, order, its status, its keys), so 3,000 orders at 2,000 calls
a minute take six minutes at best. Nothing may be lost, bought twice, or sent to a human.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from bench.journey import Shop
from bench.load import quantile
from embedded.paths import CHECKOUT

_LOOK_SECONDS = 2.0
_AT_ONCE = 32
_WORKERS = 2
_ENDED = "select status, count(*) as count from orders where id = any($1::uuid[]) group by status"
_WAITS = """
select extract(epoch from mailed_at - paid_at)::float8 as wait from orders
where id = any($1::uuid[]) and status = 'fulfilled' order by 1
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a run came to. Times are in seconds, `refused` counts answers 429."""

    placing: float
    settling: float
    statuses: Mapping[str, int]
    purchases: int
    external_ids: int
    refused: int
    waits: tuple[float, ...]

    def lines(self) -> Iterator[str]:
        """Return it as text."""
        yield f"orders by status      {dict(self.statuses)}"
        yield f"placed and paid in    {self.placing:.0f} s"
        yield f"the last mail after   {self.settling:.0f} s more"
        yield f"purchases             {self.purchases}, under {self.external_ids} external ids"
        yield f"answers 429           {self.refused}"
        yield f"payment to mail       p50 {quantile(self.waits, 0.5):.0f} s, worst {self.waits[-1]:.0f} s"


async def run(stack: Mapping[str, Any], *, orders: int, limit: int, patience: float) -> Shown:
    """Do it once, against a sandbox that allows `limit` calls a minute."""
    limits = httpx.Limits(max_connections=_AT_ONCE)
    async with httpx.AsyncClient(limits=limits, timeout=120, trust_env=False) as client:
        sandbox = stack["sandbox_url"]
        dials = {"esaRateLimit": limit, "keyDelay": 0}
        (await client.put(f"{sandbox}/_settings", json=dials)).raise_for_status()
        begun = time.monotonic()
        known = await _trade(Shop(client, stack), orders)
        placing = time.monotonic() - begun
        connection = await asyncpg.connect(stack["postgres"])
        try:
            statuses = await _settled(connection, known, begun + patience)
            waits = tuple(row["wait"] for row in await connection.fetch(_WAITS, known))
        finally:
            await connection.close()
        settling = time.monotonic() - begun - placing
        ledger = (await client.get(f"{sandbox}/_ledger", params={"parts": "purchases"})).raise_for_status().json()
    if ledger["totals"]["purchases"]["dropped"]:
        raise RuntimeError("the sandbox had to forget purchases: nothing is proven")
    sold = [purchase["orderId"] for purchase in ledger["purchases"]]
    return Shown(placing, settling, statuses, len(sold), len(set(sold)), _refused(Path(stack["log_dir"])), waits)


async def _trade(shop: Shop, orders: int) -> list[str]:
    """Place and pay the orders within a minute, or as fast as this machine can."""
    begun = time.monotonic()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> str:
        await asyncio.sleep(max(0.0, begun + 60.0 * number / orders - time.monotonic()))
        async with gate:
            order = await shop.place(f"limit-{number}")
            await shop.pay(order)
            return order

    return list(await asyncio.gather(*map(one, range(orders))))


async def _settled(
    connection: "asyncpg.Connection[asyncpg.Record]", orders: list[str], deadline: float
) -> Counter[str]:
    while True:
        counted = Counter({row["status"]: int(row["count"]) for row in await connection.fetch(_ENDED, orders)})
        ended = counted["fulfilled"] + counted["needs_review"]
        if ended == len(orders) or time.monotonic() > deadline:
            return counted
        print(dict(counted), flush=True)
        await asyncio.sleep(_LOOK_SECONDS * 5)


def _refused(logs: Path) -> int:
    """Count the calls that Kinguin answered with 429: each of them ends an effect, and its line says so."""
    return sum(
        line.count("answered 429")
        for file in logs.glob("kinguin*")
        for line in file.read_text(errors="replace").splitlines()
        if "kinguin.called" in line
    )


@contextmanager
def _stack(run_dir: Path, limit: int) -> Iterator[Mapping[str, Any]]:
    env = os.environ | {"BITLOOT_RUN_DIR": str(run_dir), "KINGUIN_DIALECT": "esa", "WORKERS": f"kinguin={_WORKERS}"}
    # A call waits for its turn for 5 s at most: no more of them may be under way than the limit serves in that time.
    at_once = max(1, min(64, int(limit / 60 * 5 / _WORKERS)))
    env |= {"KINGUIN_CALLS_PER_MINUTE": str(limit), "KINGUIN_CONCURRENCY": str(at_once)}
    subprocess.run([sys.executable, "-m", "embedded", "up"], env=env, check=True, cwd=CHECKOUT)
    try:
        yield json.loads((run_dir / "stack.json").read_text())
    finally:
        subprocess.run([sys.executable, "-m", "embedded", "down"], env=env, check=True, cwd=CHECKOUT)


def main() -> int:
    """Run once; return 0 when every order was fulfilled, each bought once, with a handful of refusals at most."""
    parser = argparse.ArgumentParser(prog="bench.supplier_limit", description=__doc__)
    parser.add_argument("--orders", type=int, default=3000)
    parser.add_argument("--limit", type=int, default=2000, help="calls a minute that the sandbox allows (2000)")
    parser.add_argument("--patience", type=float, default=1200, help="seconds until all must have ended (1200)")
    parser.add_argument("--handful", type=int, default=10, help="answers 429 that are still fine (10)")
    wish = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bitloot-limit-") as directory,
        _stack(Path(directory) / "run", wish.limit) as stack,
    ):
        shown = asyncio.run(run(stack, orders=wish.orders, limit=wish.limit, patience=wish.patience))
    print("\n".join(shown.lines()))
    whole = shown.statuses == {"fulfilled": wish.orders} and shown.purchases == shown.external_ids == wish.orders
    return 0 if whole and shown.refused <= wish.handful else 1


if __name__ == "__main__":
    sys.exit(main())
