"""Divides the schedules of `make test` into tests. `SIMULATE_N` says how many schedules there are."""

import os

import pytest

from tests.simulation.schedule import generate
from tests.simulation.simulate import Simulator

SCHEDULES = int(os.environ.get("SIMULATE_N", "10000"))
SHARES = 20


def assert_all_hold(share: int) -> None:
    """Run one share of the schedules; fail with the first that breaks a promise, made small."""
    with Simulator() as simulator:
        for seed in range(share, SCHEDULES, SHARES):
            if simulator.fails(generate(seed)):
                pytest.fail(f"seed {seed}: {simulator.explain(seed)}")
