"""All that is known of an order: its items, purchases and payments, and the outbox of what it has asked for."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from bitloot.contracts.events import PaymentInstructions, PaymentStatus
from bitloot.contracts.sealed import SealedCode
from bitloot.contracts.state import (
    CLOSED,
    ActionState,
    Incident,
    ItemStatus,
    KeyState,
    MailState,
    OrderStatus,
    PaymentState,
    PaymentVerdict,
    ReservationState,
    ReservationStatus,
    Review,
)
from bitloot.ids import (
    ItemId,
    MessageId,
    OrderId,
    PaymentId,
    ProductId,
    PurchaseId,
    ReservationId,
    external_id,
    message_id,
)
from fulfillment.order.policy import Kind

ENDED_BY_SUPPLIER = {"canceled": ReservationStatus.CANCELED, "refunded": ReservationStatus.REVERSED}
"""Refusals (`bitloot.errors.Cause`) that tell of a reservation's end, and what it is from then on."""


@dataclass(frozen=True, slots=True)
class Owed:
    """An entry of the outbox: one try of an effect, and when it is to be sent (again).

    `tries` counts within a series of retries and begins anew when an admin steps in; `attempt` never does. `waits`
    counts the times in a row that it could not even be tried, or that codes were not there yet.
    """

    kind: Kind
    purchase_id: PurchaseId | None
    attempt: int
    since: datetime
    due_at: datetime
    series_since: datetime
    tries: int = 1
    waits: int = 0
    emissions: int = 0
    sent_at: datetime | None = None
    notice: int | None = None
    payment_id: PaymentId | None = None
    invoice_id: str | None = None

    @property
    def key(self) -> tuple[Kind, PurchaseId | None, int | None, PaymentId | None, str | None]:
        """Return what there is at most one of in an outbox."""
        return self.kind, self.purchase_id, self.notice, self.payment_id, self.invoice_id


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the order, as it was placed."""

    item_id: ItemId
    position: int
    product_id: ProductId
    title: str
    quantity: int
    unit_price: Decimal
    offer_id: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """`quantity` keys of an item that are bought together with others, and their sealed codes until they are stored."""

    item_id: ItemId
    quantity: int
    codes: tuple[SealedCode, ...] = ()


@dataclass(frozen=True, slots=True)
class Purchase:
    """What is bought from Kinguin at once: one part for each of its products.

    `time` counts how often it was bought anew on purpose. `tries` counts the tries of the present step (buy, then
    give) that ended without a known outcome. `expected_at` is the release of a pre-order. `is_returning`: Kinguin is
    asked to take its keys back.
    """

    purchase_id: PurchaseId
    parts: tuple[Part, ...]
    status: ItemStatus = ItemStatus.BUYING
    time: int = 1
    reservation_id: ReservationId | None = None
    tries: int = 0
    look_ups: int = 0
    expected_at: datetime | None = None
    is_returning: bool = False

    @property
    def external_id(self) -> str:
        """Return what Kinguin knows this purchase by."""
        return external_id(self.purchase_id, self.time)

    @property
    def quantity(self) -> int:
        """Return how many keys it has."""
        return sum(part.quantity for part in self.parts)


@dataclass(frozen=True, slots=True)
class Order:
    """All that is known of an order. Version 0 is an order that nothing was heard of.

    `time` is its own time, see above; `updated_at` is what the last event that changed it said.
    """

    order_id: OrderId
    version: int = 0
    status: OrderStatus = OrderStatus.UNPLACED
    email: str = ""
    currency: str = ""
    total: Decimal = Decimal(0)
    request_hash: str = ""
    pay_currency: str | None = None
    offers: tuple[PaymentInstructions, ...] = ()
    items: tuple[Item, ...] = ()
    purchases: tuple[Purchase, ...] = ()
    payments: tuple[PaymentState, ...] = ()
    reservations: tuple[ReservationState, ...] = ()
    keys: tuple[KeyState, ...] = ()
    object_key: str | None = None
    mail_number: int = 1
    notice_number: int = 0
    mails: tuple[MailState, ...] = ()
    generation: int = 1
    outbox: tuple[Owed, ...] = ()
    attempts: dict[str, int] = field(default_factory=dict)
    review: Review | None = None
    incidents: tuple[Incident, ...] = ()
    actions: tuple[str, ...] = ()
    answers: tuple[ActionState, ...] = ()
    erased_at: datetime | None = None
    placed_at: datetime | None = None
    paid_at: datetime | None = None
    purchased_at: datetime | None = None
    received_at: datetime | None = None
    stored_at: datetime | None = None
    mailed_at: datetime | None = None
    revealed_at: datetime | None = None
    closed_at: datetime | None = None
    close_at: datetime | None = None
    working_since: datetime | None = None
    updated_at: datetime | None = None
    time: datetime | None = None

    @property
    def closed(self) -> bool:
        """Tell whether the order's status is final."""
        return self.status in CLOSED

    @property
    def refunded(self) -> bool:
        """Tell whether the payment that paid this order was sent back."""
        return any(p.status is PaymentStatus.REFUNDED and p.verdict is PaymentVerdict.ACCEPTED for p in self.payments)

    @property
    def owed(self) -> Decimal:
        """Return what the buyer has paid for keys that will not come, in the order's currency.

        An order that a human has closed owes nothing but what Kinguin has taken back after its delivery.
        """
        if self.paid_at is None or self.refunded or self.status is OrderStatus.REFUNDED:
            return Decimal(0)
        ended = {r.reservation_id for r in self.reservations if r.status in ENDED_BY_SUPPLIER.values()}
        void = [p for p in self.purchases if p.status is ItemStatus.STORED and p.reservation_id in ended]
        lost = [p for p in self.purchases if p.status in {ItemStatus.FAILED, ItemStatus.CANCELED}]
        prices = {item.item_id: item.unit_price for item in self.items}
        parts = (part for purchase in (void if self.closed else void + lost) for part in purchase.parts)
        return sum((prices[part.item_id] * part.quantity for part in parts), Decimal(0))

    @property
    def message_id(self) -> MessageId:
        """Return the id of the mail that is (to be) sent."""
        return message_id(self.order_id, self.mail_number)


def purchase_of(order: Order, purchase_id: PurchaseId) -> Purchase:
    """Return the purchase with this id, which the order must have."""
    return next(purchase for purchase in order.purchases if purchase.purchase_id == purchase_id)


def known_purchase(order: Order, purchase_id: PurchaseId) -> Purchase | None:
    """Return a purchase that an event names, or None when there is none: events of others are not to be trusted."""
    return next((purchase for purchase in order.purchases if purchase.purchase_id == purchase_id), None)


def with_purchase(order: Order, purchase: Purchase) -> Order:
    """Return the order with this purchase in the place of the one with its id."""
    others = (purchase if each.purchase_id == purchase.purchase_id else each for each in order.purchases)
    return replace(order, purchases=tuple(others))


def name_items(order: Order, purchase: Purchase) -> str:
    """Name the items of a purchase for people."""
    positions = {item.item_id: item.position for item in order.items}
    numbers = ", ".join(str(positions[part.item_id]) for part in purchase.parts)
    return f"item {numbers}" if len(purchase.parts) == 1 else f"items {numbers}"
