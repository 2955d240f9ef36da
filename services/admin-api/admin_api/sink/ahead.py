"""One piece of work that goes on while the next is prepared."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Self


class OneAhead:
    """Runs one coroutine beside its owner, and never two. What it raises comes out at the next `begin` or `settle`.

    Leaving waits for it; leaving by an exception cancels it, and only that exception is told.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if kind is None:
            await self.settle()
        elif self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.exception()  # taken, or asyncio would tell of it once more

    async def begin(self, work: Coroutine[None, None, None]) -> None:
        """Start work once what was started before has ended. Raises what that did; `work` is not started then."""
        try:
            await self.settle()
        except BaseException:
            work.close()
            raise
        self._task = asyncio.create_task(work)

    async def settle(self) -> None:
        """Wait for what was started. Raises what it did."""
        if (task := self._task) is not None:
            await task
            self._task = None
