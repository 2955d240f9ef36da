"""How calls are spaced so that no window of the provider's ever sees more than its limit."""

from dataclasses import dataclass
from typing import Final

LEASE_LIFE_SECONDS: Final = 2.0
"""A permit that is not used so long after its time is lost."""

LATENESS_SECONDS: Final = 1.0
"""How much longer than others a call may be on its way to the provider."""

_BURST_SHARE: Final = 0.02  # of the limit: more makes the steady rate slower, less makes each pause cost throughput
_MAX_SLACK_SHARE: Final = 0.2  # of the window: the spans above are for windows of a minute, not of a second


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` calls in any `per` seconds, by the clock of whoever is called.

    Short windows leave little time between a permit and its use: two a second are better said as 20 in ten seconds.
    """

    limit: int
    per: float

    def __post_init__(self) -> None:
        """Refuse what no calls could keep."""
        if self.limit < 1 or self.per <= 0:
            raise ValueError("a rate is at least one call in some time")

    @property
    def burst(self) -> int:
        """How many calls may go at once after a pause."""
        return max(1, int(self.limit * _BURST_SHARE))

    @property
    def lease_life(self) -> float:
        """For how many seconds after its time a permit may be used."""
        return min(LEASE_LIFE_SECONDS, self.per * _MAX_SLACK_SHARE / 2)

    @property
    def interval(self) -> float:
        """Seconds between two permits.

        A permit for the time s is used between s and s + slack + (burst - 1) * interval, so the calls of a window
        have their permits in one that is longer by that: (per + slack) / interval + burst - 1 of them at most.
        """
        slack = self.lease_life + min(LATENESS_SECONDS, self.per * _MAX_SLACK_SHARE / 2)
        return (self.per + slack) / (self.limit - self.burst + 1)
