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
from bitloot.personal import PersonalKey


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


@dataclass(frozen=True, slots=True)
class Begun:
    """The first request under an `Idempotency-Key`."""

    request_hash: str
    placed_at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known of an order that somebody places: its key, its first request, and what the read model has of it.

    The read model may lag behind.
    """

    key: PersonalKey
    begun: Begun | None
    placed: KnownOrder | None


class Checkouts(Protocol):
    """Which orders have begun to be placed, by any process of ours. Methods raise `Transient` when it cannot say."""

    async def open(self, order_id: OrderId, request: str, now: datetime, *, begin: bool) -> Opened:
        """Return what is known of an order, whose personal key is made now if there is none.

        With `begin`, and where the key is made now, this is its first request: it is noted, by its hash `request` under
        the new key. Raises `Refused` where the key was destroyed.
        """

    async def begin(self, order_id: OrderId, begun: Begun) -> Begun:
        """Note the first request for an order, and return it: an earlier one if there is any."""


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
