"""Runs schedules, explains those that fail, and tells which planted bugs are found."""

import gc
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self

import structlog
from structlog.typing import EventDict

from tests.simulation.mutations import Bug
from tests.simulation.promises import Broken, Result, check
from tests.simulation.schedule import Schedule, generate
from tests.simulation.shrinking import shrink
from tests.simulation.virtual_time import Stalled, VirtualLoop
from tests.simulation.world import World


class Simulator:
    """Runs schedules one after the other on one virtual loop."""

    def __init__(self, bugs: Iterable[Bug] = ()) -> None:
        self._loop = VirtualLoop()
        self._bugs = frozenset(bugs)

    def __enter__(self) -> Self:
        # A simulation leaves thousands of objects in cycles at its end: to look for them on the way is no use.
        self._thresholds = gc.get_threshold()
        gc.set_threshold(50_000, 20, 100)
        return self

    def __exit__(self, *error: object) -> None:
        gc.set_threshold(*self._thresholds)
        self._loop.close()

    def run(self, schedule: Schedule) -> Result:
        """Run a schedule and check every promise. Raises `Broken`."""
        with _silence():
            return self._loop.run(self._run(schedule))

    async def _run(self, schedule: Schedule) -> Result:
        world = World(self._loop, schedule, self._bugs)
        await world.run()
        return check(world)

    def fails(self, schedule: Schedule) -> str | None:
        """Return which promise a schedule breaks, or None."""
        try:
            self.run(schedule)
        except Stalled:
            return "everything waits for ever"
        except Broken as broken:
            return str(broken)
        return None

    def shrunk(self, schedule: Schedule) -> Schedule:
        """Return the smallest schedule found that breaks the same promise as a failing one."""
        promise = _promise(self.fails(schedule))
        return shrink(schedule, lambda smaller: _promise(self.fails(smaller)) == promise)

    def explain(self, seed: int) -> str:
        """Return why a seed fails, with a small schedule that fails like it and the command to repeat it."""
        smallest = self.shrunk(generate(seed))
        again = f"make simulate N=1 FROM={seed}"
        return f"{self.fails(generate(seed))}\nshrunk: {self.fails(smallest)}\n  {smallest}\nagain: {again}"


def _promise(reason: str | None) -> str | None:
    """Return the kind of a failure, without its ids and numbers."""
    return None if reason is None else re.sub(r"\d+", "", reason.split(":")[0])


def first_catch(bug: Bug, seeds: Iterable[int]) -> tuple[int, str] | None:
    """Return the first seed that fails with a bug planted and not without, and which promise it breaks."""
    with Simulator([bug]) as broken, Simulator() as sound:
        for seed in seeds:
            reason = broken.fails(generate(seed))
            if reason is not None and sound.fails(generate(seed)) is None:
                return seed, reason.split(":")[0]
    return None


Tally = tuple[Counter[str], list[int]]
"""How orders ended and what else was counted; the seeds that failed."""


def run_seeds(seeds: range) -> Tally:
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


def _drop(logger: object, method: str, event: EventDict) -> EventDict:
    raise structlog.DropEvent


@contextmanager
def _silence() -> Iterator[None]:
    """Write no logs: thousands of simulations would write gigabytes."""
    before = structlog.get_config()
    structlog.configure([_drop], wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
