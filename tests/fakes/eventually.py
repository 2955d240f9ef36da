"""Waiting for something that happens in another process."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds: no measure of anything, but of how slow a busy machine may be before we call a condition false."""


def eventually(condition: Callable[[], T], *, seconds: float = PATIENCE) -> T:
    """Return the first truthy answer of `condition`; fail the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"it did not become true within {seconds:.0f} s"
        time.sleep(0.01)
    return answer


async def eventually_async(condition: Callable[[], T], *, seconds: float = PATIENCE) -> T:
    """The same, letting other tasks run meanwhile."""
    async with asyncio.timeout(seconds):
        while not (answer := condition()):
            await asyncio.sleep(0.01)
    return answer
