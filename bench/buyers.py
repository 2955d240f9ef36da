"""Buyers of orders that are told again: what was sealed of them was sealed under keys of other orders."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import asyncpg

from bench.recording import Told
from bitloot.ids import OrderId
from bitloot.personal import KEY_BYTES, VERSION, PersonalKey

_KEY = "insert into personal_keys (order_id, key) values ($1, $2)"
_PERSONAL_KEY = bytes(range(KEY_BYTES))
_SEALED = re.compile(rf'"{VERSION}[^"]*"'.encode())


def sealed_anew(records: Iterable[Told]) -> Iterator[Told]:
    """Give each order a mail address of its own, sealed under the key that `give_keys` gives it."""
    for told in records:
        if told.value is None or _SEALED.search(told.value) is None:
            yield told
            continue
        order = told.key.decode()
        address = PersonalKey(OrderId(order), _PERSONAL_KEY).seal(f"buyer-{order[:8]}@bench.test")
        yield replace(told, value=_SEALED.sub(f'"{address}"'.encode(), told.value))


async def give_keys(dsn: str, records: Iterable[Told]) -> None:
    """Store the personal key of each order that one of the records is keyed by."""
    connection = await asyncpg.connect(dsn)
    try:
        orders = sorted({told.key.decode() for told in records})
        await connection.executemany(_KEY, [(order, _PERSONAL_KEY) for order in orders])
    finally:
        await connection.close()
