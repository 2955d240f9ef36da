"""`make simulate N=200000`: any number of schedules, from seed FROM on, with JOBS processes."""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context

from tests.simulation.mutations import Bug
from tests.simulation.simulate import Simulator, Tally, first_catch, run_seeds

CHUNK = 250
REPORT_SECONDS = 10.0
EXPLAINED = 3
"""So many failures are shrunk and shown; the rest are counted."""


def main() -> int:
    """Run, tell how it goes, and return the exit code: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=10_000, help="how many schedules")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--mutations", action="store_true", help="tell which seed is the first to find each planted bug"
    )
    options = parser.parse_args()
    if options.mutations:
        return _tell_mutations(range(options.start, options.start + options.count), options.jobs)
    end = options.start + options.count
    chunks = [range(first, min(first + CHUNK, end)) for first in range(options.start, end, CHUNK)]
    counted, failed = _run_all(chunks, options.jobs, options.count)
    for seed in failed[:EXPLAINED]:
        with Simulator() as simulator:
            print(f"\nseed {seed}: {simulator.explain(seed)}")  # noqa: T201
    ends = ", ".join(f"{count} {name}" for name, count in counted.most_common())
    print(  # noqa: T201
        f"{options.count} schedules from seed {options.start}: {len(failed)} broke a promise {failed[:20] or ''}. {ends}."
    )
    return 1 if failed else 0


def _tell_mutations(seeds: range, jobs: int) -> int:
    """Print a table: the bug, the first seed that finds it, and what it breaks."""
    found = 0
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        print("| planted bug | first seed | what it breaks |\n| --- | --- | --- |")  # noqa: T201
        for bug, caught in zip(Bug, pool.map(first_catch, Bug, repeat(seeds)), strict=True):
            seed, promise = caught or ("none", "")
            print(f"| {bug} | {seed} | {promise} |", flush=True)  # noqa: T201
            found += caught is not None
    print(f"\n{found} of {len(Bug)} planted bugs found by seeds {seeds.start} to {seeds.stop - 1}.")  # noqa: T201
    return 0 if found == len(Bug) else 1


def _run_all(chunks: list[range], jobs: int, count: int) -> Tally:
    counted: Counter[str] = Counter()
    failed: list[int] = []
    done, begun = 0, time.monotonic()
    told = begun
    # An executor, not a pool: when one of its processes is killed it says so instead of waiting for ever.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for tally in pool.map(run_seeds, chunks):
            counted.update(tally[0])
            failed.extend(tally[1])
            done = min(done + CHUNK, count)
            if time.monotonic() - told >= REPORT_SECONDS:
                told = time.monotonic()
                rate = done / (told - begun)
                print(f"{done} of {count}, {rate:.0f}/s, {len(failed)} failed", flush=True)  # noqa: T201
    return counted, sorted(failed)


if __name__ == "__main__":
    sys.exit(main())
