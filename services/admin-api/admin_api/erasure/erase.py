"""Takes a buyer's personal data out of PostgreSQL: the key, and with it all that is sealed, then what is plain.

In this order, in one transaction: who opens something (sink, rebuild) or keeps it (delivery worker) shares a lock on
the key's row until it has written, so that nothing plain is written after it was looked for.
"""

from collections.abc import Collection

from admin_api.database import Connection, Pool
from admin_api.sql import named_queries
from bitloot.ledger import translated

SQL = named_queries("admin_api.erasure")


async def erase(pool: Pool, orders: Collection[str]) -> None:
    """Erase the personal data of orders; doing it again changes nothing. Raises `Transient`."""
    with translated():
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["hold_rebuilds"])
            await erase_within(connection, orders)


async def erase_within(connection: Connection, orders: Collection[str]) -> None:
    """Do it in a transaction that goes on. Raises what asyncpg raises."""
    ids = sorted(orders)
    addresses = [row["address"] for row in await connection.fetch(SQL["addresses"], ids)]
    await connection.execute(SQL["destroy_keys"], ids)
    await connection.execute(SQL["forget_lost_requests"], addresses)
    for query in ("blank_orders", "blank_emails"):
        await connection.execute(SQL[query], ids)
