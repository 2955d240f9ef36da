"""A machine that sleeps, as one that is suspended or hibernated: others have gone on meanwhile."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_who_slept_with_a_claim_or_with_partitions_in_hand_neither_buys_nor_writes():
    """Others have given the claim up and bought, and have the partitions; the usual clocks know of no sleep."""
    script = [sys.executable, "-m", "tests.unit.bitloot_plumbing.asleep"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    told = done.stdout.split("\n")
    if told[0] == "not permitted":
        pytest.skip("this needs a time namespace of Linux, which only root may make")
    assert "bought" not in told
    assert "writes on" not in told
    assert {"timeout", "fenced"} <= set(told)
