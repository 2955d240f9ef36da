"""What is due when: an index in memory, rebuilt from the tables after a rebalance."""

import heapq
from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

FIRE_AGAIN_AFTER = timedelta(seconds=30)
"""A timer event normally moves the wake-up time at once; if it got lost, it is sent again after this."""


class Due(NamedTuple, Generic[K]):
    """A key whose time has come, and the time that it had set itself."""

    key: K
    wake_at: datetime


class _Entry(NamedTuple):
    wake_at: datetime
    fire_at: datetime


class DueIndex(Generic[K]):
    """The wake-up times of the orders (or reservations) of this worker's partitions.

    A wake-up time is in the time of whoever set it; `fire_at` is the same moment by the clock of the timers, which
    alone decides when it is due. `due` costs in proportion to what is due (and to what was rescheduled), never to
    all keys.
    """

    def __init__(self) -> None:
        self._entries: dict[K, _Entry] = {}
        self._heap: list[tuple[datetime, K]] = []
        self._unanswered: dict[K, datetime] = {}  # in the order of their first firing
        self.answered = 0
        """How many firings have had an effect: the key was set anew."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def set(self, key: K, wake_at: datetime | None, fire_at: datetime | None = None) -> None:
        """Note when a key wants to be woken; None for never. `fire_at` is `wake_at` where clocks agree.

        The same time again moves nothing: else repeated events would put a timer off for ever.
        """
        known = self._entries.get(key)
        if wake_at is None:
            self._entries.pop(key, None)
            self._answer(key)
        elif known is None or known.wake_at != wake_at:
            self._answer(key)
            self._schedule(key, _Entry(wake_at, fire_at or wake_at))

    def due(self, now: datetime, limit: int) -> list[Due[K]]:
        """Return at most `limit` keys whose time has come, the longest waiting first."""
        found: dict[K, _Entry] = {}
        while self._heap and self._heap[0][0] <= now and len(found) < limit:
            fire_at, key = heapq.heappop(self._heap)
            entry = self._entries.get(key)
            if entry is not None and entry.fire_at == fire_at:  # else it was rescheduled: a later one stands for it
                found[key] = entry
        for key, entry in found.items():
            self._unanswered.setdefault(key, now)
            self._schedule(key, _Entry(entry.wake_at, now + FIRE_AGAIN_AFTER))
        return [Due(key, entry.wake_at) for key, entry in found.items()]

    @property
    def unanswered(self) -> int:
        """How many keys were fired and not set anew since."""
        return len(self._unanswered)

    def oldest(self) -> datetime | None:
        """Return when the next key is due, by the clock of the timers, or None."""
        while self._heap and not self._stands(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def late_since(self) -> datetime | None:
        """Return since when the longest waiting timer is due and has had no effect, or None.

        That is one that was fired and not answered, or one that there was no room to fire.
        """
        unfired = self.oldest()
        return min(
            (at for at in (unfired, next(iter(self._unanswered.values()), None)) if at is not None), default=None
        )

    def clear(self) -> None:
        """Forget everything: the partitions are no longer ours."""
        self._entries.clear()
        self._heap.clear()
        self._unanswered.clear()

    def _answer(self, key: K) -> None:
        if self._unanswered.pop(key, None) is not None:
            self.answered += 1

    def _stands(self, fire_at: datetime, key: K) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.fire_at == fire_at

    def _schedule(self, key: K, entry: _Entry) -> None:
        self._entries[key] = entry
        heapq.heappush(self._heap, (entry.fire_at, key))
        self._compact()

    def _compact(self) -> None:
        """Keep the heap in proportion to the keys though every rescheduling leaves a dead entry."""
        if len(self._heap) > 2 * len(self._entries) + 1000:
            self._heap = [(entry.fire_at, key) for key, entry in self._entries.items()]
            heapq.heapify(self._heap)
