"""Time as a port, so that tests set it."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the time, aware, in UTC."""


def now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)
