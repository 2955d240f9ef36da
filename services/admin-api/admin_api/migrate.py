"""`python -m admin_api.migrate`: bring the database up to this release."""

import asyncio
import sys

import asyncpg

from admin_api.migrations import MigrationError, migrate
from bitloot.settings import PostgresSettings


def main() -> int:
    """Apply what is missing; return 0, or 1 after one sentence on stderr."""
    settings = PostgresSettings.load()
    try:
        applied = asyncio.run(migrate(settings.database_url.get_secret_value()))
    except MigrationError as error:
        return _fail(str(error))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return _fail(f"The database cannot be migrated: {type(error).__name__}: {error}")
    for name in applied:
        sys.stdout.write(f"{name}\n")
    sys.stdout.write(f"{len(applied)} migrations applied.\n" if applied else "The database is up to date.\n")
    return 0


def _fail(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
