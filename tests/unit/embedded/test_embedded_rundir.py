import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from embedded.errors import StackConflict
from embedded.rundir import RunDir
from tests.fakes.eventually import eventually

HOLDER = """
import sys, time
from pathlib import Path
from embedded.rundir import RunDir
with RunDir(Path(sys.argv[1])).held():
    print("held", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass
"""


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


@pytest.fixture
def holder(run):
    """Another process that supervises the directory, and ends in order on SIGINT only."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(run.path)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_nobody_holds_a_directory_that_is_not_there(run):
    assert not run.is_held()
    assert run.supervisor() is None
    assert run.stack() is None
    assert run.reap() == 0


def test_one_supervisor_at_a_time(run, holder):
    assert run.is_held()
    assert run.supervisor().pid == holder.pid
    with pytest.raises(StackConflict, match="another stack is up"), run.held():
        pytest.fail("two supervisors")


def test_the_hold_ends_with_its_process_even_if_killed(run, holder):
    holder.kill()
    holder.wait()
    assert not run.is_held()
    assert run.supervisor() is None
    with run.held():
        assert run.supervisor().pid == os.getpid()


def test_a_supervisor_that_does_not_stop_is_killed(run, holder):
    os.kill(holder.pid, signal.SIGSTOP)  # deaf to SIGTERM, not to SIGKILL
    run.end_supervisor(grace_seconds=0.2)
    assert not run.is_held()


def test_what_a_killed_supervisor_left_is_ended(run, sleeper):
    with run.held():
        run.record([sleeper.pid])
    assert run.reap() == 1
    assert not psutil.pid_exists(sleeper.pid)
    assert run.reap() == 0


def test_a_recycled_process_id_is_left_alone(run, sleeper):
    with run.held():
        run.record([sleeper.pid])
    file = run.path / "processes.json"
    (recorded,) = json.loads(file.read_text())
    file.write_text(json.dumps([recorded | {"started": recorded["started"] - 60}]))
    assert run.reap() == 0
    assert psutil.pid_exists(sleeper.pid)
    assert sleeper.poll() is None


def test_a_process_that_is_gone_already_is_not_recorded(run, sleeper):
    with run.held():
        sleeper.kill()
        sleeper.wait()
        run.record([sleeper.pid])
    assert json.loads((run.path / "processes.json").read_text()) == []


def test_secrets_on_disk_are_for_the_owner_alone(run):
    with run.held():
        run.publish({"admin_token": "secret"})
        assert run.stack() == {"admin_token": "secret"}
        assert run.stack_file.stat().st_mode & 0o077 == 0
        run.clear()
    assert run.stack() is None


def test_a_reader_never_sees_a_part_of_the_facts(run):
    run.path.mkdir()
    writer = f"""
from pathlib import Path
from embedded.rundir import RunDir
run = RunDir(Path({str(run.path)!r}))
for turn in range(2000):
    run.publish({{"turn": turn, "padding": "x" * (turn * 37 % 9000)}})
"""
    with subprocess.Popen([sys.executable, "-c", writer]) as process:
        eventually(run.stack)
        seen = set()
        while process.poll() is None:
            seen.add(run.stack()["turn"])  # would not parse
    assert process.returncode == 0
    assert len(seen) > 1


def test_a_new_run_starts_without_data_and_logs(run):
    run.fresh()
    (run.data_dir / "kafka").mkdir()
    (run.log_dir / "kafka.log").write_text("old")
    run.fresh()
    assert not any(run.data_dir.iterdir())
    assert not any(run.log_dir.iterdir())
