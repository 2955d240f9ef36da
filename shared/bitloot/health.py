"""Liveness, readiness and metrics over HTTP.

Components register checks: async callables that return None when all is well, or else the reason, or raise.
`/readyz` runs all of them and answers 503 naming those that fail, so that no traffic comes here. `/healthz`
runs only the vital ones, those that a restart would cure (a dead consumer, not a database that is gone): an
orchestrator kills the process when it stays red. What an advisory check says is told by `/readyz` as a note and
turns nothing red: a database that is newer than the program, as it is while a release rolls out.

Whatever fails when a process starts is logged once, without a probe that asks, and so is that all is well.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from bitloot import log
from bitloot.errors import BitLootError

Check = Callable[[], Awaitable[str | None]]

DEFAULT_TIMEOUT = timedelta(seconds=2)  # probes commonly give up after a few seconds
_FIRST_LOOK = 2.0  # seconds: until then hardly anything has connected
_LOOK_AGAIN = 5.0

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Registered:
    check: Check
    vital: bool
    timeout: timedelta
    advisory: bool


class Gate:
    """A check that is opened and closed by hand, for what is known rather than asked."""

    def __init__(self, reason: str) -> None:
        self._reason: str | None = reason

    def open(self) -> None:
        """All is well from now on."""
        self._reason = None

    def close(self, reason: str) -> None:
        """Fail with this reason from now on."""
        self._reason = reason

    async def __call__(self) -> str | None:
        """Return the reason, or None when open."""
        return self._reason


class Health:
    """The checks of one process."""

    def __init__(self) -> None:
        self._checks: dict[str, _Registered] = {}
        self._failing: dict[str, str] = {}
        self._stopping = False

    def register(
        self,
        name: str,
        check: Check,
        *,
        vital: bool = False,
        advisory: bool = False,
        timeout: timedelta = DEFAULT_TIMEOUT,
    ) -> None:
        """Add a check; `vital` when a restart would cure its failure, `advisory` when its failure is only told.

        Raises ValueError if the name is taken.
        """
        if name in self._checks:
            raise ValueError(f"a check named {name!r} exists")
        self._checks[name] = _Registered(check, vital, timeout, advisory)

    def gate(self, name: str, reason: str) -> Gate:
        """Register and return a gate that is closed for `reason`."""
        gate = Gate(reason)
        self.register(name, gate)
        return gate

    def begin_shutdown(self) -> None:
        """Turn readiness red for good; liveness stays, so that work at hand can end."""
        self._stopping = True

    async def failures(self, *, vital_only: bool = False) -> dict[str, str]:
        """Run the checks side by side; return the name and reason of each that failed."""
        failed = await self._ask(
            {name: each for name, each in self._checks.items() if each.vital or not (vital_only or each.advisory)}
        )
        if self._stopping and not vital_only:
            failed["process"] = "shutting down"
        return failed

    async def notes(self) -> dict[str, str]:
        """Run the advisory checks; return the name and reason of each that has something to tell."""
        return await self._ask({name: each for name, each in self._checks.items() if each.advisory})

    async def announce(self) -> None:
        """Log what fails at first, and once when nothing does."""
        started = time.monotonic()
        await asyncio.sleep(_FIRST_LOOK)
        while await self.failures():  # noqa: ASYNC110 - only the checks know
            await asyncio.sleep(_LOOK_AGAIN)
        _log.info("process.ready", seconds=round(time.monotonic() - started, 1), notes=await self.notes())

    async def _ask(self, chosen: dict[str, _Registered]) -> dict[str, str]:
        reasons = await asyncio.gather(*(_run(each) for each in chosen.values()))
        for name, reason in zip(chosen, reasons, strict=True):
            self._note(name, reason)
        return {name: reason for name, reason in zip(chosen, reasons, strict=True) if reason is not None}

    def _note(self, name: str, reason: str | None) -> None:
        """Log changes only: probes come every few seconds."""
        if reason is not None and name not in self._failing:
            _log.warning("health.failed", check=name, reason=reason)
        elif reason is None and name in self._failing:
            _log.info("health.recovered", check=name)
        if reason is None:
            self._failing.pop(name, None)
        else:
            self._failing[name] = reason


async def _run(registered: _Registered) -> str | None:
    seconds = registered.timeout.total_seconds()
    try:
        async with asyncio.timeout(seconds):
            return await registered.check()
    except TimeoutError:
        return f"no answer in {seconds:g} s"
    except BitLootError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the check failed
        # Texts of foreign errors may hold addresses with passwords; this answer is public.
        return type(error).__name__


def add_routes(app: web.Application, health: Health) -> None:
    """Serve `/healthz`, `/readyz` and `/metrics` from an HTTP service's own application."""

    async def healthz(_request: web.Request) -> web.Response:
        return _answer(await health.failures(vital_only=True), {})

    async def readyz(_request: web.Request) -> web.Response:
        failures, notes = await asyncio.gather(health.failures(), health.notes())
        return _answer(failures, notes)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", _metrics)


def _answer(failures: dict[str, str], notes: dict[str, str]) -> web.Response:
    status = 503 if failures else 200
    body: dict[str, object] = {"status": "failing" if failures else "ok", "failing": failures}
    return web.json_response(
        body | {"notes": notes} if notes else body,
        status=status,
        headers={"Cache-Control": "no-store"},
    )


async def _metrics(request: web.Request) -> web.Response:
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})


@asynccontextmanager
async def announced(health: Health) -> AsyncIterator[None]:
    """Have the log tell, beside what is done, what fails at the start."""
    telling = asyncio.create_task(health.announce())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.wait({telling})


@asynccontextmanager
async def serve(health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Serve health and metrics from a worker without HTTP of its own; yields the port (`port` may be 0)."""
    app = web.Application()
    add_routes(app, health)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = int(runner.addresses[0][1])
        _log.info("health.listening", host=host, port=bound)
        async with announced(health):
            yield bound
    finally:
        health.begin_shutdown()
        await runner.cleanup()
