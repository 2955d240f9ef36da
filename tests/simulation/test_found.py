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
    one = OrderPlan(
        placed_at=8.976270695009848,
        quantities=(1,),
        payments=(Notification(at=10.18332661586655, payment=0, status="finished"),),
        codes_after=5.0,
        names_order=False,
    )
    told = (
        Notification(at=8.621642073026802, payment=0, status="waiting"),
        Notification(at=8.73586197703737, payment=0, status="finished"),
    )
    two = OrderPlan(7.872727122395885, (1, 1), told, codes_after=0.0, names_order=True)
    faults = (Ending(2, "cancel", "reserve", 0.0), Click(9.478641136019823, 1, admins=2))
    assert simulator.run(Schedule(4695, (one, two), faults)).statuses == ("fulfilled", "fulfilled")


def test_a_clock_an_hour_ahead_makes_no_timer_late(simulator: Simulator) -> None:
    faults = (
        Ending(2, "cancel", "reserve", 30.0),
        ClockJump(10.9, "fulfillment", 3600.0),
        Click(360.0, 0),
    )
    result = simulator.run(Schedule(4083, (_order((1, 1), codes_after=60.0),), faults))
    assert result.statuses == ("fulfilled",)
