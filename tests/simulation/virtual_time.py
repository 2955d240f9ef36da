"""An event loop in which waiting costs nothing: when all wait, time jumps to the first that ends."""

import asyncio
import heapq
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

START = datetime(2100, 1, 1, tzinfo=UTC)
"""Far ahead of any real clock, so that a time that comes from one is seen at once."""

_MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")


class Stalled(AssertionError):  # noqa: N818 - it names what happened
    """All tasks wait, and no time is set at which any of them goes on."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs one simulation after the other, each from time 0."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0

    def time(self) -> float:
        return self._seconds

    def _run_once(self) -> None:
        """Do what asyncio's loop does, without sockets, and jump where it would wait."""
        ready: Any = self._ready  # type: ignore[attr-defined]
        scheduled: Any = self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                raise Stalled
            self._seconds = max(self._seconds, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._seconds:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` from time 0 and cut off what it leaves behind."""
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]
        self._seconds = 0.0
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


class Clocks:
    """The time of the loop as dates. A machine's clock may differ from the true time; no two readings are equal.

    Orders tell by its time whether an event is the one that they know already, and real readings differ.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._given: set[int] = set()

    def read(self, ahead: float = 0.0) -> datetime:
        """Return the time on a clock that is so many seconds ahead of the true one."""
        micros = round((self._loop.time() + ahead) * 1e6)
        while micros in self._given:
            micros += 1
        self._given.add(micros)
        return START + micros * _MICROSECOND
