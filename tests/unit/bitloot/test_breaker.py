"""When calls to a provider stop, and how they begin again."""

import pytest
from prometheus_client import REGISTRY

from bitloot.breaker import CircuitBreaker, State
from bitloot.errors import Cause, Transient
from bitloot.health import Health


class Uptime:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def uptime() -> Uptime:
    return Uptime()


@pytest.fixture
def breaker(uptime: Uptime) -> CircuitBreaker:
    return CircuitBreaker("market", failures=3, within=10, pause=4, clock=uptime)


def call(breaker: CircuitBreaker, *, away: bool) -> None:
    with breaker.attempt() as attempt:
        if away:
            attempt.away()
        else:
            attempt.answered()


def open_it(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        call(breaker, away=True)
    assert breaker.state is State.OPEN


def turned_away(breaker: CircuitBreaker) -> float:
    with pytest.raises(Transient) as caught, breaker.attempt():
        pytest.fail("it was let through")
    assert caught.value.cause is Cause.PROVIDER_UNAVAILABLE
    assert caught.value.retry_after is not None
    return caught.value.retry_after


def test_a_provider_that_is_away_is_left_alone(breaker: CircuitBreaker, uptime: Uptime):
    open_it(breaker)
    assert turned_away(breaker) == 4
    uptime.seconds += 1
    assert turned_away(breaker) == 3


def test_a_few_failures_change_nothing(breaker: CircuitBreaker):
    call(breaker, away=True)
    call(breaker, away=True)
    assert breaker.state is State.CLOSED


def test_failures_of_long_ago_do_not_count(breaker: CircuitBreaker, uptime: Uptime):
    call(breaker, away=True)
    call(breaker, away=True)
    uptime.seconds += 10
    call(breaker, away=True)
    assert breaker.state is State.CLOSED


def test_a_provider_that_fails_now_and_then_is_not_away(breaker: CircuitBreaker):
    for _ in range(50):
        call(breaker, away=False)
        call(breaker, away=False)
        call(breaker, away=True)
    assert breaker.state is State.CLOSED


def test_what_was_given_up_says_nothing(breaker: CircuitBreaker):
    for _ in range(50):
        with breaker.attempt():
            pass
    assert breaker.state is State.CLOSED


def test_after_the_pause_one_call_tries(breaker: CircuitBreaker, uptime: Uptime):
    open_it(breaker)
    uptime.seconds += 4
    assert breaker.state is State.HALF_OPEN
    with breaker.attempt() as attempt:
        assert turned_away(breaker) > 0
        attempt.answered()
    assert breaker.state is State.CLOSED
    call(breaker, away=True)
    assert breaker.state is State.CLOSED


def test_each_failed_try_doubles_the_pause_up_to_a_minute(breaker: CircuitBreaker, uptime: Uptime):
    open_it(breaker)
    pauses = []
    for _ in range(6):
        pauses.append(turned_away(breaker))
        uptime.seconds += pauses[-1]
        call(breaker, away=True)
    assert pauses == [4, 8, 16, 32, 60, 60]
    uptime.seconds += 60
    call(breaker, away=False)
    open_it(breaker)
    assert turned_away(breaker) == 4


def test_a_try_that_is_given_up_lets_the_next_one_try(breaker: CircuitBreaker, uptime: Uptime):
    open_it(breaker)
    uptime.seconds += 4
    with breaker.attempt():
        pass
    call(breaker, away=False)
    assert breaker.state is State.CLOSED


def test_what_calls_of_before_have_to_say_is_late(breaker: CircuitBreaker, uptime: Uptime):
    with breaker.attempt() as slow, breaker.attempt() as slower:
        open_it(breaker)
        slow.answered()
        assert breaker.state is State.OPEN
        uptime.seconds += 4
        with breaker.attempt():
            slower.away()
            assert turned_away(breaker) == 2


async def test_it_shows(breaker: CircuitBreaker, uptime: Uptime):
    health = Health()
    breaker.register(health)

    async def shown() -> tuple[float | None, dict[str, str], dict[str, str]]:
        gauge = REGISTRY.get_sample_value("bitloot_breaker_open", {"provider": "market"})
        return gauge, await health.failures(), await health.failures(vital_only=True)

    assert await shown() == (0, {}, {})
    open_it(breaker)
    assert await shown() == (1, {"breaker:market": "market does not answer"}, {})
    uptime.seconds += 4
    with breaker.attempt() as attempt:
        assert (await shown())[0] == 0.5
        attempt.answered()
    assert await shown() == (0, {}, {})
