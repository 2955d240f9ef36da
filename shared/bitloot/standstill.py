"""Notices a partition that stands still though there is more in it, whatever the reason and whatever others do."""

from collections.abc import Mapping
from typing import Generic, TypeVar

P = TypeVar("P", bound=tuple[object, ...])


class Standstill(Generic[P]):
    """Remembers since when each partition, a topic and a number, has stood at the same offset. Times in seconds."""

    def __init__(self) -> None:
        self._since: dict[P, tuple[int, float]] = {}

    def note(self, behind: Mapping[P, int], now: float) -> None:
        """Note at which offsets those partitions stand that have more; call it now and then."""
        before = self._since
        self._since = {
            each: before[each] if each in before and before[each][0] == offset else (offset, now)
            for each, offset in behind.items()
        }

    def complaint(self, now: float, limit: float) -> str | None:
        """Return which partitions have stood still for longer than `limit`, or None."""
        stuck = [
            f"{each[0]}/{each[1]} has stood still at offset {offset} for {now - at:.0f} s"
            for each, (offset, at) in sorted(self._since.items(), key=str)
            if now - at > limit
        ]
        return "; ".join(stuck) or None
