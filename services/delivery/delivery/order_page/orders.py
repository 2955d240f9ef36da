"""Reads orders from the read model that the sink fills."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

import asyncpg
from pydantic import TypeAdapter

from bitloot.contracts.state import OrderStatus
from bitloot.ids import OrderId
from bitloot.ledger import translated
from delivery.order_page.status import KnownMail, Line, OrderView, PayInstructions
from delivery.queries import QUERIES

LEFT_OVER_AFTER: Final = timedelta(seconds=30)
"""A question that is so old was taken by a process that died, or the broker is away."""
AT_ONCE: Final = 100

_MAILS = TypeAdapter(tuple[KnownMail, ...])


class PostgresOrders:
    """`Orders` on PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find(self, order_id: OrderId) -> OrderView | None:
        """Return an order, or None where the read model does not have it. Raises `Transient`."""
        with translated():
            row = await self._pool.fetchrow(QUERIES["order_of_page"], order_id)
        return _view(order_id, row) if row else None

    async def newest_of(self, email: str) -> OrderId | None:
        """Return the newest order of a mail address. Raises `Transient`."""
        with translated():
            found = await self._pool.fetchval(QUERIES["newest_of_address"], email)
        return OrderId(str(found)) if found else None

    async def versions(self, order_ids: Collection[OrderId]) -> dict[OrderId, int]:
        """Return the versions of those orders that the read model has. Raises `Transient`."""
        with translated():
            rows = await self._pool.fetch(QUERIES["versions"], list(order_ids))
        return {OrderId(str(row["id"])): row["version"] for row in rows}


class PostgresAttempts:
    """`Attempts` on PostgreSQL, so that all processes count together."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def take(self, name: str, limit: int, window: timedelta) -> int:
        """Use up one of `limit` attempts in a `window`; see `Attempts.take`."""
        spacing = window / limit
        with translated():
            if await self._pool.fetchval(QUERIES["take_attempt"], name, spacing, window):
                return 0
            return await self._pool.fetchval(QUERIES["next_attempt"], name, spacing, window) or 1

    async def forget(self) -> None:
        """Delete what says nothing any more. Raises `Transient`."""
        with translated():
            await self._pool.execute(QUERIES["forget_attempts"])


class PostgresLostRequests:
    """`LostRequests` on PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def put(self, request: str, email: str) -> None:
        """Keep a question. Raises `Transient`."""
        with translated():
            await self._pool.execute(QUERIES["put_lost_request"], request, email)

    async def left_over(self) -> Sequence[tuple[str, str]]:
        """Return questions whose process does not seem to work on them, the oldest first. Raises `Transient`."""
        with translated():
            rows = await self._pool.fetch(QUERIES["lost_requests_left_over"], LEFT_OVER_AFTER, AT_ONCE)
        return [(row["id"].hex, row["email"]) for row in rows]

    async def done(self, request: str) -> None:
        """Forget a question. Raises `Transient`."""
        with translated():
            await self._pool.execute(QUERIES["forget_lost_request"], request)


def _view(order_id: OrderId, row: asyncpg.Record) -> OrderView:
    return OrderView(
        order_id=order_id,
        version=row["version"],
        status=OrderStatus(row["status"]),
        lines=tuple(map(Line, row["titles"], row["quantities"])),
        email=row["email"],
        pay_url=row["pay_url"],
        object_key=row["object_key"],
        pictures=tuple(row["pictures"]),
        generation=row["link_generation"],
        mails=_MAILS.validate_python(row["mails"]),
        review_cause=row["review_cause"],
        keys_deleted=row["keys_deleted"],
        left=row["has_left"],
        instructions=PayInstructions.model_validate(row["payment_instructions"] or {}),
        placed_at=row["placed_at"],
        paid_at=row["paid_at"],
        purchased_at=row["purchased_at"],
        stored_at=row["stored_at"],
        mailed_at=row["mailed_at"],
        revealed_at=row["revealed_at"],
        updated_at=row["updated_at"],
    )
