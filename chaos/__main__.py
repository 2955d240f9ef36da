"""`make chaos`: start a stack, break it for a while, let it heal, compare to the last item."""

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from chaos import observe
from chaos.driver import Shop
from chaos.faults import Saboteur, pids
from chaos.plan import schedule
from chaos.report import Run, table
from chaos.takeover import read_logs, takeovers
from chaos.verdict import Difference, compare

CHECKOUT = Path(__file__).resolve().parent.parent
WORKERS = "fulfillment=2,kinguin=2,delivery=2"
_EVIDENCE = 10
"""Of so many different orders, and of so many that wait for a human, is the evidence kept."""


def _tell(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S.%f}"[:-3], text, flush=True)


@contextmanager
def _stack(run_dir: Path, workers: str) -> Iterator[Mapping[str, Any]]:
    """Run the whole system, as `make up` does, in a directory of its own."""
    env = os.environ | {"BITLOOT_RUN_DIR": str(run_dir), "WORKERS": workers}
    subprocess.run([sys.executable, "-m", "embedded", "up"], env=env, check=True, cwd=CHECKOUT)
    try:
        yield json.loads((run_dir / "stack.json").read_text())
    finally:
        subprocess.run([sys.executable, "-m", "embedded", "down"], env=env, check=True, cwd=CHECKOUT)


async def _run(arguments: argparse.Namespace, run_dir: Path, stack: Mapping[str, Any]) -> Run:
    settings = json.loads((run_dir / "environment.json").read_text())
    proof = pids(run_dir)["sandbox"]
    limits = httpx.Limits(max_connections=300)
    async with httpx.AsyncClient(limits=limits, timeout=120, trust_env=False) as client:
        shop = Shop(client, stack, arguments.seed)
        saboteur = Saboteur(run_dir, stack["sandbox_url"], client, _tell)
        try:
            settled, still = await _break(arguments, stack, shop, saboteur, client)
        finally:
            saboteur.wake_all()
        facts = await observe.facts(stack, settings, client)
        differences = compare(shop.sales, facts)
        if pids(run_dir)["sandbox"] != proof:
            differences = (Difference("no proof", "", "the sandbox was started again"), *differences)
        different = sorted({each.order for each in differences if each.order})
        reviewed = [sale.order for sale in shop.sales if (row := facts.rows.get(sale.order)) and row.review]
        for order in {*different[:_EVIDENCE], *reviewed[:_EVIDENCE]}:
            _keep(run_dir / "evidence", order, await observe.evidence(stack, order, client))
        return Run(
            seed=arguments.seed,
            seconds=arguments.duration,
            sales=shop.sales,
            rows=facts.rows,
            answers=shop.answers,
            payments=shop.payments,
            deeds=saboteur.done,
            hits=saboteur.hits,
            waits=await observe.waits(stack),
            takeovers=takeovers(saboteur.struck, read_logs(Path(stack["log_dir"]))),
            settled=settled,
            still=still,
            differences=differences,
        )


def _keep(directory: Path, order: str, evidence: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / f"{order}.json").write_text(evidence)


async def _break(
    arguments: argparse.Namespace,
    stack: Mapping[str, Any],
    shop: Shop,
    saboteur: Saboteur,
    client: httpx.AsyncClient,
) -> tuple[float, bool]:
    """Trade and break, then heal and wait; return how long it took to settle, and whether it did."""
    trade = asyncio.create_task(
        shop.trade(seconds=arguments.duration, per_second=arguments.rate, patience=arguments.patience)
    )
    await asyncio.gather(
        saboteur.follow(schedule(arguments.seed, arguments.duration)), asyncio.sleep(arguments.duration)
    )
    await saboteur.heal()
    _tell("healed")
    begun = time.monotonic()
    await trade
    _tell(f"{len(shop.sales)} orders, all accepted and paid: {all(sale.paid for sale in shop.sales)}")
    paid = [sale.order for sale in shop.sales if sale.paid]
    still = await observe.until_still(stack, paid, client, arguments.patience - (time.monotonic() - begun))
    return time.monotonic() - begun, still


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--duration", type=float, default=300, metavar="SECONDS", help="how long to break it (300)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="of all that goes wrong")  # noqa: S311
    parser.add_argument("--rate", type=float, default=2, help="orders per second (2)")
    parser.add_argument("--patience", type=float, default=600, help="seconds to settle after the healing (600)")
    parser.add_argument("--workers", default=WORKERS, help=f"how many of a kind ({WORKERS})")
    parser.add_argument("--keep", action="store_true", help="keep the logs and data of a clean run too")
    return parser.parse_args()


def main() -> int:
    """Run once; return 0 when nothing differs."""
    arguments = _arguments()
    run_dir = Path(tempfile.mkdtemp(prefix="bitloot-chaos-")) / "run"
    _tell(f"seed {arguments.seed}, {arguments.duration:.0f} s, in {run_dir}")
    with _stack(run_dir, arguments.workers) as stack:
        run = asyncio.run(_run(arguments, run_dir, stack))
    text = table(run)
    print(text)
    (run_dir / "report.txt").write_text(text + "\n")
    if run.differences or not run.still:
        print(f"Logs, data and evidence: {run_dir}")
        return 1
    if not arguments.keep:
        shutil.rmtree(run_dir.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
