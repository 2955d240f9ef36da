"""Time that never jumps, for timers."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the time, aware, in UTC."""

SLEW = 0.25
"""How much faster or slower than real this time goes while it differs from the machine's."""


def now() -> datetime:
    """Return the time of this machine, jumps included."""
    return datetime.now(UTC)


class SteadyClock:
    """The machine's time at first, then carried on by a clock that nobody can set.

    When the machine's clock is set an hour forward, nothing becomes due at once; an hour back, and nothing stands
    still for an hour: this clock goes a quarter faster or slower until both agree again. It never goes back.
    """

    def __init__(self, wall: Clock = now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._read_at = monotonic()
        self._time = wall()

    def __call__(self) -> datetime:
        """Return the time."""
        read_at = self._monotonic()
        passed = timedelta(seconds=read_at - self._read_at)
        ahead = self._wall() - (self._time + passed)
        self._time += passed + max(-passed * SLEW, min(passed * SLEW, ahead))
        self._read_at = read_at
        return self._time
