"""One half of the schedules of `make test`; the other is in a file of its own, for another process."""

import pytest

from tests.simulation.shares import SHARES, assert_all_hold


@pytest.mark.parametrize("share", range(0, SHARES, 2))
def test_every_promise_holds_in_every_schedule(share: int) -> None:
    assert_all_hold(share)
