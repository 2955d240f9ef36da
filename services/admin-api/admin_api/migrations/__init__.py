"""Numbered SQL files, applied once each and never changed afterwards."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias

import asyncpg

_FILE = re.compile(r"(\d{4})_\w+\.sql")
# Any number that no other program uses on this database.
_LOCK = 0x6269_746C_6F6F_7400
# A waiting migrator polls: blocking on the lock would hold a snapshot, for which `create index concurrently`
# of the migrator that has the lock would wait in turn.
_POLL_SECONDS = 0.2

_JOURNAL = """
create table if not exists schema_migrations (
    version    integer primary key,
    name       text not null,
    checksum   text not null,
    applied_at timestamptz not null default now()
)
"""
_APPLIED = "select version, name, checksum from schema_migrations order by version"
_RECORD = "insert into schema_migrations (version, name, checksum) values ($1, $2, $3)"

# Only generic to the type checker.
Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"


class MigrationError(Exception):
    """The database and this code's migrations do not belong together; the message says how."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file. `version` is its number, `checksum` the SHA-256 of its text in hex."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Tell this file's content from any other."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def available() -> tuple[Migration, ...]:
    """Return this code's migrations in order. Raises `MigrationError` when two have one number.

    Numbers may have gaps: branches take theirs beforehand, and land in any order.
    """
    found = sorted(
        (
            Migration(int(match[1]), each.name, each.read_text(encoding="utf-8"))
            for each in files(__package__).iterdir()
            if (match := _FILE.fullmatch(each.name))
        ),
        key=lambda migration: migration.version,
    )
    if len({each.version for each in found}) != len(found):
        raise MigrationError(f"Two migrations have one number: {[each.name for each in found]}.")
    return tuple(found)


def outstanding(known: Sequence[Migration], applied: Sequence[tuple[int, str, str]]) -> tuple[Migration, ...]:
    """Return what is still to apply, given (version, name, checksum) of what was.

    Raises `MigrationError` when the database is newer than the code, or an applied file was changed.
    """
    by_version = {each.version: each for each in known}
    for version, name, checksum in applied:
        migration = by_version.pop(version, None)
        if migration is None:
            raise MigrationError(
                f"The database is newer than this program: it has had {name} applied, "
                f"and this program knows {len(known)} migrations without it. Run a newer release."
            )
        if migration.checksum != checksum:
            raise MigrationError(
                f"{name} is not the file that was applied to the database. "
                "An applied migration must never change: add a new one."
            )
    return tuple(each for each in known if each.version in by_version)


async def migrate(dsn: str, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is missing, one migrator at a time, and return the names of what was applied.

    Each file runs in a transaction of its own with its entry in `schema_migrations`. Raises
    `MigrationError` as `outstanding` does, and asyncpg's errors as they come.
    """
    known = available() if migrations is None else tuple(migrations)
    connection: Connection = await asyncpg.connect(dsn)
    try:
        await _lock(connection)
        await connection.execute(_JOURNAL)
        missing = outstanding(known, await _applied(connection))
        for migration in missing:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(_RECORD, migration.version, migration.name, migration.checksum)
        return [migration.name for migration in missing]
    finally:
        await connection.close()  # ends the session, and the lock with it


async def is_current(connection: Connection) -> bool:
    """Tell whether the database has all that this code needs. A newer database counts as current.

    Migrations only add, so that a running older process keeps working while a release rolls out.
    """
    applied = await _numbers(connection)
    return all(each.version in applied for each in available())


async def unknown(connection: Connection) -> list[int]:
    """Return the numbers of migrations that the database has had and this code does not have, in order."""
    return sorted(await _numbers(connection) - {each.version for each in available()})


async def _numbers(connection: Connection) -> set[int]:
    if await connection.fetchval("select to_regclass('schema_migrations')") is None:
        return set()
    return {version for version, _, _ in await _applied(connection)}


async def _applied(connection: Connection) -> list[tuple[int, str, str]]:
    return [(row["version"], row["name"], row["checksum"]) for row in await connection.fetch(_APPLIED)]


async def _lock(connection: Connection) -> None:
    while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110 - only the database knows
        await asyncio.sleep(_POLL_SECONDS)
