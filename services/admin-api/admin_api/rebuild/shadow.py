"""A second set of tables, in a schema of its own, for the read model that is being built."""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from admin_api.migrations import Connection, available, outstanding
from admin_api.sql import named_queries

SCHEMA = "read_model_rebuild"

READ_TABLES = (
    "orders",
    "order_items",
    "keys",
    "payments",
    "reservations",
    "order_events",
    "code_hashes",
    "webhook_logs",
    "webhook_log_keys",
    "dead_letters",
    "time_to_key_days",
)
"""What is built from Kafka; all other tables hold what Kafka does not have."""

_SQL = named_queries("admin_api.rebuild")
_APPLIED = "select version, name, checksum from schema_migrations order by version"


async def create(connection: Connection) -> None:
    """Make the schema with empty tables; whatever an earlier rebuild left of it goes.

    Raises `MigrationError` when the database is newer than this program.
    """
    applied = [(row["version"], row["name"], row["checksum"]) for row in await connection.fetch(_APPLIED)]
    known = available()
    missing = len(outstanding(known, applied))
    async with connection.transaction():
        live = await connection.fetchval("select current_schema()")
        await drop(connection)
        await connection.execute(f"create schema {SCHEMA}")
        await connection.execute(f"set local search_path = {SCHEMA}, {live}")
        for migration in known[: len(known) - missing]:
            await connection.execute(migration.sql)
        # Keys are not of the read model: by its bare name the table in use is meant.
        await connection.execute(f"drop table if exists {SCHEMA}.personal_keys")
        # A crash of the database may empty them: then the rebuild begins anew.
        for row in await connection.fetch(_SQL["filled"], SCHEMA, list(READ_TABLES)):
            await connection.execute(f"alter table {row['name']} set unlogged")


async def drop(connection: Connection) -> None:
    """Remove the schema with all in it."""
    await connection.execute(f"drop schema if exists {SCHEMA} cascade")


async def unlike(connection: Connection, live: str) -> list[str]:
    """Return the tables whose columns in use are not those that this release's migrations make."""
    return [
        table
        for table in READ_TABLES
        if await _columns(connection, live, table) != await _columns(connection, SCHEMA, table)
    ]


async def _columns(connection: Connection, schema: str, table: str) -> Sequence[str]:
    return [row["described"] for row in await connection.fetch(_SQL["columns"], schema, table)]


def address(dsn: str, live: str) -> str:
    """Return the database's address for connections that mean the new tables by a table's bare name."""
    parts = urlsplit(dsn)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "search_path"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("search_path", f"{SCHEMA},{live}")])))
