"""Keeps calls to a provider under its rate, as its own answers tell it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from bitloot import rate_limit
from bitloot.errors import Cause, Transient

MAX_WAIT_SECONDS: Final = 5.0
"""Longest wait for a turn: whoever waits here occupies the worker, which has keys to store as well. What
comes later waits in the order's own durable retry."""


_SHARED_WAIT_SECONDS: Final = 3.0
_LONGEST_HOLD: Final = 900.0  # seconds, as for the limit that all share
_SLOWEST: Final = 60.0  # seconds between two calls
"""Whatever a provider says, it is asked again: only its next answer can say something else."""


class Pace:
    """Spaces calls evenly and stops them for as long as the provider asks.

    Starts at `per_second` and takes over whatever `ratelimit-limit` says, because the limit is per team and
    has changed before. Each process paces itself only; what several processes send too much is answered
    with 429, which holds them all.
    """

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._interval = 1 / per_second
        self._next = 0.0
        self._waiting = 0
        self._queue = asyncio.Lock()  # first come, first served

    @property
    def per_second(self) -> float:
        """Calls per second, as far as is known."""
        return round(1 / self._interval, 6)

    async def turn(self) -> None:
        """Wait for this caller's turn; raises `Transient` at once when that would take too long."""
        ahead = max(self._next - self._clock(), 0.0) + self._waiting * self._interval
        if ahead > MAX_WAIT_SECONDS:
            raise Transient(Cause.RATE_LIMITED, f"{self._waiting} calls wait here already")
        self._waiting += 1
        try:
            async with self._queue:
                while (wait := self._next - self._clock()) > 0:  # again: a hold may come meanwhile
                    await self._sleep(wait)
                self._next = self._clock() + self._interval
        finally:
            self._waiting -= 1

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take over the limit that an answer states, and wait out a window that is used up."""
        limit = seconds(headers.get("ratelimit-limit"))
        if limit:
            self._interval = min(1 / limit, _SLOWEST)
        if seconds(headers.get("ratelimit-remaining")) == 0:
            self.hold(seconds(headers.get("ratelimit-reset")) or 0.0)

    def hold(self, duration: float) -> None:
        """Let nobody call for `duration` seconds, but for a quarter of an hour at most."""
        self._next = max(self._next, self._clock() + min(duration, _LONGEST_HOLD))


class Turns(Protocol):
    """Where mails queue."""

    async def turn(self) -> None:
        """Return when it is this caller's turn; raises `Transient` when that would take too long."""
        ...


class SharedPace:
    """Turns that all workers share, and of those in this process only as many as the provider's answers allow."""

    def __init__(self, local: Pace, shared: rate_limit.Pace) -> None:
        self._local = local
        self._shared = shared

    async def turn(self) -> None:
        """See `Turns.turn`."""
        await self._shared.acquire(_SHARED_WAIT_SECONDS)
        await self._local.turn()


def shared_rate(per_second: float) -> rate_limit.Rate:
    """Return the rate for a number of mails a second; said over ten, a short window leaves little room to be late."""
    return rate_limit.Rate(max(1, round(per_second * 10)), per=10.0)


def seconds(header: str | None) -> float | None:
    """Return a header's plain number of at least 0, or None where there is none."""
    try:
        number = float(header) if header else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
