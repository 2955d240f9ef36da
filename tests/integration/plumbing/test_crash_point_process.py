"""A process that was told to die at a point dies there, by SIGKILL, and its successor lives."""

import os
import signal
import subprocess
import sys

import pytest

from bitloot.crash_points import CrashPoint, arm, armed, hits

# Everything that an orderly end would do leaves a line, even that of an exception.
PROCESS = """
import asyncio, atexit
from bitloot import process
from bitloot.crash_points import CrashPoint, reach
from bitloot.settings import Settings

async def serve(settings: Settings, stop: asyncio.Event) -> None:
    try:
        print("before", flush=True)
        reach(CrashPoint.LEDGER_ACTED)
        print("after", flush=True)
    finally:
        print("cleaned up", flush=True)

atexit.register(print, "at exit", flush=True)
process.run("kinguin", Settings, serve)
"""


def start(directory) -> subprocess.Popen:
    env = os.environ | {"CRASH_POINTS": str(directory)}
    return subprocess.Popen([sys.executable, "-c", PROCESS], env=env, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("point", [CrashPoint.LEDGER_ACTED, CrashPoint.LEDGER_CLAIMED])
def test_it_dies_at_the_armed_point_and_at_no_other(tmp_path, point):
    arm(tmp_path, point)
    with start(tmp_path) as first:
        told, _ = first.communicate(timeout=60)
    if point is CrashPoint.LEDGER_ACTED:
        assert (first.returncode, told) == (-signal.SIGKILL, "before\n")
        assert [(hit.point, hit.service, hit.pid) for hit in hits(tmp_path)] == [(point, "kinguin", first.pid)]
        with start(tmp_path) as second:
            told, _ = second.communicate(timeout=60)
        assert second.returncode == 0, "one file is one crash"
    else:
        assert first.returncode == 0
        assert armed(tmp_path) == {point}
    assert told.splitlines() == ["before", "after", "cleaned up", "at exit"]
