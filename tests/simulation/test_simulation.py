"""The whole flow under crashes, zombies, repeats and lost answers, thousands of times, in virtual time."""

import os
from collections.abc import Iterator

import pytest

from tests.simulation.mutations import Bug
from tests.simulation.schedule import Notification, OrderPlan, Schedule, Stall, generate
from tests.simulation.simulate import Simulator

SCHEDULES = int(os.environ.get("SIMULATE_N", "600"))
SHARES = 4
"""Into so many tests the schedules are divided."""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.mark.parametrize("share", range(SHARES))
def test_every_promise_holds_in_every_schedule(simulator: Simulator, share: int) -> None:
    for seed in range(share, SCHEDULES, SHARES):
        if simulator.fails(generate(seed)):
            pytest.fail(f"seed {seed}: {simulator.explain(seed)}")


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
def test_a_planted_bug_is_found(simulator: Simulator, bug: Bug) -> None:
    with Simulator([bug]) as broken:
        for seed in range(400):
            if broken.fails(generate(seed)):
                assert simulator.fails(generate(seed)) is None, "it fails without the bug as well"
                return
    pytest.fail(f"not found: {bug}")
