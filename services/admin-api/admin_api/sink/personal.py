"""Opens what is sealed of a buyer in the rows of an order, for the read model: people look for mail addresses there."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import asyncpg

from admin_api.database import Connection
from admin_api.sink.rows import OrderRows, Row
from bitloot import log
from bitloot.errors import Malformed
from bitloot.ids import OrderId
from bitloot.personal import PersonalKey

# Locked until the rows are written: an erasure that comes meanwhile waits, and blanks what was written.
_KEYS = """
select order_id::text as order_id, key from personal_keys where order_id = any ($1::uuid[]) order by order_id for share
"""

_log = log.get(__name__)


async def opened(connection: Connection, orders: Mapping[str, OrderRows]) -> dict[str, OrderRows]:
    """Return the rows with mail addresses in plain; empty where the buyer's data was erased."""
    keys = {row["order_id"]: row for row in await connection.fetch(_KEYS, list(orders))}
    return {order_id: _opened(order_id, rows, keys.get(order_id)) for order_id, rows in orders.items()}


def _opened(order_id: str, rows: OrderRows, found: asyncpg.Record | None) -> OrderRows:
    if found is None and rows.order["email"] is not None:
        _log.error("sink.personal_key_missing", order_id=order_id)  # the database was set back: see docs/operations.md
    key = PersonalKey(OrderId(order_id), found["key"]) if found is not None and found["key"] is not None else None
    return replace(rows, order=with_addresses(rows.order, key))


def with_addresses(order: Row, key: PersonalKey | None) -> Row:
    """Return an order's row with what the key opens; without one, nothing of it is left."""
    mails = order["mails"]
    assert isinstance(mails, list)  # noqa: S101 - as the snapshot has them
    # Mails go to the order's address, nearly always: opened once.
    plain = cache(lambda sealed: _plain(sealed, key))
    return order | {
        "email": plain(order["email"]),
        "mails": [mail | {"recipient": plain(mail["recipient"]) or ""} for mail in mails if isinstance(mail, dict)],
    }


def _plain(sealed: object, key: PersonalKey | None) -> str | None:
    if key is None or not isinstance(sealed, str):
        return None
    try:
        return key.open(sealed)
    except Malformed:
        return None  # sealed under a key that is lost; a change of the address seals anew
