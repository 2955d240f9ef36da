"""Lists: the page of a query under filters, and how many rows there are in all."""

from dataclasses import dataclass, field
from typing import LiteralString

import asyncpg

from admin_api.api.schemas import Paging
from admin_api.database import Pool
from admin_api.sql import named_queries
from bitloot.ledger import translated

SQL = named_queries("admin_api.api")


@dataclass(slots=True)
class Filter:
    """Conditions and their values. Only values come from outside; conditions stand in the code."""

    _conditions: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)

    def add(self, condition: LiteralString, *values: object) -> None:
        """Add a condition, in which each `{}` stands for a value; none is added when the first value is None."""
        if values[0] is not None:
            first = len(self.values) + 1
            self.values.extend(values)
            numbered = condition.format(*(f"${number}" for number in range(first, first + len(values))))
            self._conditions.append(f"({numbered})")

    @property
    def clause(self) -> str:
        """The `where`, or nothing."""
        return f" where {' and '.join(self._conditions)}" if self._conditions else ""


async def page(
    pool: Pool, query: LiteralString, where: Filter, order: LiteralString, paging: Paging
) -> tuple[list[asyncpg.Record], int]:
    """Return the rows of a page and the number of all rows, both of one moment. Raises `Transient`."""
    found = SQL[query] + where.clause
    number = len(where.values)
    with translated():
        async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            total = await connection.fetchval(f"select count(*) from ({found}) as found", *where.values)  # noqa: S608 - see Filter
            rows = await connection.fetch(
                f"{found} order by {order} limit ${number + 1} offset ${number + 2}",
                *where.values,
                paging.limit,
                paging.offset,
            )
    return rows, total


async def row(pool: Pool, query: LiteralString, *values: object) -> asyncpg.Record | None:
    """Return the row of a named query. Raises `Transient`."""
    with translated():
        return await pool.fetchrow(SQL[query], *values)
