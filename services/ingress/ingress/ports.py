"""What the ingress needs of the outside, as small as it needs it."""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from bitloot.contracts.base import Record
from bitloot.contracts.effects import CreatePayment
from bitloot.contracts.events import PaymentFacts, PaymentInstructions
from bitloot.contracts.topics import Topic
from bitloot.ids import OrderId, PaymentId


class Publisher(Protocol):
    """Kafka, as far as the ingress writes to it."""

    def post(self, topic: Topic, key: str, record: Record) -> Awaitable[object]:
        """Enqueue a record; the awaitable ends when the broker has acknowledged it.

        Raises `Transient` when it has not done so in time: the record may or may not be stored.
        """


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """What the read model knows of an order that was placed before."""

    request_hash: str
    placed_at: datetime
    payment: PaymentInstructions | None


class OrderIndex(Protocol):
    """The orders that were placed before; it may lag behind and it may be away."""

    async def find(self, order_id: OrderId) -> KnownOrder | None:
        """Return what is known of the order. Raises `Transient` when nothing can be said."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The first request under an `Idempotency-Key`."""

    request_hash: str
    placed_at: datetime


class Checkouts(Protocol):
    """Which orders have begun to be placed, by any process of ours."""

    async def begin(self, order_id: OrderId, begun: Begun) -> Begun:
        """Note the first request for an order, and return it: an earlier one if there is any.

        Raises `Transient` when nothing can be noted.
        """


class PaymentProvider(Protocol):
    """NOWPayments. Every method raises one of the four families of `bitloot.errors`."""

    async def create(self, wish: CreatePayment) -> PaymentInstructions:
        """Make an invoice, or a payment in the coin that the wish names; a repeat makes another one."""

    async def read(self, order: OrderId, payment: PaymentId) -> PaymentFacts:
        """Return what is said of a payment of the order."""

    async def find(self, order: OrderId, invoice: str) -> tuple[PaymentFacts, ...]:
        """Return the order's payments of an invoice."""


class FirstBills(Protocol):
    """The first invoice or payment of an order: made once, whoever asks for it and however often."""

    async def first(self, wish: CreatePayment) -> PaymentInstructions | None:
        """Return how the order can be paid; None when that cannot be said now, and is found out later.

        Raises `Refused` when the provider will never take this order, because of its coin or its amount.
        """


class CoinRules(Protocol):
    """What can be paid with."""

    async def check(self, total: Decimal, currency: str, coin: str) -> None:
        """Raise `Refused` when `total` of a currency cannot be paid in a coin."""
