"""The time, as a port: tests move it by hours without waiting."""

from collections.abc import Callable
from datetime import UTC, datetime

# Seconds since 1970 in UTC.
Clock = Callable[[], float]


def iso(seconds: float) -> str:
    """Return the ISO 8601 text with milliseconds and `Z`, as all three providers write it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339(seconds: float, timespec: str = "seconds") -> str:
    """Return the ISO 8601 text with an offset, as Kinguin's buyer API writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec)
