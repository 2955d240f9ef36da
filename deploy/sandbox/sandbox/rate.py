"""A limit of calls a minute, as providers count them for one account."""

import math
from collections import defaultdict, deque

from sandbox.clock import Clock

_WINDOW = 60.0


class RateLimit:
    """Counts the calls of the last 60 seconds. Refused calls do not count: who waits gets through."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: defaultdict[str, deque[float]] = defaultdict(deque)

    def wait(self, account: str, limit: int) -> int:
        """Count a call of `account`; return 0, or the whole seconds to wait when there were `limit` already.

        A limit of 0 refuses nothing.
        """
        if not limit:
            return 0
        now, calls = self._clock(), self._calls[account]
        while calls and calls[0] <= now - _WINDOW:
            calls.popleft()
        if len(calls) >= limit:
            # The oldest that must have gone: the limit may have been turned down meanwhile.
            return max(1, math.ceil(calls[len(calls) - limit] + _WINDOW - now))
        calls.append(now)
        return 0
