import pytest

from sandbox.rate import RateLimit
from tests.fakes.sandbox import ManualClock


@pytest.fixture
def clock():
    return ManualClock(1000)


def test_the_limit_holds_in_any_minute_and_not_only_in_full_ones(clock):
    rate = RateLimit(clock)
    clock.now = 1059
    assert [rate.wait("a", 2), rate.wait("a", 2), rate.wait("a", 2)] == [0, 0, 60]
    clock.now = 1061
    assert rate.wait("a", 2) == 58
    clock.now = 1119
    assert rate.wait("a", 2) == 0


def test_refused_calls_do_not_count(clock):
    rate = RateLimit(clock)
    rate.wait("a", 1)
    for _ in range(5):
        assert rate.wait("a", 1)
    clock.advance(60)
    assert rate.wait("a", 1) == 0


def test_accounts_have_limits_of_their_own(clock):
    rate = RateLimit(clock)
    assert [rate.wait("a", 1), rate.wait("b", 1), rate.wait("a", 1)] == [0, 0, 60]


def test_zero_is_no_limit(clock):
    rate = RateLimit(clock)
    assert not any(rate.wait("a", 0) for _ in range(5000))


def test_a_limit_that_was_turned_down_waits_for_enough_to_pass(clock):
    rate = RateLimit(clock)
    for _ in range(3):
        rate.wait("a", 10)
        clock.advance(10)
    # Of the calls 30, 20 and 10 seconds ago two must be gone.
    assert rate.wait("a", 2) == 40
