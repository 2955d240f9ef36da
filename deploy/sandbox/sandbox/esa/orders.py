"""Orders and their keys, and how they are found again."""

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from sandbox.clock import rfc3339
from sandbox.esa.goods import Offer, Product
from sandbox.javascript import Json
from sandbox.ledger import Purchase

# As in Kinguin's examples: `PHS84FJAG5U`.
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class OrderStatus(StrEnum):
    """Where an order stands."""

    PROCESSING = "processing"  # waits for its keys
    COMPLETED = "completed"  # all keys were delivered
    CANCELED = "canceled"
    REFUNDED = "refunded"


class KeyStatus(StrEnum):
    """Where a key stands."""

    PENDING = "PENDING"  # waits for being worked on
    PROCESSING = "PROCESSING"  # waits for its delivery
    DELIVERED = "DELIVERED"
    RETURNED = "RETURNED"  # back in stock
    REFUNDED = "REFUNDED"  # the money is back
    CANCELED = "CANCELED"


UNDELIVERED = frozenset({KeyStatus.PENDING, KeyStatus.PROCESSING})


@dataclass(slots=True)
class Key:
    """One key of an order."""

    line: "Line"
    media_type: str
    serial: str
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    status: KeyStatus = KeyStatus.PENDING
    delivered_at: float | None = None
    # Somebody downloaded it.
    claimed: bool = False

    def shown(self) -> dict[str, Json]:
        """Return the key with its serial, as downloaded."""
        line = self.line
        return {
            "id": self.id,
            "serial": self.serial,
            "type": self.media_type,
            "name": line.product.name,
            "kinguinId": line.product.kinguin_id,
            "offerId": line.offer.id,
            "productId": line.product.product_id,
        }

    def told(self) -> dict[str, Json]:
        """Return the key as the order and the return tell it: without the serial."""
        return {"id": self.id, "status": self.status}


@dataclass(slots=True)
class Line:
    """What one offer sells to an order."""

    product: Product
    offer: Offer
    quantity: int
    price: Decimal
    request_price: Decimal
    # `text` when the order asked for it.
    key_type: str | None
    purchase: Purchase
    keys: list[Key] = field(default_factory=list)

    @property
    def wholesale(self) -> bool:
        """Whether it was bought at a tier."""
        return self.quantity >= 10

    def shown(self) -> dict[str, Json]:
        """Return the line as the order has it."""
        return {
            "kinguinId": self.product.kinguin_id,
            "offerId": self.offer.id,
            "productId": self.product.product_id,
            "qty": self.quantity,
            "name": self.product.name,
            "price": self.price,
            "totalPrice": self.price * self.quantity,
            "requestPrice": self.request_price,
            "isPreorder": self.offer.is_preorder,
            "releaseDate": None if self.offer.release_date is None else self.offer.release_date.isoformat(),
            "keyType": self.key_type,
            "keys": [each.told() for each in self.keys],
        }


@dataclass(slots=True)
class Order:
    """What somebody bought in one request."""

    number: int
    external_id: str | None
    created_at: float
    lines: list[Line] = field(default_factory=list)
    id: str = field(default_factory=lambda: "".join(secrets.choice(_LETTERS) for _ in range(11)))
    status: OrderStatus = OrderStatus.PROCESSING
    updated_at: float = 0.0
    return_asked: bool = False
    returning: bool = False

    @property
    def keys(self) -> Iterator[Key]:
        """All keys, in the order of the lines."""
        return (key for line in self.lines for key in line.keys)

    @property
    def names(self) -> tuple[str, ...]:
        """What the ledger files it under: the external id, else its own."""
        return (self.external_id or self.id,)

    @property
    def preorder_date(self) -> date | None:
        """When a pre-order is released; None for what is out."""
        return next((each.offer.release_date for each in self.lines if each.offer.is_preorder), None)

    @property
    def total(self) -> Decimal:
        """What was taken from the balance, in EUR."""
        return sum((each.price * each.quantity for each in self.lines), Decimal(0))

    def shown(self, *, payment_as_text: bool) -> dict[str, Json]:
        """Return the order as JSON; absent are members that Kinguin leaves out."""
        release = self.preorder_date
        shown: dict[str, Json] = {
            "totalPrice": self.total,
            "requestTotalPrice": sum((each.request_price * each.quantity for each in self.lines), Decimal(0)),
            "paymentPrice": str(self.total) if payment_as_text else self.total,
            "status": self.status,
            "userEmail": "store@sandbox.invalid",
            "storeId": 1,
            "createdAt": rfc3339(self.created_at),
            "orderId": self.id,
            "kinguinOrderId": self.number,
            "products": [each.shown() for each in self.lines],
            "totalQty": sum(each.quantity for each in self.lines),
            "isPreorder": release is not None,
        }
        if self.external_id is not None:
            shown["orderExternalId"] = self.external_id
        if release is not None:
            shown["preorderReleaseDate"] = release.isoformat()
        return shown


class Orders:
    """All orders of the account, the oldest first. They live until the process ends."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._by_external_id: defaultdict[str, list[Order]] = defaultdict(list)

    def add(self, order: Order) -> None:
        """Keep a new order."""
        self._orders[order.id] = order
        if order.external_id is not None:
            self._by_external_id[order.external_id].append(order)

    def next_number(self) -> int:
        """Return the number that a new order has beside its id."""
        return 20_000_000 + len(self._orders)

    def get(self, order_id: str) -> Order | None:
        """Return the order with this id."""
        return self._orders.get(order_id)

    def named(self, external_id: str) -> list[Order]:
        """Return the orders with exactly this external id, the oldest first."""
        return list(self._by_external_id.get(external_id, ()))

    def candidates(self, order_id: str | None, external_id: str | None) -> Iterable[Order]:
        """Return the few orders that one of the ids leaves, or all, the newest first."""
        if order_id is not None:
            found = self._orders.get(order_id)
            return () if found is None else (found,)
        if external_id is not None:
            return reversed(self.named(external_id))
        return reversed(self._orders.values())
