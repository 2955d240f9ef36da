"""Whether the database has what this release needs: told at the start, and by `/readyz`.

The migrations belong to the admin API, which knows each of them. Every other process knows the number of the newest
one when it was released; migrations only add, so that a database that is newer is none of its business.
"""

import asyncpg

from bitloot.health import Check
from bitloot.ledger import NOT_MIGRATED, translated

NEEDED = 20
"""The newest migration that a process other than sink and admin API relies on."""

_JOURNAL = "select to_regclass('schema_migrations') is not null"
_NEWEST = "select coalesce(max(version), 0) from schema_migrations"


def migrated(pool: asyncpg.Pool, needed: int = NEEDED) -> Check:
    """Return a check that is red while the database is away, or older than this release."""

    async def check() -> str | None:
        with translated():
            if await pool.fetchval(_JOURNAL) and await pool.fetchval(_NEWEST) >= needed:
                return None
        return NOT_MIGRATED

    return check
