"""How far one partition has come, from Kafka to the agent and back."""

import time
from collections import deque
from collections.abc import Set as AbstractSet


class Progress:
    """The records of a partition between Kafka and the commit; one for each time that the partition is ours.

    Faust clears its queues whenever the flow of events is resumed, skips records while it is suspended, and forgets
    records that it fetched for a partition that it had paused; in each case it goes on behind them. So it is
    written down here what was handed to the agent: only the next record is accepted, `head` moves over nothing
    that is not done, and what was handed over and may be lost is asked for again.
    """

    def __init__(self, start: int) -> None:
        self.head = start
        """The offset to commit: everything before it is done."""
        self.expected = start
        """The offset from which the next record has to be read."""
        self._delivered: deque[tuple[int, float]] = deque()

    def deliver(self, offset: int) -> bool:
        """Note that a record is handed over; False when it must not be, because it was before.

        An offset beyond the expected one is the next record nevertheless, when it was read from there: offsets
        have gaps.
        """
        if offset < self.expected:
            return False
        self._delivered.append((offset, time.monotonic()))
        self.expected = offset + 1
        return True

    def advance(self, done: AbstractSet[int]) -> int:
        """Move the head over what is done, and return it."""
        while self._delivered and self._delivered[0][0] in done:
            self.head = self._delivered.popleft()[0] + 1
        return self.head

    @property
    def oldest(self) -> float:
        """Return for how many seconds the oldest record has been handed over and not done; 0 when there is none."""
        return time.monotonic() - self._delivered[0][1] if self._delivered else 0.0

    def rewind(self) -> None:
        """Expect everything again that was handed over and is not done."""
        self._delivered.clear()
        self.expected = self.head
