import os
import pwd
import signal
import sys

import psutil
import pytest

from embedded.child import Child
from tests.fakes.eventually import eventually

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
# Starts a Child that sleeps, tells its process id, and sleeps too.
PARENT = """
import sys, time
from pathlib import Path
from embedded.child import Child
child = Child("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], log_file=Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(60)
"""


def python(name, code, tmp_path, *arguments):
    return Child(name, [sys.executable, "-c", code, *arguments], log_file=tmp_path / f"{name}.log")


async def test_output_goes_to_the_log_and_the_exit_code_comes_back(tmp_path):
    child = python("talker", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", tmp_path)
    assert await child.wait() == 3
    assert set(child.output().split()) == {"out", "err"}


async def test_a_failure_tells_the_end_of_this_start_only(tmp_path):
    await python("talker", "print('first start')", tmp_path).wait()
    child = python("talker", "print('second start')", tmp_path)
    await child.wait()
    said = str(child.failure("ended"))
    assert "second start" in said
    assert "first start" not in said


async def test_stop_asks_first(tmp_path):
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('on', flush=True); time.sleep(60)"
    child = python("polite", code, tmp_path)
    eventually(lambda: "on" in child.output())
    assert await child.stop() == 7


async def test_stop_kills_what_does_not_listen(tmp_path):
    child = python("stubborn", STUBBORN, tmp_path)
    eventually(lambda: "deaf" in child.output())
    assert await child.stop(grace_seconds=0.1) == -signal.SIGKILL


async def test_stopping_twice_is_fine(tmp_path):
    child = python("short", "pass", tmp_path)
    await child.wait()
    assert await child.stop() == await child.stop() == 0


async def test_what_a_child_started_ends_with_it(tmp_path):
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]).pid, flush=True)"
    child = python("forker", code + "; import time; time.sleep(60)", tmp_path)
    grandchild = psutil.Process(int(eventually(lambda: child.output().split("\n")[0].strip("deaf"))))
    await child.stop()
    eventually(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
async def test_a_child_does_not_outlive_a_killed_parent(tmp_path):
    parent = python("parent", PARENT, tmp_path, str(tmp_path / "sleeper.log"))
    sleeper = psutil.Process(int(eventually(lambda: parent.output().strip())))
    await parent.kill()
    eventually(lambda: not sleeper.is_running() or sleeper.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_who_stops_being_root_keeps_nothing_but_the_way_through_closed_directories(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "program"
    program.write_text("#!/bin/sh\nid -u; grep CapEff /proc/self/status\n")
    program.chmod(0o700)
    code = f"import os, subprocess; print(os.access({str(program)!r}, os.X_OK), flush=True); subprocess.run([{str(program)!r}])"
    child = Child("other", [sys.executable, "-c", code], log_file=tmp_path / "other.log", user="nobody")
    assert await child.wait() == 0
    assert child.output().split() == ["True", str(pwd.getpwnam("nobody").pw_uid), "CapEff:", "0000000000000002"]


async def test_a_command_that_does_not_exist_is_told_in_the_log(tmp_path):
    child = Child("nothing", ["/nonexistent/program"], log_file=tmp_path / "nothing.log")
    assert await child.wait() == 1
    assert "cannot run /nonexistent/program" in child.output()
