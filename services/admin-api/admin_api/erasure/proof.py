"""Looks through every store for a buyer's mail addresses, and tries to open what is sealed.

It reads what there is, and tells of each store what it has read and what it has found. What it cannot read from where
it runs it says so of: then nothing is proven, and the store's row says what would be.
"""

import base64
import re
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg
from aiokafka.errors import KafkaError

from admin_api.rebuild.history import open_history
from admin_api.settings import RebuildSettings
from bitloot.cluster import look_at
from bitloot.contracts.topics import CHANGELOGS, TOPICS, Topic
from bitloot.errors import BitLootError, Cause, Refused
from bitloot.ids import OrderId
from bitloot.ledger import open_pool
from bitloot.personal import PostgresBuyers

_SEALED: Final = re.compile(rb"p1:[A-Za-z0-9_-]{24,}={0,2}")
_PLACES: Final = 5
"""So many places are told of each store; more are counted."""
_ROWS: Final = "select to_jsonb(t) - 'html' - 'text' as about, t::text as content from {table} as t"
_TABLES: Final = "select tablename as name from pg_tables where schemaname = current_schema() order by tablename"


@dataclass(slots=True)
class Look:
    """What a look through one store has shown. `unread`: why it was not read (to its end)."""

    store: str
    name: str
    read: int = 0
    found: list[str] = field(default_factory=list)
    sealed: set[str] = field(default_factory=set)
    opened: int = 0
    unread: str = ""

    @property
    def verdict(self) -> str:
        """What to make of it, in words."""
        if self.found:
            more = f" and {len(self.found) - _PLACES} more" if len(self.found) > _PLACES else ""
            return f"FOUND at {', '.join(self.found[:_PLACES])}{more}"
        if self.opened:
            return f"{self.opened} sealed texts STILL OPEN"
        return self.unread or "not found"


@dataclass(frozen=True, slots=True)
class Proof:
    """All looks. `holds` tells whether all that was read has nothing; `whole` whether everything was read."""

    looks: Sequence[Look]

    @property
    def holds(self) -> bool:
        """Whether nothing was found, and nothing opens."""
        return not any(look.found or look.opened for look in self.looks)

    @property
    def whole(self) -> bool:
        """Whether each store that can be read from here was."""
        return not any(look.unread.startswith("NOT READ") for look in self.looks)


def spellings(address: str) -> set[bytes]:
    """Return an address as it may stand in bytes: plain, in hex, or in base64 at any of its three alignments."""
    found = set[bytes]()
    for text in {address, address.lower()}:
        plain = text.encode()
        found |= {plain, plain.hex().encode()}
        for shift in range(3):
            # The first and last characters also carry bits of the neighbors.
            found.add(base64.b64encode(b"\0" * shift + plain)[4 if shift else 0 :].rstrip(b"=")[:-2])
    return found


class Needles:
    """What is looked for, in whatever case and spelling."""

    def __init__(self, addresses: Iterable[str]) -> None:
        each = {spelling for address in addresses for spelling in spellings(address)}
        self._needles = tuple(each | {needle.lower() for needle in each})

    def within(self, content: bytes) -> bool:
        """Tell whether some bytes hold one of them."""
        lower = content.lower()
        return any(needle in content or needle in lower for needle in self._needles)


async def prove(
    settings: RebuildSettings,
    orders: Collection[str],
    addresses: Collection[str],
    topics: Sequence[Topic] = (*TOPICS, *CHANGELOGS),
) -> Proof:
    """Look through Kafka and PostgreSQL for addresses that belonged to these orders.

    Raises `Transient`, OSError and asyncpg's errors while PostgreSQL is away; a topic that cannot be read is told.
    """
    needles = Needles(addresses)
    looks = [await _topic(settings, topic.name, orders, needles) for topic in topics]
    async with open_pool(settings.database_url.get_secret_value(), max_size=1) as pool:
        await _try_to_open(pool, orders, looks)
        looks += [look async for look in _postgres(pool, needles)]
    return Proof([*looks, *_elsewhere()])


async def _topic(settings: RebuildSettings, name: str, orders: Collection[str], needles: Needles) -> Look:
    look, ids = Look("Kafka", name), [order.encode() for order in orders]
    try:
        cluster = await look_at(settings, [name])
        if cluster.missing([name]):
            look.unread = "there is no such topic"
            return look
        async with open_history(settings, cluster) as history:
            async for records in history.read(await history.ends()):
                for record in records:
                    look.read += 1
                    headers = b"\n".join(value for _, value in record.headers)
                    content = b"\n".join((record.key or b"", unwrapped(record.value or b""), headers))
                    if needles.within(content):
                        look.found.append(f"{record.partition}/{record.offset}")
                    if any(each in content for each in ids):
                        look.sealed |= {text.decode() for text in _SEALED.findall(content)}
    except (KafkaError, BitLootError) as error:
        look.unread = f"NOT READ: {error.cause if isinstance(error, BitLootError) else type(error).__name__}"
    return look


_WRAPPED: Final = re.compile(rb'"(?:key|value)":"([A-Za-z0-9+/=]{16,})"')


def unwrapped(value: bytes) -> bytes:
    """Return a record with, behind it, the one that it holds in base64: a dead letter's original."""
    inner = filter(None, map(_decoded, _WRAPPED.findall(value)))
    return b"\n".join((value, *map(unwrapped, inner)))


def _decoded(text: bytes) -> bytes | None:
    """Return what stands in base64; None for what only looks so: anything may be in a record that was put aside."""
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except ValueError:
        return None


async def _try_to_open(pool: asyncpg.Pool, orders: Collection[str], looks: Iterable[Look]) -> None:
    """Count what opens with the key of any of the orders: it was collected where they are named."""
    buyers = PostgresBuyers(pool)
    for look in looks:
        for text in look.sealed:
            look.opened += any([await _opens(buyers, OrderId(order), text) for order in orders])


async def _opens(buyers: PostgresBuyers, order: OrderId, text: str) -> bool:
    try:
        await buyers.open(order, text)
    except Refused as error:
        if error.cause in {Cause.BUYER_ERASED, Cause.BROKEN_BOX, Cause.UNKNOWN_KEY_ID}:
            return False
        raise
    return True


async def _postgres(pool: asyncpg.Pool, needles: Needles) -> AsyncIterator[Look]:
    """Look through each row of each table; tell of which order it is, as others of the buyer may be meant to stay."""
    for table in await pool.fetch(_TABLES):
        look = Look("PostgreSQL", table["name"])
        async with pool.acquire() as connection, connection.transaction():
            async for row in connection.cursor(_ROWS.format(table=table["name"])):
                look.read += 1
                if needles.within(row["content"].encode()):
                    look.found.append(_named(row["about"]))
        yield look


def _named(row: dict[str, object]) -> str:
    name = next((name for name in ("order_id", "id", "number") if row.get(name) is not None), None)
    return f"{name} {row[name]}" if name else "a row"


def _elsewhere() -> Iterator[Look]:
    yield Look("fulfillment tables", "orders", unread="their changelogs, above, have what they have")
    yield Look("S3", "keys/", unread="not looked at: only codes are there, below the order's id")
    yield Look("logs and metrics", "-", unread="not looked at: no address is written there")
