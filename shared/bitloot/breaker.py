"""A circuit breaker: a provider that is away is left alone for a while, and then asked by one call first.

closed      calls pass; too many failures among those of the last seconds open it
open        calls fail at once, before anything has left; after a pause, which doubles each time, it is half-open
half-open   one call passes; its success closes, its failure opens again, the others fail at once

It lives in one process: each finds out by itself, and none needs another part to be up for that.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from bitloot import log
from bitloot.errors import Cause, Transient
from bitloot.health import Health
from bitloot.metrics import BREAKER_OPEN, BREAKER_OPENED

_MAX_PAUSE: Final = 60.0  # seconds
_SHOWN: Final = {"closed": 0.0, "half_open": 0.5, "open": 1.0}

_log = log.get(__name__)


class State(StrEnum):
    """What happens to calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Attempt:
    """One call that was let through. Tell what became of it; a call that was given up says nothing."""

    def __init__(self, note: Callable[[bool], None]) -> None:
        self._note = note
        self.told = False

    def answered(self) -> None:
        """Tell that the provider is there, whatever it said."""
        self._tell(away=False)

    def away(self) -> None:
        """Tell that the provider could not be reached, did not answer in time, or failed inside (5xx)."""
        self._tell(away=True)

    def _tell(self, *, away: bool) -> None:
        if not self.told:
            self.told = True
            self._note(away)


class CircuitBreaker:
    """Guards the calls to one provider."""

    def __init__(
        self,
        provider: str,
        *,
        failures: int = 10,
        within: float = 30.0,
        pause: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open after `failures` in `within` seconds, if half of all calls failed; for `pause` seconds at first."""
        self._provider = provider
        self._failures = failures
        self._within = within
        self._first_pause = self._pause = pause
        self._clock = clock
        self._heard: deque[tuple[float, bool]] = deque()
        self._failed = 0
        self._opens_at: float | None = None
        self._trying = False
        BREAKER_OPEN.labels(provider).set(0)
        BREAKER_OPENED.labels(provider)  # shown from the start, as 0

    @property
    def state(self) -> State:
        """Tell what happens to the next call."""
        if self._opens_at is None:
            return State.CLOSED
        return State.OPEN if self._clock() < self._opens_at else State.HALF_OPEN

    def register(self, health: Health) -> None:
        """Turn `/readyz` red while it is open: nothing that a restart would cure."""
        health.register(f"breaker:{self._provider}", self._check)

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """Let a call through, or raise `Transient(PROVIDER_UNAVAILABLE)`, which says when to come back."""
        trying = self._enter()
        # What calls of before it opened have to say is late: only the one that tries is listened to then.
        attempt = Attempt(self._tried if trying else self._heard_of)
        try:
            yield attempt
        finally:
            if trying and not attempt.told:
                self._trying = False  # given up by us: the next call may try

    def _heard_of(self, away: bool) -> None:  # noqa: FBT001 - one of two words
        if self._opens_at is not None:
            return
        now = self._clock()
        self._heard.append((now, away))
        self._failed += away
        while self._heard[0][0] <= now - self._within:
            self._failed -= self._heard.popleft()[1]
        if self._failed >= self._failures and 2 * self._failed >= len(self._heard):
            self._open(now)

    def _tried(self, away: bool) -> None:  # noqa: FBT001 - see above
        self._trying = False
        if away:
            self._pause = min(2 * self._pause, _MAX_PAUSE)
            self._open(self._clock())
        else:
            self._close()

    def _enter(self) -> bool:
        """Return whether this call is the one that tries."""
        if self._opens_at is None:
            return False
        left = self._opens_at - self._clock()
        if left > 0 or self._trying:
            # While another one tries: its answer or its time-out is not far.
            wait = max(left, self._first_pause / 2)
            detail = f"{self._provider} is left alone: it did not answer before"
            raise Transient(Cause.PROVIDER_UNAVAILABLE, detail, retry_after=wait)
        self._trying = True
        BREAKER_OPEN.labels(self._provider).set(_SHOWN[State.HALF_OPEN])
        return True

    def _open(self, now: float) -> None:
        self._opens_at = now + self._pause
        self._heard.clear()
        self._failed = 0
        BREAKER_OPEN.labels(self._provider).set(_SHOWN[State.OPEN])
        BREAKER_OPENED.labels(self._provider).inc()
        _log.warning("breaker.opened", provider=self._provider, pause=self._pause)

    def _close(self) -> None:
        self._opens_at = None
        self._pause = self._first_pause
        BREAKER_OPEN.labels(self._provider).set(_SHOWN[State.CLOSED])
        _log.info("breaker.closed", provider=self._provider)

    async def _check(self) -> str | None:
        return None if self._opens_at is None else f"{self._provider} does not answer"
