"""Whether the database and this release belong together: told at the start, and by `/readyz`."""

from admin_api.database import Pool
from admin_api.migrations import is_current, unknown
from bitloot.health import Health
from bitloot.ledger import NOT_MIGRATED, translated


def register(health: Health, pool: Pool) -> None:
    """Add two checks: `database`, red while it is away or older; a note while it is newer."""

    async def current() -> str | None:
        with translated():
            async with pool.acquire() as connection:
                return None if await is_current(connection) else NOT_MIGRATED

    async def newer() -> str | None:
        with translated():
            async with pool.acquire() as connection:
                numbers = await unknown(connection)
        told = ", ".join(map(str, numbers))
        return f"the database is newer than this release: it has had migration {told} too" if numbers else None

    health.register("database", current)
    health.register("database version", newer, advisory=True)
