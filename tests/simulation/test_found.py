"""Schedules that broke a promise once, made small: each is an incident that did not happen."""

from collections.abc import Iterator

import pytest

from tests.simulation.schedule import Click, ClockJump, Ending, Notification, OrderPlan, Schedule
from tests.simulation.simulate import Simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def _order(quantities: tuple[int, ...], codes_after: float = 0.0) -> OrderPlan:
    paid = (Notification(at=4.3, payment=0, status="finished"),)
    return OrderPlan(3.0, quantities, paid, codes_after, names_order=True)


def test_a_click_between_a_cancellation_and_the_outcome_of_its_purchase_is_not_lost(simulator: Simulator) -> None:
    # The cancellation is heard at 5.7 s, and that the purchase was placed at 6.7 s.
    faults = (Ending(2, "cancel", "reserve", 0.0), Click(6.2, 0, admins=2))
    assert simulator.run(Schedule(1, (_order((1, 1)),), faults)).statuses == ("fulfilled",)


def test_a_clock_an_hour_ahead_makes_no_timer_late(simulator: Simulator) -> None:
    faults = (
        Ending(2, "cancel", "reserve", 30.0),
        ClockJump(10.9, "fulfillment", 3600.0),
        Click(360.0, 0),
    )
    result = simulator.run(Schedule(4083, (_order((1, 1), codes_after=60.0),), faults))
    assert result.statuses == ("fulfilled",)
