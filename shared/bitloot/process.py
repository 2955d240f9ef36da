"""The life of a process: read settings, log, run until a signal or until something failed for good."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine
from typing import TypeVar

from bitloot import crash_points, log, metrics, tracing
from bitloot.settings import Settings

S = TypeVar("S", bound=Settings)


_YOUNG_OBJECTS = 20_000


def run(
    service: str,
    settings: type[S],
    serve: Callable[[S, asyncio.Event], Coroutine[None, None, None]],
    *,
    young_objects: int = _YOUNG_OBJECTS,
) -> None:
    """Be the process `service`; call once, from `__main__`.

    `serve` gets the settings and an event that SIGTERM and SIGINT set. What it raises ends the process with a
    traceback in the log and a status that makes an orchestrator start it again. Cycles are looked for when there are
    `young_objects` more than before: several times what is alive between two pieces of work, or it finds nothing else.
    """
    _rest_the_collector(young_objects)
    loaded = settings.load()
    log.configure(service, loaded.service_instance, loaded.log_level)
    metrics.announce(service)
    crash_points.watch(loaded.crash_points, service, loaded.service_instance)

    async def until_signal() -> None:
        stop = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        await serve(loaded, stop)

    with tracing.exported(service, loaded), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(until_signal())


def _rest_the_collector(young_objects: int) -> None:
    """Look for cycles seldom, and never in what the imports have made: they stay, and are most of all objects.

    At the default of 700 new objects the orders agent spent a twentieth of its time in it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(young_objects, 20, 20)


async def until(stop: asyncio.Event, *work: Coroutine[None, None, None]) -> None:
    """Do all of `work` until `stop` is set, or until one of it ends; raises what that one raised."""
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(each) for each in (stop.wait(), *work)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's, or None for the standard one."""
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - optional: not built for every platform

        return uvloop.new_event_loop
    return None
