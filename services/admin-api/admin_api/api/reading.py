"""Reading: queries by name, and their conditions."""

from dataclasses import dataclass, field
from typing import LiteralString

import asyncpg

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


async def row(pool: Pool, query: LiteralString, *values: object) -> asyncpg.Record | None:
    """Return the row of a named query. Raises `Transient`."""
    with translated():
        return await pool.fetchrow(SQL[query], *values)
