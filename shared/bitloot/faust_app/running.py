"""Run an app until it is told to stop; end the process at once when anything in it has failed."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bitloot import log, metrics
from bitloot.faust_app.app import App
from bitloot.health import Health

EXIT_CRASHED = 70  # EX_SOFTWARE of sysexits.h: an orchestrator starts the process again

_STOP_SECONDS = 25.0

_log = log.get(__name__)

Background = Callable[[], Awaitable[None]]
"""Work beside the agents, until canceled. When it ends or raises, the process ends."""


class BackgroundEnded(RuntimeError):  # noqa: N818 - it names what happened
    """Background work returned though the process goes on."""


async def run(app: App, stop: asyncio.Event, background: Sequence[Background] = ()) -> None:
    """Wait for a broker, then run the app until `stop` is set; then finish what is in work, commit, leave the group.

    Does not return when anything has failed: the process exits with `EXIT_CRASHED`, on purpose without the
    clean stop, which would commit. When a log was lost it stays for a while, for people to see, and the next one
    looks again.
    """
    starting = asyncio.ensure_future(_start(app))
    starting.add_done_callback(lambda done: _note_start(app, done))
    ours: tuple[Background, ...] = (app.watch.look, app.watch.tick, app.standbys.run)
    looking, *tasks = [asyncio.ensure_future(_guarded(app, work)) for work in (*ours, *background)]
    stopping = asyncio.ensure_future(stop.wait())
    ends: set[asyncio.Future[Any]] = {stopping, app.guard.failed}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        looking.cancel()  # it asks through a consumer that is about to end
        await asyncio.wait({looking})
        if app.lost is not None:
            await _refuse(app, stopping)
        _die_if_failed(app)
        if app.cluster is not None:
            await _stop(app)
        _die_if_failed(app)
    finally:
        for task in (starting, stopping, looking, *tasks):
            task.cancel()
        await asyncio.gather(starting, stopping, looking, *tasks, return_exceptions=True)


async def _start(app: App) -> None:
    await app.meet()
    await app.start()


async def _refuse(app: App, stopping: asyncio.Future[Any]) -> None:
    """Stay, with red health, and do nothing. The guard has seen to it that nothing is committed or written."""
    _log.critical("faust.refused", reason=str(app.lost))
    metrics.LOG_LOST.labels(app.conf.id).set(1)
    if app.cluster is not None:
        await _stop(app)  # out of the group: others may know better
    await asyncio.wait({stopping}, timeout=app.watch.limits.refused)


def _note_start(app: App, started: asyncio.Future[None]) -> None:
    if not started.cancelled() and (error := started.exception()) is not None:
        app.guard.fail(error)


async def _guarded(app: App, work: Background) -> None:
    try:
        await work()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        app.guard.fail(error)
        raise
    app.guard.fail(BackgroundEnded(getattr(work, "__qualname__", repr(work))))


async def _stop(app: App) -> None:
    _log.info("faust.stopping")
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await app.stop()
    except TimeoutError as error:
        app.guard.fail(error)


def _die_if_failed(app: App) -> None:
    error = app.guard.error
    if error is not None:
        _log.critical("faust.crashed", error=repr(error), exc_info=error)
        os._exit(EXIT_CRASHED)


def register(app: App, health: Health) -> None:
    """Add the checks of a Faust process."""
    app.watch.register(health)
