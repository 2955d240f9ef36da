"""Time that nobody can set, and that goes on while the machine sleeps: what others may have done meanwhile counts."""

import time
from typing import Final

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux has it


def uptime() -> float:
    """Return seconds from some moment on. On Linux `time.monotonic` and a loop's time stand still in sleep."""
    return time.clock_gettime(_CLOCK)
