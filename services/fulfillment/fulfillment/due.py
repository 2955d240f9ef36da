"""When which order wants to be woken: an index in memory, rebuilt from the table after a rebalance."""

import heapq
from datetime import datetime, timedelta

from bitloot.ids import OrderId

FIRE_AGAIN_AFTER = timedelta(seconds=30)
"""A timer event normally moves the order's wake-up time at once; if it got lost, it is sent again after this."""


class DueIndex:
    """The wake-up times of the orders of this worker's partitions.

    `due` costs in proportion to what is due (and to what was rescheduled), never to all orders.
    """

    def __init__(self) -> None:
        self._wake: dict[OrderId, datetime] = {}
        self._heap: list[tuple[datetime, OrderId]] = []

    def __len__(self) -> int:
        return len(self._wake)

    def __contains__(self, order_id: OrderId) -> bool:
        return order_id in self._wake

    def set(self, order_id: OrderId, wake_at: datetime | None) -> None:
        """Note when an order wants to be woken; None for never."""
        if wake_at is None:
            self._wake.pop(order_id, None)
        elif self._wake.get(order_id) != wake_at:
            self._wake[order_id] = wake_at
            heapq.heappush(self._heap, (wake_at, order_id))
            self._compact()

    def due(self, now: datetime, limit: int) -> list[OrderId]:
        """Return at most `limit` orders whose time has come, the longest waiting first."""
        found: list[OrderId] = []
        while self._heap and self._heap[0][0] <= now and len(found) < limit:
            wake_at, order_id = heapq.heappop(self._heap)
            if self._wake.get(order_id) == wake_at:  # else it was rescheduled: a later entry stands for it
                found.append(order_id)
        for order_id in found:
            self.set(order_id, now + FIRE_AGAIN_AFTER)
        return found

    def oldest(self) -> datetime | None:
        """Return the earliest wake-up time, or None."""
        while self._heap and self._wake.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def clear(self) -> None:
        """Forget everything: the partitions are no longer ours."""
        self._wake.clear()
        self._heap.clear()

    def _compact(self) -> None:
        """Keep the heap in proportion to the orders though every rescheduling leaves a dead entry."""
        if len(self._heap) > 2 * len(self._wake) + 1000:
            self._heap = [(wake_at, order_id) for order_id, wake_at in self._wake.items()]
            heapq.heapify(self._heap)
