"""A short run of `make chaos`: the whole system, broken for half a minute, and nothing lost or done twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bitloot.crash_points import CrashPoint
from chaos.plan import WORKERS, Kill, Outage, Pause, Restart, schedule

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]

SEED = 6
SECONDS = 32
# How long it takes to heal says something about the machine, and is not what is asked here.
PATIENCE = 600


def test_the_schedule_of_this_seed_has_something_of_each_kind():
    plan = schedule(SEED, SECONDS)
    assert {action.target for action in plan if isinstance(action, Kill)} >= set(WORKERS)
    assert any(isinstance(action, Pause) for action in plan)
    assert any(isinstance(action, Outage | Restart) and action.target == "kafka" for action in plan)


def test_nothing_is_lost_or_done_twice_while_everything_breaks(tmp_path):
    wish = ["--duration", str(SECONDS), "--seed", str(SEED), "--patience", str(PATIENCE), "--rate", "1.5"]
    ran = subprocess.run(
        [sys.executable, "-m", "chaos", *wish, "--report", str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-8000:]
    told = json.loads((tmp_path / "figures.json").read_text())
    assert told["clean"]
    assert told["orders"]["accepted"] == told["orders"]["wanted"] == SECONDS * 1.5
    assert told["orders"]["by_status"]["fulfilled"] > 0
    assert told["found"]["dead_letters"] > 0
    assert sum(count for status, count in told["answers"]["forged"].items() if status.startswith("4")) > 0
    killed = {service for service in WORKERS if told["deeds"].get(f"kill {service}")}
    assert killed == set(WORKERS)
    died = [point for point in CrashPoint if told["crash_points"][point]]
    assert len(died) >= 4, "of the crash points that were armed, some were come to"
