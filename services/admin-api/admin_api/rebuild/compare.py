"""The tables in use against those that were built: equal or not, where they differ, and how that is put right."""

from dataclasses import dataclass

from admin_api.migrations import Connection
from admin_api.rebuild.shadow import SCHEMA
from admin_api.sql import named_queries

_SQL = named_queries("admin_api.rebuild")
_HASH = 2**64


@dataclass(frozen=True, slots=True)
class Content:
    """What a table holds: the number of its rows and a digest of them all, in hex, that no order changes."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One table before the rebuild and as Kafka has it.

    `missing` rows were not in use, `surplus` ones were in use only, `changed` ones had other content.
    """

    table: str
    before: Content
    after: Content
    missing: int = 0
    surplus: int = 0
    changed: int = 0

    @property
    def equal(self) -> bool:
        """Whether the rebuild gave what was there."""
        return self.before == self.after


async def compared(connection: Connection, live: str, table: str) -> Compared:
    """Compare a table in use, in the schema `live`, with the one that was built."""
    before, after = await _content(connection, live, table), await _content(connection, SCHEMA, table)
    if before == after:
        return Compared(table, before, after)
    key = await _key(connection, table)
    query = _SQL["differences"].format(live=live, shadow=SCHEMA, table=table, key=", ".join(key))
    found = await connection.fetchrow(query)
    return Compared(table, before, after, **dict(found or {}))


async def _content(connection: Connection, schema: str, table: str) -> Content:
    found = await connection.fetchrow(_SQL["digest"].format(schema=schema, table=table))
    assert found is not None  # noqa: S101 - it counts, so there is a row
    return Content(found["rows"], f"{int(found['sum']) % _HASH:016x}")


async def put_right(connection: Connection, live: str, table: str) -> None:
    """Give a table in use the rows that were built; rows that are right already are left alone."""
    key = await _key(connection, table)
    names = {f"{side}_key": ", ".join(f"{side}.{column}" for column in key) for side in ("built", "used")}
    for query in ("drop_wrong", "add_missing"):
        await connection.execute(_SQL[query].format(live=live, shadow=SCHEMA, table=table, **names))


async def _key(connection: Connection, table: str) -> list[str]:
    return [row["name"] for row in await connection.fetch(_SQL["key"], f"{SCHEMA}.{table}")]
