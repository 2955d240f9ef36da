"""An event loop in which waiting costs nothing: when all wait, time jumps to the first that ends."""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

START = datetime(2100, 1, 1, tzinfo=UTC)
"""Far ahead of any real clock, so that a time that comes from one is seen at once."""

T = TypeVar("T")


class Stalled(AssertionError):  # noqa: N818 - it names what happened
    """All tasks wait, and no time is set at which any of them goes on."""


class _Jump(selectors.DefaultSelector):
    """Moves the clock on instead of waiting for input."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stalled
        self.seconds += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs one simulation after the other, each from time 0."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jump.seconds

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` from time 0 and cut off what it leaves behind."""
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]
        self._jump.seconds = 0.0
        asyncio.set_event_loop(self)
        try:
            return self.run_until_complete(main)
        finally:
            for _ in range(20):  # a cancelled task may have to be cancelled in several of its waits
                left = asyncio.all_tasks(self)
                if not left:
                    break
                for task in left:
                    task.cancel()
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            asyncio.set_event_loop(None)


class VirtualClock:
    """The time of the loop as a date; no two calls give the same."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._last = START

    def __call__(self) -> datetime:
        self._last = max(self._last + timedelta(microseconds=1), START + timedelta(seconds=self._loop.time()))
        return self._last
