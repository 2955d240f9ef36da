"""Waiting for one's turn."""

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from bitloot import log
from bitloot.errors import Cause, Transient
from bitloot.metrics import RATE_LIMIT_PERMITS, RATE_LIMIT_TURNED_AWAY
from bitloot.rate_limit.row import HORIZON_SECONDS, MAX_PAUSE_SECONDS, Lease, SharedRow

_ASK_SECONDS: Final = 2.0  # a slower Postgres counts as away
_ALONE_SECONDS: Final = 5.0  # until Postgres is asked again after it was away
_LEAST_PAUSE: Final = 0.01
_FIRST_PAUSE: Final = 1.0  # after a 429 that names no time
_LEASE_SECONDS: Final = 0.1  # the largest lease is what the rate allows in this time

_log = log.get(__name__)


class Pace(Protocol):
    """What a client of a provider needs of a limit."""

    async def acquire(self, within: float) -> None:
        """Return when a call may leave. Raises `Transient` when that is not so `within` so many seconds."""
        ...

    async def back_off(self, retry_after: float | None) -> None:
        """Take note that the provider has refused a call because there were too many; `retry_after` in seconds."""
        ...


class Unpaced:
    """A `Pace` that never waits."""

    async def acquire(self, within: float) -> None:
        """See `Pace.acquire`."""

    async def back_off(self, retry_after: float | None) -> None:
        """See `Pace.back_off`."""


@dataclass(frozen=True, slots=True)
class _Permit:
    """May be used from one time of the loop to the other."""

    opens: float
    ends: float


class RateLimit:
    """A `Pace` over a row that all workers of an account share.

    Callers of this process have their turns in the order in which they came. Workers ask the row about equally often,
    and none is given more than a tenth of a second's permits at once, so none is starved.
    """

    def __init__(self, row: SharedRow, *, share: float = 0.1) -> None:
        """`share` is the part of the rate that this process takes alone while Postgres is away."""
        self._row = row
        self._rate = row.rate
        self._share = share
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._permits: deque[_Permit] = deque()
        self._prefetch = 0
        self._closed_until = 0.0
        self._alone_until = 0.0
        self._alone_next = 0.0
        self._return_at = 0.0
        self._step = self._rate.interval  # between two permits, as the row told last

    async def acquire(self, within: float) -> None:
        """See `Pace.acquire`. The error's `retry_after` spreads those who are turned away over the time to come."""
        deadline = _now() + within
        if self._closed_until > deadline:
            raise self._turned_away()
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline), self._turn:
                await self._take(deadline)
        except TimeoutError:
            raise self._turned_away() from None
        finally:
            self._waiting -= 1

    async def back_off(self, retry_after: float | None) -> None:
        """See `Pace.back_off`. Never raises: this process at least waits, and others have 429s of their own."""
        pause = min(_FIRST_PAUSE if retry_after is None else retry_after, MAX_PAUSE_SECONDS)
        self._permits.clear()
        self._prefetch = 0
        self._closed_until = max(self._closed_until, _now() + pause)
        _log.warning("rate_limit.exceeded", limit=self._row.name, pause=pause)
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                await self._row.slow_down(pause)
        except (Transient, TimeoutError):
            _log.warning("rate_limit.not_shared", limit=self._row.name)

    async def _take(self, deadline: float) -> None:
        """Use up one permit, at its time."""
        while True:
            if (closed := self._closed_until - _now()) > 0:
                if self._closed_until > deadline:
                    raise self._turned_away()
                await asyncio.sleep(closed)
            while self._permits:
                permit = self._permits.popleft()
                if (early := permit.opens - _now()) > 0:
                    await asyncio.sleep(early)
                if _now() < min(permit.ends, deadline) and _now() >= self._closed_until:
                    return
                self._prefetch = 0  # they came too late, or nobody wanted them
            await self._lease()

    async def _lease(self) -> None:
        """Get permits, or learn until when there are none."""
        most = max(1, int(_LEASE_SECONDS / self._rate.interval))
        wanted = min(self._waiting + self._prefetch, most)
        asked_at = _now()
        lease = await self._ask(wanted)
        arrived_at = _now()
        for number in range(lease.permits):
            due_in = max(lease.first_in + number * lease.step, 0.0)
            # The database answered between the two times: not before the one, not after the other.
            self._permits.append(_Permit(arrived_at + due_in, asked_at + due_in + self._rate.lease_life))
        # Leases grow while they are used up in time, so that busy workers ask less often.
        self._prefetch = min(2 * self._prefetch + 1, most)
        if not lease.permits:
            # All workers wait for the same moment: some chance keeps them from asking in the same order each time.
            ahead = random.uniform(0, HORIZON_SECONDS)  # noqa: S311 - no secret
            self._closed_until = max(self._closed_until, arrived_at + max(lease.first_in - ahead, _LEAST_PAUSE))

    async def _ask(self, wanted: int) -> Lease:
        if _now() >= self._alone_until:
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    lease = await self._row.lease(wanted)
            except (Transient, TimeoutError) as error:
                _log.warning("rate_limit.alone", limit=self._row.name, reason=str(error) or "no answer")
                self._alone_until = _now() + _ALONE_SECONDS
            else:
                RATE_LIMIT_PERMITS.labels("shared").inc(lease.permits)
                self._step = lease.step
                return lease
        step = self._rate.interval / self._share
        self._step = step
        first_in = self._alone_next - _now()
        if first_in > 0:
            return Lease(0, first_in, step)
        self._alone_next = _now() + step
        RATE_LIMIT_PERMITS.labels("alone").inc()
        return Lease(1, 0.0, step)

    def _turned_away(self) -> Transient:
        """Return the error for a caller; each is told to come back one step after the one before.

        The step is the one of now: who comes back at the pace of better times is only turned away again.
        """
        RATE_LIMIT_TURNED_AWAY.inc()
        now = _now()
        self._return_at = max(self._return_at, self._closed_until, now + self._step) + self._step
        detail = f"the limit of {self._rate.limit} calls in {self._rate.per:g} s leaves no turn in time"
        return Transient(Cause.RATE_LIMITED, detail, retry_after=self._return_at - now)


def _now() -> float:
    return asyncio.get_running_loop().time()
