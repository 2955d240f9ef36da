"""The arithmetic of a rate: whatever the delays in between, no window has more calls than its limit."""

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot.rate_limit import Rate
from bitloot.rate_limit.rate import LATENESS_SECONDS

rates = st.builds(Rate, st.integers(1, 3000), st.sampled_from([1.0, 10.0, 60.0, 3600.0]))


def most_in_a_window(times: list[float], per: float) -> int:
    times = sorted(times)
    return max(bisect_left(times, start + per) - number for number, start in enumerate(times))


@given(rates, st.data())
def test_no_window_has_more_calls_than_the_limit(rate: Rate, data: st.DataObject):
    """Permits of a time before the window are used as late as they can be, the others at once."""
    begins = data.draw(st.integers(0, 2 * rate.limit)) * rate.interval
    late = rate.lease_life + min(LATENESS_SECONDS, rate.per * 0.1) + (rate.burst - 1) * rate.interval
    times = [number * rate.interval for number in range(4 * rate.limit)]
    used = [min(time + late, max(time, begins)) for time in times]
    assert most_in_a_window([time for time in used if time >= begins], rate.per * (1 - 1e-9)) <= rate.limit


@given(rates)
def test_little_of_the_rate_is_given_away(rate: Rate):
    assert rate.per / rate.interval >= rate.limit * 0.8 - 1


def test_a_minute_of_two_thousand():
    rate = Rate(2000, per=60.0)
    assert rate.burst == 40
    assert 1850 < 60 / rate.interval < 1900


@pytest.mark.parametrize(("limit", "per"), [(0, 60.0), (-1, 60.0), (5, 0.0)])
def test_a_rate_that_nobody_could_keep_is_refused(limit, per):
    with pytest.raises(ValueError, match="at least one call"):
        Rate(limit, per)
