import asyncio
from collections.abc import Iterable
from contextlib import asynccontextmanager
from itertools import chain, repeat

from embedded.runner import Supervisor
from tests.fakes.eventually import eventually_async


class FakeUnit:
    """A process that ends when the test says so."""

    name = "fake-1"

    def __init__(self, health: Iterable[bool] = ()) -> None:
        self.pid = 100
        self.health = chain(health, repeat(True))
        self.examined = 0
        self.kills = 0
        self._ended = asyncio.Event()

    def end(self) -> None:
        self._ended.set()

    def respawn(self) -> None:
        self.pid += 1
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        await self._ended.wait()
        return 0

    async def stop(self) -> None:
        self.end()

    async def kill(self) -> None:
        self.kills += 1
        self.end()

    async def alive(self) -> bool:
        self.examined += 1
        return next(self.health)


@asynccontextmanager
async def watched(unit, seen, **options):
    supervisor = Supervisor(lambda: seen.append(unit.pid), **options)
    supervisor.watch(unit)
    await asyncio.sleep(0)  # the watcher waits now
    try:
        yield supervisor
    finally:
        await supervisor.release(unit)


async def test_what_ends_is_started_again_every_time_and_told():
    unit, seen = FakeUnit(), []
    async with watched(unit, seen):
        for pid in (101, 102, 103):
            unit.end()
            await eventually_async(lambda pid=pid: seen[-1:] == [pid])
            await asyncio.sleep(0)
    assert seen == [101, 102, 103]


async def test_what_is_released_may_end():
    unit, seen = FakeUnit(), []
    async with watched(unit, seen) as supervisor:
        await supervisor.release(unit)
        unit.end()
    assert unit.pid == 100


async def test_releasing_what_was_never_watched_is_fine():
    await Supervisor(lambda: None).release(FakeUnit())


async def test_what_stays_ill_is_killed_and_started_again():
    unit, seen = FakeUnit(health=[True, *[False] * 6]), []
    async with watched(unit, seen, probe_every_seconds=0.001):
        await eventually_async(lambda: seen)
    assert unit.kills == 1


async def test_a_passing_weakness_is_forgiven():
    answers = [*[False] * 5, True] * 3
    unit = FakeUnit(health=answers)
    async with watched(unit, [], probe_every_seconds=0.001):
        await eventually_async(lambda: unit.examined > len(answers))
    assert unit.kills == 0
