"""The read model of the order page in memory: `Orders`; counted attempts: `Attempts`; kept questions: `LostRequests`."""

import math
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from bitloot.errors import Cause, Transient
from bitloot.ids import OrderId
from delivery.order_page.status import OrderView


class FakeOrders:
    """Holds orders in `known`; `away` makes every look fail as a database that is gone does."""

    def __init__(self) -> None:
        self.known: dict[OrderId, OrderView] = {}
        self.away = False
        self.asked: list[str] = []

    async def newest_of(self, email: str) -> OrderId | None:
        self.asked.append(email)
        self._fail()
        mine = [order.order_id for order in self.known.values() if (order.email or "").lower() == email.lower()]
        return mine[-1] if mine else None

    async def versions(self, order_ids: Collection[OrderId]) -> dict[OrderId, int]:
        self._fail()
        return {each: self.known[each].version for each in order_ids if each in self.known}

    async def find(self, order_id: OrderId) -> OrderView | None:
        self._fail()
        return self.known.get(order_id)

    def _fail(self) -> None:
        if self.away:
            raise Transient(Cause.DATABASE_UNAVAILABLE, "PostgreSQL: ConnectionRefusedError")


class FakeAttempts:
    """Counted attempts in memory: `Attempts`. `clock` is the time."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.taken: dict[str, datetime] = {}
        self._clock = clock

    async def take(self, name: str, limit: int, window: timedelta) -> int:
        now, spacing = self._clock(), window / limit
        next_at = self.taken.get(name, now)
        if next_at > now + window - spacing:
            return max(1, math.ceil((next_at - (now + window - spacing)).total_seconds()))
        self.taken[name] = max(next_at, now) + spacing
        return 0


class FakeLostRequests:
    """Questions in memory: `LostRequests`. All of them count as left over."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def put(self, request: str, email: str) -> None:
        self.kept[request] = email

    async def left_over(self) -> list[tuple[str, str]]:
        return list(self.kept.items())

    async def done(self, request: str) -> None:
        self.kept.pop(request, None)
