"""Carries out what was planned, on the processes and the sandbox of one stack."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import psutil

from chaos.plan import Action, Kill, Outage, Pause, Restart, RevokeTokens, Weather

_LOOK_SECONDS = 0.05
_STOPS: Final = {"kafka": signal.SIGTERM, "postgres": signal.SIGINT, "s3": signal.SIGTERM}
# PostgreSQL calls it "immediate": a crash that leaves none of its many processes behind.
_CRASHES: Final = {"kafka": signal.SIGKILL, "postgres": signal.SIGQUIT, "s3": signal.SIGKILL}


class Saboteur:
    """Does the damage and undoes it. `done` counts the deeds by kind, `struck` has when and what was hit."""

    def __init__(self, run_dir: Path, sandbox_url: str, client: httpx.AsyncClient, tell: Callable[[str], None]) -> None:
        self._run_dir = run_dir
        self._sandbox = sandbox_url
        self._client = client
        self._tell = tell
        self._stopped: set[psutil.Process] = set()
        self.done: Counter[str] = Counter()
        self.struck: list[tuple[datetime, str]] = []
        self.hits: Counter[str] = Counter()

    async def follow(self, plan: Sequence[Action]) -> None:
        """Carry out a schedule, each action at its time from now."""
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for action in plan:
                await asyncio.sleep(begun + action.at - time.monotonic())
                group.create_task(self._carry_out(action))

    async def heal(self) -> None:
        """Wake what sleeps and let the providers behave."""
        self.wake_all()
        await self._collect_hits()
        for path in ("_faults", "_settings"):
            (await self._client.delete(f"{self._sandbox}/{path}")).raise_for_status()

    def wake_all(self) -> None:
        """Send SIGCONT to whatever was stopped."""
        while self._stopped:
            _send(self._stopped.pop(), signal.SIGCONT)

    async def _carry_out(self, action: Action) -> None:
        match action:
            case Kill():
                self._strike(action.target, action.number, signal.SIGKILL, "kill")
            case Restart():
                self._strike(action.target, 0, _STOPS[action.target], "restart")
            case Outage():
                await self._outage(action)
            case Pause():
                await self._pause(action)
            case Weather():
                await self._change_weather(action)
            case RevokeTokens():
                await self._sandbox_call("DELETE", "_tokens", None)
                self.done["tokens revoked"] += 1

    def _strike(self, target: str, number: int, what: signal.Signals, deed: str) -> psutil.Process | None:
        process = self._process(target, number)
        if process is None or not _send(process, what):
            self._tell(f"{deed} {target}: not running")
            return None
        self.done[f"{deed} {target}"] += 1
        self.struck.append((datetime.now(UTC), target))
        self._tell(f"{deed} {target} (pid {process.pid})")
        return process

    async def _outage(self, action: Outage) -> None:
        crash = _CRASHES[action.target]
        struck = self._strike(action.target, 0, crash, "outage" if action.seconds else "crash")
        end = time.monotonic() + action.seconds
        while time.monotonic() < end:
            process = self._process(action.target, 0)
            if process is not None and process != struck and _send(process, crash):
                struck = process
            await asyncio.sleep(_LOOK_SECONDS)
        if action.seconds:
            self._tell(f"{action.target} may come back after {action.seconds:.0f} s")

    async def _pause(self, action: Pause) -> None:
        process = self._strike(action.target, action.number, signal.SIGSTOP, "pause")
        if process is None:
            return
        self._stopped.add(process)
        await asyncio.sleep(action.seconds)
        self._stopped.discard(process)
        if _send(process, signal.SIGCONT):  # else it was killed in its sleep
            self._tell(f"woke {action.target} (pid {process.pid}) after {action.seconds:.0f} s")

    async def _change_weather(self, weather: Weather) -> None:
        await self._collect_hits()
        await self._sandbox_call("PUT", "_settings", dict(weather.dials))
        await self._sandbox_call("PUT", "_faults", {"rules": [dict(rule) for rule in weather.rules]})
        rules = ", ".join(f"{r['provider']}.{r['call']} {r['kind']} x{r['count']}" for r in weather.rules)
        self._tell(f"weather: {rules}")
        self.done["weather"] += 1

    async def _collect_hits(self) -> None:
        """Count what happened under the rules that are about to go."""
        answer = await self._client.get(f"{self._sandbox}/_faults")
        for rule in answer.raise_for_status().json()["rules"]:
            self.hits[f"{rule['provider']} {rule['kind']}"] += rule["hits"]

    async def _sandbox_call(self, method: str, path: str, body: object) -> None:
        (await self._client.request(method, f"{self._sandbox}/{path}", json=body)).raise_for_status()

    def _process(self, target: str, number: int) -> psutil.Process | None:
        """Return a running process of the stack, None when there is none, as in the moment after its end.

        Only a descendant of the stack's own supervisor: a number in a file may belong to somebody else by now.
        """
        pids = json.loads((self._run_dir / "stack.json").read_text())["pids"].get(target, [])
        if not pids:
            return None
        supervisor = json.loads((self._run_dir / "supervisor.json").read_text())["pid"]
        try:
            process = psutil.Process(pids[number % len(pids)])
            ours = any(parent.pid == supervisor for parent in process.parents())
            return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def _send(process: psutil.Process, what: signal.Signals) -> bool:
    try:
        process.send_signal(what)
    except psutil.NoSuchProcess:
        return False
    return True


def pids(run_dir: Path) -> dict[str, list[int]]:
    """Return the process ids of a stack by name, as they are now."""
    known: dict[str, list[int]] = json.loads((run_dir / "stack.json").read_text())["pids"]
    return known
