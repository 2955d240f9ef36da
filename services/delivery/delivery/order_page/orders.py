"""Reads orders from the read model that the sink fills."""

import asyncpg

from bitloot.contracts.state import OrderStatus
from bitloot.ids import OrderId
from bitloot.ledger import translated
from delivery.order_page.status import Line, OrderView
from delivery.queries import QUERIES


class PostgresOrders:
    """`Orders` on PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find(self, order_id: OrderId) -> OrderView | None:
        """Return an order, or None where the read model does not have it. Raises `Transient`."""
        with translated():
            row = await self._pool.fetchrow(QUERIES["order_of_page"], order_id)
        return _view(order_id, row) if row else None


def _view(order_id: OrderId, row: asyncpg.Record) -> OrderView:
    return OrderView(
        order_id=order_id,
        version=row["version"],
        status=OrderStatus(row["status"]),
        lines=tuple(map(Line, row["titles"], row["quantities"])),
        email=row["email"],
        pay_url=row["pay_url"],
        object_key=row["object_key"],
        placed_at=row["placed_at"],
        paid_at=row["paid_at"],
        purchased_at=row["purchased_at"],
        stored_at=row["stored_at"],
        mailed_at=row["mailed_at"],
        revealed_at=row["revealed_at"],
        updated_at=row["updated_at"],
    )
