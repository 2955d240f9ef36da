"""Runs a process until it is asked to end."""

import asyncio
import signal
from collections.abc import Callable, Coroutine

from bitloot.http import loop_factory


def run(serve: Callable[[asyncio.Event], Coroutine[None, None, None]]) -> None:
    """Run `serve` with an event that SIGTERM and SIGINT set; call once, from `__main__`."""

    async def until_signal() -> None:
        stop = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        await serve(stop)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(until_signal())
