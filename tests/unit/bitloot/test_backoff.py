import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot.backoff import MAX_RETRY_AFTER, delay

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)

attempts = st.integers(min_value=1, max_value=10_000)
seeds = st.text()
bases = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(minutes=1))
caps = st.timedeltas(min_value=SECOND, max_value=timedelta(days=7))


@given(attempts, bases, seeds, caps)
def test_the_wait_is_half_to_all_of_the_doubled_base(attempt: int, base: timedelta, seed: str, cap: timedelta):
    ceiling = min(cap, base * 2 ** min(attempt - 1, 40))

    assert ceiling / 2 - timedelta(microseconds=1) <= delay(attempt, base, seed=seed, cap=cap)
    assert delay(attempt, base, seed=seed, cap=cap) <= ceiling + timedelta(microseconds=1)


@given(attempts, seeds)
def test_the_same_question_has_the_same_answer(attempt: int, seed: str):
    assert delay(attempt, SECOND, seed=seed, cap=HOUR) == delay(attempt, SECOND, seed=seed, cap=HOUR)


def test_the_answer_is_the_same_in_every_process_and_version():
    waits = [delay(attempt, SECOND, seed="order-1/reserve", cap=HOUR).total_seconds() for attempt in (1, 2, 3)]

    assert waits == [0.688112, 1.359307, 3.576017]


def test_seeds_spread():
    waits = sorted(delay(1, SECOND, seed=str(each), cap=HOUR).total_seconds() for each in range(400))

    assert waits[0] < 0.51
    assert waits[-1] > 0.99
    assert 0.72 < waits[200] < 0.78


def test_attempts_of_one_seed_jitter_apart():
    shares = {delay(each, SECOND, seed="x", cap=timedelta(days=9)) / 2**each for each in range(1, 6)}

    assert len(shares) == 5


@given(attempts, seeds, st.floats(min_value=0.001, max_value=86_400))
def test_a_wait_that_was_asked_for_is_obeyed(attempt: int, seed: str, seconds: float):
    asked = timedelta(seconds=seconds)
    wait = delay(attempt, SECOND, seed=seed, cap=HOUR, retry_after=seconds)

    assert asked <= wait <= max(HOUR, asked * 1.11)
    assert wait >= delay(attempt, SECOND, seed=seed, cap=HOUR) or wait >= asked


@pytest.mark.parametrize("seconds", [0.0, -5.0, math.nan, math.inf, -math.inf])
def test_a_wait_that_makes_no_sense_is_ignored(seconds: float):
    assert delay(1, SECOND, seed="x", cap=HOUR, retry_after=seconds) == delay(1, SECOND, seed="x", cap=HOUR)


def test_a_wait_of_a_century_is_a_day():
    assert MAX_RETRY_AFTER <= delay(1, SECOND, seed="x", cap=HOUR, retry_after=3e9) <= MAX_RETRY_AFTER * 1.1


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt: int):
    with pytest.raises(ValueError, match="from 1"):
        delay(attempt, SECOND, seed="x", cap=HOUR)
