"""What turns the health of a Faust process red, and what ends it: each by itself, and nothing else."""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from bitloot.cluster import LogLost
from bitloot.faust_app.watch import Stalled, Watch, WatchLimits
from bitloot.health import Gate, Health

PARTITION, OTHER = TP("events", 3), TP("events", 4)
LIMITS = WatchLimits(tick=0.001, gauges=0.001, look=0.001, stall=60.0, grace=30.0, recovery=600.0)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Standbys:
    async def check(self):
        return None


@dataclass
class Guard:
    error: Exception | None = None

    def tick(self, oldest_unacknowledged):
        pass


@dataclass
class Consumer:
    """`answers` are those to `behind`, one after the other, the last one for ever."""

    answers: object = ()
    unhandled: dict[TP, float] = field(default_factory=dict)
    uncommitted: float = 0.0
    looked: int = 0

    def __post_init__(self):
        self._answers, self._last = iter(self.answers), {}

    async def behind(self):
        self.looked += 1
        self._last = next(self._answers, self._last)
        if isinstance(self._last, Exception):
            raise self._last
        return self._last

    def ages(self):
        return self.unhandled

    def uncommitted_seconds(self):
        return self.uncommitted

    def heads(self):
        return {PARTITION: 7, OTHER: -1}

    def highwater(self, _tp):
        return 9


class App:
    """What the watch looks at."""

    def __init__(self, answers=(), *, ready=True):
        self.ready, self.lost, self.cluster = ready, None, None
        self.safe_consumer, self.standbys, self.guard = Consumer(answers), Standbys(), Guard()
        self.sends, self.conf = SimpleNamespace(oldest=0.0), SimpleNamespace(id="app")
        self.broker = Gate("nobody asked")
        self.broker.open()

    def mark_tables(self):
        pass


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


async def looks(app, watch, times=3):
    """Let it look a few times, and tick."""
    looking, ticking = asyncio.create_task(watch.look()), asyncio.create_task(watch.tick())
    wanted = app.safe_consumer.looked + times
    await until(lambda: app.safe_consumer.looked >= wanted or looking.done())
    for task in (looking, ticking):
        task.cancel()
    await asyncio.wait({looking, ticking})
    assert ticking.cancelled()
    return looking


async def alive(app, clock=None, **seen):
    for name, value in seen.items():
        setattr(app.safe_consumer, name, value)
    return await Watch(app, LIMITS, clock or Clock()).check_alive()


async def test_all_is_well():
    assert await alive(App()) is None


async def test_a_partition_that_stands_still_while_others_move_turns_it_red_and_then_ends_it():
    clock = Clock()
    app = App({PARTITION: 7, OTHER: head} for head in count())
    watch = Watch(app, LIMITS, clock)
    await looks(app, watch)
    clock.now += LIMITS.stall + 1
    await looks(app, watch)
    assert await watch.check_alive() == "standing still: events/3 at 7"
    clock.now += LIMITS.grace
    with pytest.raises(Stalled, match="events/3 at 7"):
        (await looks(app, watch)).result()


@pytest.mark.parametrize(
    "answers",
    [
        ({PARTITION: head} for head in count()),
        [{}],
        ({PARTITION: 7} if number % 3 else {} for number in count()),
        [KafkaConnectionError()],
    ],
    ids=["it moves", "nothing to do", "done in between", "no broker"],
)
async def test_anything_else_does_not(answers):
    clock = Clock()
    app = App(answers)
    watch = Watch(app, LIMITS, clock)
    for _ in range(5):
        looking = await looks(app, watch)
        assert looking.cancelled()
        clock.now += LIMITS.stall / 2
    assert await watch.check_alive() is None


async def test_the_time_in_which_a_broker_is_away_is_no_standstill():
    """A record came just before, or is told of just after: it could not be handled, and a new process could not either."""
    clock, away = Clock(), False
    app = App(KafkaConnectionError() if away else {PARTITION: 7} for _ in count())
    watch = Watch(app, LIMITS, clock)
    await looks(app, watch)
    away = True
    for _ in range(2):
        clock.now += LIMITS.stall + LIMITS.grace + 1
        assert (await looks(app, watch)).cancelled()
    away = False
    app.broker.open()
    assert (await looks(app, watch)).cancelled()
    assert await watch.check_alive() is None
    clock.now += LIMITS.stall + 1
    await looks(app, watch)
    assert await watch.check_alive() == "standing still: events/3 at 7"


async def test_nobody_looks_while_tables_are_restored():
    app = App([{PARTITION: 7}], ready=False)
    looking = asyncio.create_task(Watch(app, LIMITS, Clock()).look())
    await asyncio.sleep(0.05)
    assert (app.safe_consumer.looked, looking.done()) == (0, False)
    looking.cancel()


async def test_an_event_that_nobody_finishes_turns_it_red():
    reason = await alive(App(), unhandled={OTHER: 0.0, PARTITION: LIMITS.stall + 1})
    assert reason == "the oldest event of events/3 has been unhandled for 61 s"


async def test_work_that_is_not_committed_turns_it_red():
    assert await alive(App(), uncommitted=LIMITS.stall + 1) == "nothing committed for 61 s"


async def test_recovery_that_takes_too_long_turns_it_red():
    clock = Clock()
    app = App(ready=False)
    watch = Watch(app, LIMITS, clock)
    assert await watch.check_alive() is None
    ticking = asyncio.create_task(watch.tick())
    looking = asyncio.create_task(watch.look())
    clock.now += LIMITS.recovery + 1
    await asyncio.sleep(0.02)
    assert await watch.check_alive() == "tables have not been complete for 601 s"
    assert await watch.check_ready() == "rebalancing or restoring tables"
    app.ready = True
    assert await watch.check_alive() is None
    for task in (ticking, looking):
        task.cancel()


async def test_a_watch_that_stands_still_turns_it_red():
    clock = Clock()
    watch = Watch(App(), LIMITS, clock)
    ticking = asyncio.create_task(watch.tick())
    clock.now += LIMITS.stall + 1  # one of the two goes on, nobody looks
    await asyncio.sleep(0.02)
    assert await watch.check_alive() == "its watch stands still"
    ticking.cancel()


async def test_a_failure_turns_it_red():
    app = App()
    app.guard.error = KeyError("secret")
    assert await alive(app) == "failed: KeyError"


async def test_a_lost_log_turns_everything_red_and_says_why():
    app = App()
    app.guard.error = app.lost = LogLost("topic x was deleted and made anew")
    assert "made anew" in await alive(app)
    assert "made anew" in await Watch(app, LIMITS).check_ready()


async def test_a_process_that_waits_for_a_broker_is_alive_and_not_ready():
    app = App(ready=False)
    app.broker.close("waiting: Kafka does not answer")
    clock, health = Clock(), Health()
    watch = Watch(app, LIMITS, clock)
    watch.register(health)
    clock.now += LIMITS.recovery * 2
    assert await health.failures(vital_only=True) == {}
    assert (await health.failures())["kafka"] == "waiting: Kafka does not answer"
