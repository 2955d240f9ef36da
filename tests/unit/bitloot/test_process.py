"""The life of a process: signals end it cleanly, failures end it loudly."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from bitloot import process

PROGRAM = """
from bitloot import http, process
from bitloot.health import Health
from bitloot.settings import HttpSettings

async def serve(settings, stop):
    {body}

process.run("a-test", HttpSettings, serve)
"""
SERVES = "await http.serve_until(stop, http.create_app(Health()), settings.http_host, 0)"


def start(body: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | settings,
    )


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(stop: signal.Signals):
    with start(SERVES) as running:
        assert running.stdout is not None
        assert "http.listening" in running.stdout.readline()
        os.kill(running.pid, stop)
        rest = running.stdout.read()
        assert running.wait(20) == 0
    assert "http.stopping" in rest


def test_what_it_raises_is_logged_and_ends_it_with_a_status():
    with start("raise OSError('no luck')") as running:
        out, _ = running.communicate(timeout=20)
    assert running.returncode != 0
    assert "no luck" in out


def test_a_bad_setting_is_one_sentence():
    with start(SERVES, HTTP_PORT="many") as running:
        _, err = running.communicate(timeout=20)
    assert running.returncode == 2
    assert err.startswith("HTTP_PORT cannot be used")
    assert "Traceback" not in err


async def forever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise OSError("gone")


async def test_until_ends_when_asked_to():
    stop = asyncio.Event()
    stop.set()
    await process.until(stop, forever())


async def test_until_raises_what_the_first_to_end_raised():
    with pytest.raises(OSError, match="gone"):
        await process.until(asyncio.Event(), forever(), fails())


def test_uvloop_is_used_where_it_is_installed():
    factory = process.loop_factory()
    assert factory is not None
    loop = factory()
    try:
        assert type(loop).__module__.startswith("uvloop")
    finally:
        loop.close()
