"""Carries out what was planned, on the processes and the sandbox of one stack."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import psutil

from bitloot import crash_points
from bitloot.crash_points import Hit
from chaos.plan import Action, Arm, Kill, Outage, Pause, Restart, RevokeTokens, Rule, Weather
from chaos.takeover import Away, Blow

_LOOK_SECONDS = 0.05
_VICTIM_SECONDS = 10.0
"""So long may a process that is to be killed be dead already; then the next kill comes soon enough."""
_STOPS: Final = {"kafka": signal.SIGTERM, "postgres": signal.SIGINT, "s3": signal.SIGTERM}
# PostgreSQL calls it "immediate": a crash that leaves none of its many processes behind.
_CRASHES: Final = {"kafka": signal.SIGKILL, "postgres": signal.SIGQUIT, "s3": signal.SIGKILL}


class Saboteur:
    """Does the damage and undoes it.

    `done` counts the deeds by kind, `blows` are those to services, `away` when servers did not answer, `hits` what the
    sandbox did wrong. `standing` rules hold all the time, also when everything is healed.
    """

    def __init__(
        self,
        run_dir: Path,
        stack: Mapping[str, Any],
        client: httpx.AsyncClient,
        tell: Callable[[str], None],
        standing: Sequence[Rule] = (),
    ) -> None:
        self._run_dir = run_dir
        self._sandbox = stack["sandbox_url"]
        self._ports = {
            "kafka": urlsplit(f"//{stack['kafka']}").port,
            "postgres": urlsplit(stack["postgres"]).port,
            "s3": urlsplit(stack["s3_endpoint"]).port,
        }
        self._client = client
        self._tell = tell
        self._standing = [dict(rule) for rule in standing]
        self._stopped: set[psutil.Process] = set()
        self.done: Counter[str] = Counter()
        self.blows: list[Blow] = []
        self.away: list[Away] = []
        self.hits: Counter[str] = Counter()

    @property
    def crashes(self) -> Sequence[Hit]:
        """Who died at which crash point."""
        return crash_points.hits(crash_directory(self._run_dir))

    async def begin(self) -> None:
        """Set what holds all the time."""
        await self._sandbox_call("PUT", "_faults", {"rules": self._standing})

    async def follow(self, plan: Sequence[Action]) -> None:
        """Carry out a schedule, each action at its time from now."""
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for action in plan:
                await asyncio.sleep(begun + action.at - time.monotonic())
                group.create_task(self._carry_out(action))

    async def heal(self) -> None:
        """Wake what sleeps and let the providers behave. Crash points stay armed, for much is only done now."""
        self.wake_all()
        await self._collect_hits()
        await self._sandbox_call("PUT", "_faults", {"rules": self._standing})
        await self._sandbox_call("DELETE", "_settings", None)

    def disarm(self) -> None:
        """Let nobody die at a crash point any more."""
        crash_points.disarm(crash_directory(self._run_dir))

    def wake_all(self) -> None:
        """Send SIGCONT to whatever was stopped."""
        while self._stopped:
            _send(self._stopped.pop(), signal.SIGCONT)

    async def _carry_out(self, action: Action) -> None:
        match action:
            case Kill():
                await self._kill(action)
            case Arm():
                crash_points.arm(crash_directory(self._run_dir), action.point)
            case Restart():
                self._strike(action.target, 0, _STOPS[action.target], "restart")
                await self._until_back(action.target)
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
            return None
        self.done[f"{deed} {target}"] += 1
        if target not in self._ports:
            instance = f"{target}-{number % len(pids(self._run_dir)[target]) + 1}"  # they are in this order
            self.blows.append(Blow(target, instance, datetime.now(UTC), frozen=what is signal.SIGSTOP))
        self._tell(f"{deed} {target} (pid {process.pid})")
        return process

    async def _kill(self, action: Kill) -> None:
        """Kill, and where the victim is being started again after another death, wait for it."""
        deadline = time.monotonic() + _VICTIM_SECONDS
        while self._strike(action.target, action.number, signal.SIGKILL, "kill") is None:
            if time.monotonic() > deadline:
                return self._tell(f"kill {action.target}: not running")
            await asyncio.sleep(_LOOK_SECONDS)
        return None

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
        await self._until_back(action.target, action.seconds)

    async def _until_back(self, server: str, already: float = 0.0) -> None:
        """Note how long a server did not answer; `already` so many seconds."""
        since = datetime.now(UTC) - timedelta(seconds=already)
        await asyncio.sleep(_LOOK_SECONDS)  # its end takes a moment too
        while not await _answers(self._ports[server]):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK_SECONDS)
        self.away.append(Away(server, since, datetime.now(UTC)))

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
        await self._sandbox_call("PUT", "_faults", {"rules": [*self._standing, *map(dict, weather.rules)]})
        rules = ", ".join(f"{r['provider']}.{r['call']} {r['kind']} x{r['count']}" for r in weather.rules)
        self._tell(f"weather: {rules}")
        self.done["weather"] += 1

    async def _collect_hits(self) -> None:
        """Count what happened under the rules that are about to go."""
        answer = await self._client.get(f"{self._sandbox}/_faults")
        for rule in answer.raise_for_status().json()["rules"]:
            kind = "sold out" if "orderId" in rule else rule["kind"]
            self.hits[f"{rule['provider']} {kind}"] += rule["hits"]

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


def crash_directory(run_dir: Path) -> Path:
    """Return where the services of a stack look at which crash points to die."""
    return run_dir / "crash-points"


async def _answers(port: int | None) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
