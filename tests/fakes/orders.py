"""The read model of the order page in memory: `Orders`."""

from bitloot.errors import Cause, Transient
from bitloot.ids import OrderId
from delivery.order_page.status import OrderView


class FakeOrders:
    """Holds orders in `known`; `away` makes every look fail as a database that is gone does."""

    def __init__(self) -> None:
        self.known: dict[OrderId, OrderView] = {}
        self.away = False

    async def find(self, order_id: OrderId) -> OrderView | None:
        if self.away:
            raise Transient(Cause.DATABASE_UNAVAILABLE, "PostgreSQL: ConnectionRefusedError")
        return self.known.get(order_id)
