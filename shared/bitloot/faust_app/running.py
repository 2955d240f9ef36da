"""Run an app until it is told to stop; end the process at once when anything in it has failed."""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from bitloot import log, metrics
from bitloot.faust_app.app import App
from bitloot.health import Health

EXIT_CRASHED = 70  # EX_SOFTWARE of sysexits.h: an orchestrator starts the process again

_STOP_SECONDS = 25.0
_TICK_SECONDS = 0.25
_GAUGES_SECONDS = 1.0
_WATCH_SECONDS = 10.0
_STALL_SECONDS = 60.0  # an event takes milliseconds, a rebalance seconds
_RECOVERY_SECONDS = 600.0  # a changelog from its beginning

_log = log.get(__name__)

Background = Callable[[], Awaitable[None]]
"""Work beside the agents, until canceled. When it ends or raises, the process ends."""


class BackgroundEnded(RuntimeError):  # noqa: N818 - it names what happened
    """Background work returned though the process goes on."""


class Stalled(RuntimeError):  # noqa: N818 - it names what happened
    """Events wait, and none is done: a new process begins where this one stands."""


async def run(app: App, stop: asyncio.Event, background: Sequence[Background] = ()) -> None:
    """Run the app until `stop` is set; then finish what is in work, commit and leave the group.

    Does not return when anything has failed: the process exits with `EXIT_CRASHED`, on purpose without the
    clean stop, which would commit.
    """
    starting = asyncio.ensure_future(app.start())
    starting.add_done_callback(lambda done: _note_start(app, done))
    ours: tuple[Background, ...] = (partial(_tick, app), partial(watch_heads, app))
    tasks = [asyncio.ensure_future(_guarded(app, work)) for work in (*background, *ours)]
    stopping = asyncio.ensure_future(stop.wait())
    ends: set[asyncio.Future[Any]] = {stopping, app.guard.failed}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        _die_if_failed(app)
        await _stop(app)
        _die_if_failed(app)
    finally:
        for task in (starting, stopping, *tasks):
            task.cancel()
        await asyncio.gather(starting, stopping, *tasks, return_exceptions=True)


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


async def _tick(app: App) -> None:
    gauges_at = 0.0
    while True:
        app.guard.tick(app.sends.oldest)
        if time.monotonic() - gauges_at >= _GAUGES_SECONDS:
            gauges_at = time.monotonic()
            _set_gauges(app)
        await asyncio.sleep(_TICK_SECONDS)


async def watch_heads(app: App, *, every: float = _WATCH_SECONDS, limit: float = _STALL_SECONDS) -> None:
    """Raise `Stalled` when a partition stands still though the broker has more, whatever the reason may be.

    Looks `every` so many seconds; `limit` is in seconds too.
    """
    since: dict[TP, tuple[int, float]] = {}
    while True:
        await asyncio.sleep(every)
        behind: dict[TP, int] = {}
        if app.safe_consumer is not None and app.ready:
            with contextlib.suppress(KafkaError, TimeoutError):  # of a broker that is away
                async with asyncio.timeout(every):
                    behind = await app.safe_consumer.behind()
        now = time.monotonic()
        since = {tp: since[tp] if since.get(tp, (None,))[0] == head else (head, now) for tp, head in behind.items()}
        stalled = [f"{tp.topic}/{tp.partition} at {head}" for tp, (head, at) in since.items() if now - at > limit]
        if stalled:
            raise Stalled(", ".join(stalled))


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


def _set_gauges(app: App) -> None:
    metrics.TABLES_RECOVERED.set(app.ready)
    consumer = app.safe_consumer
    if consumer is None or not app.ready:
        return
    metrics.COMMIT_AGE_SECONDS.labels(app.conf.id).set(consumer.uncommitted_seconds())
    for tp, head in consumer.heads().items():
        if head >= 0 and (end := consumer.highwater(tp)) is not None:
            metrics.CONSUMER_LAG.labels(tp.topic, str(tp.partition)).set(max(0, end - head))


def register(app: App, health: Health) -> None:
    """Add the checks of a Faust process: ready when tables are restored, alive while it works."""
    unready_since: float | None = None

    async def check_ready() -> str | None:
        return None if app.ready else "rebalancing or restoring tables"

    async def check_alive() -> str | None:
        nonlocal unready_since
        if app.guard.error is not None:
            return f"failed: {type(app.guard.error).__name__}"
        now, consumer = time.monotonic(), app.safe_consumer
        unready_since = None if app.ready else (unready_since or now)
        if unready_since is not None:
            return "restoring tables takes too long" if now - unready_since > _RECOVERY_SECONDS else None
        if consumer is None:
            return None
        if consumer.in_work.oldest > _STALL_SECONDS:
            return f"an event has been in work for {consumer.in_work.oldest:.0f} s"
        uncommitted = consumer.uncommitted_seconds()
        return f"nothing committed for {uncommitted:.0f} s" if uncommitted > _STALL_SECONDS else None

    health.register("tables", check_ready)
    health.register("faust", check_alive, vital=True)
