"""Keeping processes alive: whatever ends without being told to is started again, as an orchestrator would."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from embedded.child import POLL_SECONDS, Child
from embedded.errors import PortTaken
from embedded.processes import listens

_log = logging.getLogger(__name__)

# A child that dies is started again at once; one that keeps dying, after a pause that doubles, but always
# within a second, for that is promised.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.8
_LIVED_LONG_SECONDS = 10.0

# Liveness as Kubernetes does it by default is three failures, ten seconds apart. Two cores under a load
# test may keep a healthy process from answering for a while, so we are not quicker.
_PROBE_EVERY_SECONDS = 5.0
PROBE_TIMEOUT_SECONDS = 5.0
_PROBE_FAILURES = 6


class Unit(Protocol):
    """What can be supervised."""

    @property
    def name(self) -> str:
        """What logs and stack.json call it."""

    @property
    def pid(self) -> int:
        """Process id of its last start."""

    def respawn(self) -> None:
        """Start the process again after it has ended, without waiting until it is ready."""

    async def wait(self) -> int:
        """Return the exit code once the process has ended."""

    async def stop(self) -> None:
        """End it in an orderly way."""

    async def kill(self) -> None:
        """End it at once."""

    async def alive(self) -> bool:
        """Tell whether it deserves to go on; False calls for a restart."""


class ServiceProcess:
    """One of our services: a Python module with an HTTP server for its health."""

    def __init__(
        self,
        name: str,
        module: str,
        url: str,
        *,
        env: Mapping[str, str],
        log_dir: Path,
        work_dir: Path,
        client: httpx.AsyncClient,
    ) -> None:
        self.name = name
        self.url = url
        self._port = urlsplit(url).port or 80
        self._client = client
        self._command = [sys.executable, "-m", module]
        self._env = dict(env)
        self._work_dir = work_dir
        self._log_file = log_dir / f"{name}.log"
        self._child: Child | None = None
        self._was_ready = False

    @property
    def pid(self) -> int:
        """Process id of the last start. Raises RuntimeError when there was none."""
        return self._started.pid

    @property
    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._child

    def respawn(self) -> None:
        """Start the process."""
        self._child = Child(self.name, self._command, log_file=self._log_file, env=self._env, cwd=self._work_dir)

    async def until_ready(self, timeout_seconds: float) -> None:
        """Wait for its first yes on /readyz.

        Raises ServerFailed when it ends instead or takes too long, PortTaken when another program has its port.
        """
        child = self._started
        try:
            async with asyncio.timeout(timeout_seconds):
                # Somebody else on the port might say yes as well.
                while not (listens(child.pid, self._port) and await self._answers("/readyz")):
                    if (code := child.exit_code) is not None:
                        failure = child.failure(f"ended at its start with exit code {code}")
                        raise PortTaken(str(failure)) if self._port_taken(child) else failure
                    await asyncio.sleep(POLL_SECONDS * 2)
        except TimeoutError:
            raise child.failure(f"was not ready after {timeout_seconds:.0f} s") from None
        self._was_ready = True

    def _port_taken(self, child: Child) -> bool:
        return "address already in use" in child.output().lower()

    async def wait(self) -> int:
        """Return the exit code once the process has ended."""
        return await self._started.wait()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to what is left after ten seconds."""
        if self._child is not None:
            await self._child.stop()

    async def kill(self) -> None:
        """SIGKILL."""
        await self._started.kill()

    async def alive(self) -> bool:
        """Ask /healthz, once it has been ready: before that the start is judged, not the life."""
        if not self._was_ready:
            return True
        return await self._answers("/healthz")

    async def _answers(self, path: str) -> bool:
        try:
            return (await self._client.get(f"{self.url}{path}")).is_success
        except httpx.TransportError:
            return False


class Supervisor:
    """Watches units and starts again what ends. `changed` is called whenever a process id is new."""

    def __init__(self, changed: Callable[[], None], probe_every_seconds: float = _PROBE_EVERY_SECONDS) -> None:
        self._changed = changed
        self._probe_every_seconds = probe_every_seconds
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    def watch(self, unit: Unit) -> None:
        """Look after a unit that runs."""
        self._tasks[unit.name] = [
            asyncio.create_task(self._revive(unit), name=f"revive {unit.name}"),
            asyncio.create_task(self._probe(unit), name=f"probe {unit.name}"),
        ]

    async def release(self, unit: Unit) -> None:
        """Stop looking after a unit: from now on it may end."""
        tasks = self._tasks.pop(unit.name, [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _revive(self, unit: Unit) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            pid, code = unit.pid, await unit.wait()
            if time.monotonic() - started > _LIVED_LONG_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            _log.warning("%s (pid %d) ended with %d; starting it again in %.2f s", unit.name, pid, code, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            unit.respawn()
            _log.info("%s is pid %d now", unit.name, unit.pid)
            self._changed()

    async def _probe(self, unit: Unit) -> None:
        failures = 0
        while True:
            await asyncio.sleep(self._probe_every_seconds)
            failures = 0 if await unit.alive() else failures + 1
            if failures == _PROBE_FAILURES:
                _log.warning("%s (pid %d) failed %d probes; killing it", unit.name, unit.pid, failures)
                failures = 0
                await unit.kill()
