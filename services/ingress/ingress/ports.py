"""What the ingress needs of the outside, as small as it needs it."""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from bitloot.contracts.base import Record
from bitloot.contracts.topics import Topic
from bitloot.ids import OrderId


class Publisher(Protocol):
    """Kafka, as far as the ingress writes to it."""

    def post(self, topic: Topic, key: str, record: Record) -> Awaitable[None]:
        """Enqueue a record; the awaitable ends when the broker has acknowledged it.

        Raises `Transient` when it has not done so in time: the record may or may not be stored.
        """


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """What the read model knows of an order that was placed before."""

    request_hash: str
    pay_url: str | None
    placed_at: datetime


class OrderIndex(Protocol):
    """The orders that were placed before; it may lag behind and it may be away."""

    async def find(self, order_id: OrderId) -> KnownOrder | None:
        """Return what is known of the order. Raises `Transient` when nothing can be said."""


@dataclass(frozen=True, slots=True)
class InvoiceRequest:
    """What an invoice says. `total` is in `currency`; the addresses are absolute."""

    order_id: OrderId
    total: Decimal
    currency: str
    notify_url: str
    return_url: str


@dataclass(frozen=True, slots=True)
class Invoice:
    """A page where the order can be paid."""

    id: str
    url: str


class Invoicing(Protocol):
    """The payment provider, as far as the ingress asks it for anything."""

    async def create(self, request: InvoiceRequest) -> Invoice:
        """Create an invoice. Raises a `BitLootError` when there is none to show."""
