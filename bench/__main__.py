"""`make bench`: measure, print, and write docs/benchmarks.md."""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import alone, ingress, journey, report
from bench.profile import Profiler
from embedded.paths import CHECKOUT

PAGE = CHECKOUT / "docs" / "benchmarks.md"
ROUNDS = 5
REQUESTS = 3000
ORDERS = 600
"""For the highest rate; the waits are measured with as many again, at each part of that rate."""
SHARES = (0.2, 0.5, 0.8)


@contextmanager
def _stack(run_dir: Path) -> Iterator[Mapping[str, Any]]:
    """Run the whole system, as `make up` does, in a directory of its own."""
    env = os.environ | {"BITLOOT_RUN_DIR": str(run_dir)}
    subprocess.run([sys.executable, "-m", "embedded", "up"], env=env, check=True, cwd=CHECKOUT)
    try:
        yield json.loads((run_dir / "stack.json").read_text())
    finally:
        subprocess.run([sys.executable, "-m", "embedded", "down"], env=env, check=True, cwd=CHECKOUT)


async def _at_the_door(directory: Path, profiler: Profiler, rounds: int, requests: int) -> Sequence[ingress.Round]:
    async with alone.pair(directory) as servers:
        with profiler.watching({"ingress": servers.ingress.pid}):
            return await ingress.measure(servers, rounds=rounds, requests=requests)


async def _on_the_way(stack: Mapping[str, Any], profiler: Profiler, orders: int) -> report.Journeys:
    await journey.run(stack, "warm-up", orders=50, per_second=None)
    with profiler.watching({name: pids[0] for name, pids in stack["pids"].items() if name in journey.OURS}):
        fastest = await journey.run(stack, "fastest", orders=orders, per_second=None)
    slower = [
        await journey.run(stack, f"at-{share}", orders=orders, per_second=fastest.per_second * share)
        for share in SHARES
    ]
    return report.Journeys(fastest, dict(zip(SHARES, slower, strict=True)))


def main() -> None:
    """Measure and write the report; what people have written below it stays."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of ingress and echo ({ROUNDS})")
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"in each round ({REQUESTS})")
    parser.add_argument("--orders", type=int, default=ORDERS, help=f"in each run of the whole system ({ORDERS})")
    parser.add_argument("--profile", type=Path, help="also run py-spy, and write a profile of each process here")
    wish = parser.parse_args()
    profiler = Profiler(wish.profile)
    with tempfile.TemporaryDirectory(prefix="bitloot-bench-") as directory:
        rounds = asyncio.run(_at_the_door(Path(directory) / "door", profiler, wish.rounds, wish.requests))
        print(report.door(rounds), flush=True)
        with _stack(Path(directory) / "run") as stack:
            journeys = asyncio.run(_on_the_way(stack, profiler, wish.orders))
    text = report.markdown(rounds, journeys)
    print(text)
    PAGE.write_text(report.replaced(PAGE.read_text(), text))


if __name__ == "__main__":
    main()
