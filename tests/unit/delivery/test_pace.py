import asyncio

import pytest

from bitloot.errors import Cause, Transient
from delivery.pace import MAX_WAIT_SECONDS, Pace, seconds


class Clock:
    """Seconds that pass only in sleeps."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    async def sleep(self, duration):
        self.now += duration

    def pace(self, per_second=2.0):
        return Pace(per_second, clock=self, sleep=self.sleep)


@pytest.fixture
def clock():
    return Clock()


async def times(clock, pace, count):
    found = []
    for _ in range(count):
        await pace.turn()
        found.append(round(clock.now - 1000, 3))
    return found


async def test_calls_are_spaced_from_the_first_on(clock):
    assert await times(clock, clock.pace(), 3) == [0, 0.5, 1]


async def test_the_limit_of_an_answer_takes_over(clock):
    pace = clock.pace()
    pace.learn({"ratelimit-limit": "10", "ratelimit-remaining": "9", "ratelimit-reset": "1"})

    assert await times(clock, pace, 3) == [0, 0.1, 0.2]


async def test_a_used_up_window_is_waited_out(clock):
    pace = clock.pace()
    pace.learn({"ratelimit-limit": "10", "ratelimit-remaining": "0", "ratelimit-reset": "3"})

    assert await times(clock, pace, 2) == [3, 3.1]


async def test_a_hold_is_never_shortened(clock):
    pace = clock.pace()
    pace.hold(4)
    pace.hold(1)

    assert await times(clock, pace, 1) == [4]


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit-remaining": "0", "ratelimit-reset": "1767225600"},  # a time, where seconds are meant
        {"ratelimit-limit": "1e-9", "ratelimit-remaining": "1"},
        {"ratelimit-limit": "5e-324", "ratelimit-remaining": "0", "ratelimit-reset": "1e300"},
    ],
)
async def test_whatever_an_answer_says_the_provider_is_asked_again(clock, headers):
    pace = clock.pace()
    for _ in range(3):
        pace.learn(headers)
        clock.now += 900
        await pace.turn()
    assert clock.now < 1000 + 3 * 900 + 60


@pytest.mark.parametrize("limit", ["", "0", "-1", "nan", "inf", "many", "5;w=1"])
async def test_a_limit_that_is_no_number_changes_nothing(clock, limit):
    pace = clock.pace()
    pace.learn({"ratelimit-limit": limit, "ratelimit-remaining": "", "ratelimit-reset": "x"})

    assert await times(clock, pace, 2) == [0, 0.5]


async def test_whoever_would_wait_too_long_is_sent_away_at_once(clock):
    pace = clock.pace()
    pace.hold(MAX_WAIT_SECONDS + 1)

    with pytest.raises(Transient) as failure:
        await pace.turn()

    assert failure.value.cause is Cause.RATE_LIMITED
    assert clock.now == 1000


async def test_those_who_wait_count(clock):
    woken = asyncio.Event()

    async def sleep(duration):
        await woken.wait()
        clock.now += duration

    pace = Pace(2 / MAX_WAIT_SECONDS, clock=clock, sleep=sleep)
    await pace.turn()
    waiting = [asyncio.create_task(pace.turn()) for _ in range(2)]
    await asyncio.sleep(0)  # both stand in the queue now

    with pytest.raises(Transient):
        await pace.turn()

    woken.set()
    await asyncio.gather(*waiting)
    await pace.turn()


@pytest.mark.parametrize(
    ("header", "number"), [(None, None), ("", None), ("2", 2), ("0", 0), ("1.5", 1.5), ("-1", None)]
)
def test_headers_as_seconds(header, number):
    assert seconds(header) == number
