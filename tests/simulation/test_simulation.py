"""The simulation itself: it repeats, it finds planted bugs, and makes what it finds small."""

from collections.abc import Iterator

import pytest

from tests.simulation.mutations import FOUND_AT, Bug
from tests.simulation.schedule import (
    ClockJump,
    Crash,
    Notification,
    OrderPlan,
    Outage,
    Schedule,
    Stall,
    generate,
)
from tests.simulation.shrinking import shrink
from tests.simulation.simulate import Simulator, first_catch

SEEDS = range(10_000)
# What few seeds find: schedules that did, made small.
FOUND_BY = {
    Bug.DEADLINE_BY_WORKERS_CLOCK: Schedule(
        1281,
        (OrderPlan(4.8, (1, 1, 1), (Notification(60.1, 0, "finished"),), codes_after=5.0, names_order=True),),
        (ClockJump(3.3, "kinguin", -3600.0), Crash("kinguin.called", 3, 1.0)),
    ),
    Bug.WALL_CLOCK_TIMERS: Schedule(
        1075,
        (OrderPlan(4.5, (1,), (Notification(8.7, 0, "finished"),), codes_after=0.5, names_order=True),),
        (Outage(1.7, "broker", 40.0), Outage(41.9, "store", 40.0), ClockJump(70.0, "fulfillment", -3600.0)),
    ),
}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def test_a_schedule_is_a_function_of_its_seed(simulator: Simulator) -> None:
    for seed in range(20):
        assert generate(seed) == generate(seed)
        assert simulator.run(generate(seed)) == simulator.run(generate(seed))


@pytest.mark.parametrize("seconds", [20.0, 40.0, 90.0])
def test_a_worker_that_stood_still_with_its_claim_in_hand_does_not_buy(simulator: Simulator, seconds: float) -> None:
    paid = (Notification(at=2.0, payment=0, status="finished"),)
    order = OrderPlan(placed_at=1.0, quantities=(1,), payments=paid, codes_after=0.5, names_order=False)
    result = simulator.run(Schedule(291, (order,), (Stall("kinguin.claimed", 1, seconds),)))
    assert result.statuses == ("fulfilled",)


@pytest.mark.parametrize("bug", Bug)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    if bug in FOUND_BY:
        with Simulator([bug]) as broken, Simulator() as sound:
            assert broken.fails(FOUND_BY[bug]) is not None
            assert sound.fails(FOUND_BY[bug]) is None
        return
    known = [FOUND_AT[bug]] if bug in FOUND_AT else []
    assert first_catch(bug, [*known, *SEEDS]) is not None, "no seed finds it that does not fail without it"


@pytest.mark.parametrize("bug", [Bug.EXPIRED_CLAIM_TAKEN, Bug.WORKER_ACKS_EARLY])
def test_a_failing_schedule_is_made_small(bug: Bug) -> None:
    found = first_catch(bug, SEEDS)
    assert found is not None
    with Simulator([bug]) as broken:
        seed = next(s for s in range(found[0], found[0] + 1000) if _is_large(s) and broken.fails(generate(s)))
        smallest = broken.shrunk(generate(seed))
        assert broken.fails(smallest)
        assert len(smallest.orders) == 1
        assert 1 <= len(smallest.faults) <= 3
        assert broken.shrunk(generate(seed)) == smallest


def _is_large(seed: int) -> bool:
    return len(generate(seed).faults) > 5


def test_shrinking_leaves_what_is_needed_and_nothing_else() -> None:
    large = next(schedule for schedule in map(generate, range(100)) if len(schedule.faults) == 9)
    needed = {large.faults[2], large.faults[7]}
    smallest = shrink(large, lambda schedule: needed <= set(schedule.faults))
    assert set(smallest.faults) == needed
    assert [(order.quantities, len(order.payments)) for order in smallest.orders] == [((1,), 1)]
