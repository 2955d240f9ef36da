"""`make bench`: measure, print, and write docs/benchmarks.md with its plots.

First the ingress beside a bare echo. Then the whole system; what went through its topics is kept, and told again to
one part at a time: the orders agent, the workers, the sink, and the orders agent with ever more orders in its table.
"""

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

from bench import agent, alone, growth, ingress, journey, plot, recording, report, scale, sinks, workers
from bench.profile import Profiler
from bench.stage import AS_DEPLOYED, NO_LIMITS
from bitloot.contracts.topics import CHANGELOGS, TOPICS
from embedded.paths import CHECKOUT
from embedded.rundir import RunDir

PAGE = CHECKOUT / "docs" / "benchmarks.md"
ROUNDS = 5
REQUESTS = 3000
ORDERS = 600
"""For the highest rate; the waits are measured with as many again, at each part of that rate."""
SHARES = (0.2, 0.5, 0.8)
PART_ROUNDS = 3
RECORDED_ORDERS = 100
"""So many orders of the whole system are told again to each part, as often as it takes to make `PART_ORDERS`."""
PART_ORDERS = 2000
WORKERS = (1, 2, 4, 8)
SIZES = (1_000, 100_000, 1_000_000)
PLOTS = CHECKOUT / "docs" / "images"


@contextmanager
def _stack(run_dir: Path) -> Iterator[Mapping[str, Any]]:
    """Run the whole system, as `make up` does, in a directory of its own, with a supplier that sets no limit."""
    env = os.environ | {"BITLOOT_RUN_DIR": str(run_dir), **NO_LIMITS, **AS_DEPLOYED}
    subprocess.run([sys.executable, "-m", "embedded", "up"], env=env, check=True, cwd=CHECKOUT)
    try:
        yield json.loads((run_dir / "stack.json").read_text())
    finally:
        subprocess.run([sys.executable, "-m", "embedded", "down"], env=env, check=True, cwd=CHECKOUT)


async def _at_the_door(directory: Path, profiler: Profiler, rounds: int, requests: int) -> Sequence[ingress.Round]:
    async with alone.doors(directory) as servers:
        with profiler.watching({"ingress": servers.ingress.pid}):
            return await ingress.measure(servers, rounds=rounds, requests=requests)


async def _on_the_way(
    stack: Mapping[str, Any], profiler: Profiler, orders: int
) -> tuple[report.Journeys, Mapping[str, Sequence[recording.Told]]]:
    await journey.run(stack, "recorded", orders=RECORDED_ORDERS, per_second=None)  # and all is warm
    recorded = await recording.read(stack["kafka"], (*TOPICS, *CHANGELOGS))
    with profiler.watching({name: pids[0] for name, pids in stack["pids"].items() if name in journey.OURS}):
        fastest = await journey.run(stack, "fastest", orders=orders, per_second=None)
    slower = [
        await journey.run(stack, f"at-{share}", orders=orders, per_second=fastest.per_second * share)
        for share in SHARES
    ]
    return report.Journeys(fastest, dict(zip(SHARES, slower, strict=True))), recorded


async def _each_part(
    directory: Path,
    settings: Mapping[str, str],
    recorded: Mapping[str, Sequence[recording.Told]],
    wish: argparse.Namespace,
) -> report.Parts:
    times = max(1, wish.part_orders // RECORDED_ORDERS)
    events = recorded[TOPICS[0].name]
    return report.Parts(
        await agent.measure(directory, settings, events, rounds=wish.part_rounds, times=times),
        await workers.measure(directory, settings, recorded, times=times),
        await sinks.measure(directory, settings, recorded, rounds=wish.part_rounds, times=times),
        await scale.measure(directory, settings, events, counts=wish.workers, times=times),
        await growth.measure(directory, settings, recorded, sizes=wish.sizes, times=times),
    )


def main() -> None:
    """Measure and write the report; what people have written below it stays."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of ingress and echo ({ROUNDS})")
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"in each round ({REQUESTS})")
    parser.add_argument("--orders", type=int, default=ORDERS, help=f"in each run of the whole system ({ORDERS})")
    parser.add_argument("--part-rounds", type=int, default=PART_ROUNDS, help=f"of agent and sink ({PART_ROUNDS})")
    parser.add_argument("--part-orders", type=int, default=PART_ORDERS, help=f"told to each part ({PART_ORDERS})")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, help="orders agents that share the work")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="orders in the table")
    parser.add_argument("--profile", type=Path, help="also run py-spy, and write a profile of each process here")
    wish = parser.parse_args()
    profiler = Profiler(wish.profile)
    with tempfile.TemporaryDirectory(prefix="bitloot-bench-") as name:
        directory = Path(name)
        rounds = asyncio.run(_at_the_door(directory, profiler, wish.rounds, wish.requests))
        print(report.door(rounds), flush=True)
        with _stack(directory / "run") as stack:
            settings = json.loads(RunDir(directory / "run").environment_file.read_text())
            journeys, recorded = asyncio.run(_on_the_way(stack, profiler, wish.orders))
        parts = asyncio.run(_each_part(directory, settings, recorded, wish))
    text = report.markdown(rounds, journeys, parts)
    print(text)
    PAGE.write_text(report.replaced(PAGE.read_text(), text))
    for plotted, drawing in report.plots(journeys, parts).items():
        (PLOTS / f"{plotted}.svg").write_text(plot.svg(drawing))


if __name__ == "__main__":
    main()
