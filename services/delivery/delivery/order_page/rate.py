"""How often one order's keys may be revealed."""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_ORDERS: Final = 10_000  # bounds memory; only orders with a valid link get here


class RevealRate:
    """At most `limit` reveals of an order in any `window` seconds, counted in this process.

    People press the button a few times; more is a script that was given the link. All processes count together
    elsewhere; here a flood is stopped before it gets there.
    """

    def __init__(self, limit: int, window: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.window = window
        self._clock = clock
        self._taken: dict[str, deque[float]] = {}

    def take(self, order: str) -> int:
        """Count one reveal and return 0, or return after how many seconds the next is allowed."""
        now = self._clock()
        # Taken out and put back: the dict's order is then that of the last reveals.
        times = self._taken.pop(order, None) or deque(maxlen=self.limit)
        self._taken[order] = times
        while times and times[0] <= now - self.window:
            times.popleft()
        if len(times) == self.limit:
            return math.ceil(times[0] + self.window - now)
        times.append(now)
        if len(self._taken) > MAX_ORDERS:
            del self._taken[next(iter(self._taken))]
        return 0
