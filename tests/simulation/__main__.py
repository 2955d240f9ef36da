"""`make simulate N=200000`: any number of schedules, from seed FROM on, with JOBS processes."""

import argparse
import os
import sys
import time
from collections import Counter
from multiprocessing import get_context

from tests.simulation.schedule import generate
from tests.simulation.simulate import Broken, Result, Simulator
from tests.simulation.virtual_time import Stalled

CHUNK = 250
REPORT_SECONDS = 10.0
EXPLAINED = 3
"""So many failures are shrunk and shown; the rest are counted."""

Tally = tuple[Counter[str], list[int]]
"""How orders ended and what else was counted; the seeds that failed."""


def run_chunk(seeds: range) -> Tally:
    """Run some seeds."""
    counted: Counter[str] = Counter()
    failed: list[int] = []
    with Simulator() as simulator:
        for seed in seeds:
            try:
                counted.update(_counted(simulator.run(generate(seed))))
            except (Broken, Stalled):
                failed.append(seed)
    return counted, failed


def _counted(result: Result) -> Counter[str]:
    counts = Counter(result.statuses)
    counts["virtual hours"] = round(result.virtual_seconds / 3600)
    counts["second purchases"] = result.second_purchases
    return counts


def main() -> int:
    """Run, tell how it goes, and return the exit code: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("count", type=int, help="how many schedules")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    end = options.start + options.count
    chunks = [range(first, min(first + CHUNK, end)) for first in range(options.start, end, CHUNK)]
    counted, failed = _run_all(chunks, options.jobs, options.count)
    for seed in failed[:EXPLAINED]:
        with Simulator() as simulator:
            print(f"\nseed {seed}: {simulator.explain(seed)}")
    ends = ", ".join(f"{count} {name}" for name, count in counted.most_common())
    print(
        f"{options.count} schedules from seed {options.start}: {len(failed)} broke a promise {failed[:20] or ''}. {ends}."
    )
    return 1 if failed else 0


def _run_all(chunks: list[range], jobs: int, count: int) -> Tally:
    counted: Counter[str] = Counter()
    failed: list[int] = []
    done, begun = 0, time.monotonic()
    told = begun
    with get_context("spawn").Pool(jobs) as pool:
        for tally in pool.imap_unordered(run_chunk, chunks):
            counted.update(tally[0])
            failed.extend(tally[1])
            done = min(done + CHUNK, count)
            if time.monotonic() - told >= REPORT_SECONDS:
                told = time.monotonic()
                rate = done / (told - begun)
                print(f"{done} of {count}, {rate:.0f}/s, {len(failed)} failed", flush=True)
    return counted, sorted(failed)


if __name__ == "__main__":
    sys.exit(main())
