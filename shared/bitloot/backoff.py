"""How long to wait before the next attempt, as a pure function.

The jitter is derived from a seed instead of drawn, so that a replayed decision has the same outcome. With a base
of one second the attempts of one effect wait 0.5 to 1 s, 1 to 2 s, 2 to 4 s, 4 to 8 s, and so on up to the cap.
"""

import hashlib
import math
from datetime import timedelta

MAX_RETRY_AFTER = timedelta(days=1)
"""The longest wait that an answer can ask for; more is a mistake or malice."""

_MAX_DOUBLINGS = 60  # beyond any cap, and no overflow


def delay(attempt: int, base: timedelta, *, seed: str, cap: timedelta, retry_after: float | None = None) -> timedelta:
    """Return the wait after the failed `attempt` (from 1): half to all of `base * 2^(attempt-1)`, at most `cap`.

    `seed` names what is retried, such as an effect id; the same seed and attempt give the same wait.
    `retry_after` is what the other side asked for, in seconds: the wait is never shorter, even beyond the cap,
    and up to a tenth longer, so that all who were told the same do not return together.
    """
    if attempt < 1:
        raise ValueError("attempts count from 1")
    fraction = _fraction(f"{seed}\x1f{attempt}")
    doubled = base.total_seconds() * (1 << min(attempt - 1, _MAX_DOUBLINGS))
    wait = timedelta(seconds=min(cap.total_seconds(), doubled) * (0.5 + fraction / 2))
    if retry_after is None or not math.isfinite(retry_after) or retry_after <= 0:
        return wait
    asked = timedelta(seconds=min(retry_after, MAX_RETRY_AFTER.total_seconds()))
    return max(wait, asked * (1 + fraction / 10))


def _fraction(seed: str) -> float:
    """Return a number from 0 up to 1, evenly spread over seeds."""
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
