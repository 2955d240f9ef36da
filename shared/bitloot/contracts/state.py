"""The public state of an order: `orders.state.v1`, compacted, keyed by order id.

A snapshot, without codes in any form: Postgres and the order page are filled from it.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from bitloot.contracts.base import Instant, Model, Text
from bitloot.contracts.events import MailDelivery, MailKind, OrderRecord, PaymentInstructions, PaymentStatus
from bitloot.contracts.personal import SealedText
from bitloot.ids import ItemId, MessageId, PaymentId, ProductId, PurchaseId, ReservationId
from bitloot.money import Amount, Currency


class OrderStatus(StrEnum):
    """Where an order is. The last four never change again."""

    UNPLACED = "unplaced"  # something was heard of it before the order itself
    AWAITING_PAYMENT = "awaiting_payment"
    PAID = "paid"  # a notification says so; the payment is read once before anything is asked of Kinguin
    PURCHASING = "purchasing"  # some item's codes are missing
    DELIVERING = "delivering"  # codes are being stored and mailed
    NEEDS_REVIEW = "needs_review"  # a human must decide
    FULFILLED = "fulfilled"  # stored and mailed
    CANCELED = "canceled"  # nobody paid in time
    REFUNDED = "refunded"  # the money went back before a key was bought
    FAILED = "failed"  # the payment failed for good, nothing was paid


CLOSED = frozenset({OrderStatus.FULFILLED, OrderStatus.CANCELED, OrderStatus.REFUNDED, OrderStatus.FAILED})


class ItemStatus(StrEnum):
    """Where an item is: as far as the least of the purchases that were made for it."""

    WAITING = "waiting"  # not paid, or not asked for yet
    BUYING = "buying"  # asked for, no answer yet
    RESERVED = "reserved"  # reserved, not bought yet
    BOUGHT = "bought"  # bought, codes not here yet
    RECEIVED = "received"  # codes here, sealed
    STORED = "stored"  # codes in R2
    FAILED = "failed"  # could not be bought: see the order's review
    CANCELED = "canceled"  # Kinguin canceled or reversed it


class ReservationStatus(StrEnum):
    """What we know of a reservation at Kinguin."""

    RESERVED = "reserved"
    GIVEN = "given"
    DELIVERED = "delivered"
    CANCELED = "canceled"
    REVERSED = "reversed"


class PaymentVerdict(StrEnum):
    """What a payment means for its order."""

    OPEN = "open"  # not settled
    CHECKING = "checking"  # it would pay the order: being read, before anything is bought
    ACCEPTED = "accepted"  # paid the order
    MISMATCH = "mismatch"  # price or currency is not the order's
    UNDERPAID = "underpaid"  # settled with less than asked
    EXTRA = "extra"  # more money for an order that was paid, or a deposit of its own
    LATE = "late"  # came after the payment had ended
    FOREIGN = "foreign"  # neither one that we made nor one of our invoice
    ENDED = "ended"  # expired, failed, refunded or canceled


class ItemState(Model):
    """An item as the public sees it.

    `reservation_id` is the first purchase that holds keys of it, `expected_at` the release of a pre-order.
    """

    item_id: ItemId
    position: int
    product_id: ProductId
    title: str
    quantity: int
    unit_price: Amount
    status: ItemStatus
    reservation_id: ReservationId | None = None
    expected_at: Instant | None = None


class ReservationState(Model):
    """A reservation (or order) at Kinguin and how far it came, with times.

    `item_id` is the first of the items that it has keys for, `item_ids` are all of them.
    """

    reservation_id: ReservationId
    purchase_id: PurchaseId
    item_id: ItemId
    item_ids: tuple[ItemId, ...] = ()
    status: ReservationStatus
    reserved_at: Instant
    given_at: Instant | None = None
    delivered_at: Instant | None = None
    ended_at: Instant | None = None


class PaymentState(Model):
    """A payment, its last status and what it means. `found_by` tells how we learned of that status."""

    payment_id: PaymentId
    parent_payment_id: PaymentId | None = None
    invoice_id: str | None = None
    status: PaymentStatus
    provider_status: str
    verdict: PaymentVerdict
    price_amount: Amount | None = None
    price_currency: Currency | None = None
    pay_amount: Amount | None = None
    pay_currency: Currency | None = None
    actually_paid: Amount | None = None
    outcome_amount: Amount | None = None
    outcome_currency: Currency | None = None
    found_by: Literal["notification", "poll"] = "notification"
    first_seen_at: Instant
    updated_at: Instant


class KeyState(Model):
    """One delivered code: where it is, never what it is. `position` counts within the item from 1.

    A text (`text/plain`) is in the list that `storage_ref`, the order's `object_key`, names: the n-th text of the
    order, by items and positions, is the n-th code there. A picture (any other `media_type`) is an object of its own,
    which `storage_ref` names; whoever shows it signs a link to that.
    """

    item_id: ItemId
    position: int
    storage_ref: str
    media_type: str = "text/plain"
    created_at: Instant
    viewed_at: Instant | None = None


class MailState(Model):
    """A mail of the order and how far it came. `detail` is the mail provider's reason, or ours.

    `recipient` is sealed, as `OrderSnapshot.email` is.
    """

    message_id: MessageId
    kind: MailKind
    recipient: SealedText
    about: str = ""
    requested_by: str = ""
    requested_at: Instant
    provider_message_id: str | None = None
    sent_at: Instant | None = None
    delivery: MailDelivery = MailDelivery.PENDING
    detail: Text = ""
    delivery_at: Instant | None = None


class Review(Model):
    """Why an order waits for a human."""

    cause: str
    detail: Text
    item_id: ItemId | None = None
    since: Instant


class Incident(Model):
    """Something that a human must hear of though the order goes on or has ended."""

    cause: str
    detail: Text
    at: Instant


class ActionState(Model):
    """What became of an admin's click when its event reached the order.

    `accepted` tells whether anything followed; `detail` is why nothing did, else empty.
    """

    action_id: str
    type: str
    actor: str
    accepted: bool
    detail: Text = ""
    at: Instant


class OrderSnapshot(OrderRecord):
    """An order's whole public state. `version` grows by one with every change: the newest wins.

    `owed` is what the buyer has paid for keys that will not come, in the order's currency; 0 once it was sent back.
    `payment_instructions` are the newest ones; `pay_url` and `invoice_id` are theirs.
    """

    type: Literal["order.state"] = "order.state"
    version: Annotated[int, Field(ge=1)]
    status: OrderStatus
    email: SealedText | None = None
    currency: Currency | None = None
    total: Amount | None = None
    request_hash: str | None = None
    pay_url: str | None = None
    invoice_id: str | None = None
    pay_currency: Currency | None = None
    payment_instructions: PaymentInstructions | None = None
    items: tuple[ItemState, ...] = ()
    payments: tuple[PaymentState, ...] = ()
    reservations: tuple[ReservationState, ...] = ()
    keys: tuple[KeyState, ...] = ()
    object_key: str | None = None
    owed: Amount = Decimal(0)
    message_id: MessageId | None = None
    mails: tuple[MailState, ...] = ()
    link_generation: Annotated[int, Field(ge=0)] = 1
    review: Review | None = None
    incidents: tuple[Incident, ...] = ()
    actions: tuple[ActionState, ...] = ()
    placed_at: Instant | None = None
    paid_at: Instant | None = None
    purchased_at: Instant | None = None
    received_at: Instant | None = None
    stored_at: Instant | None = None
    mailed_at: Instant | None = None
    revealed_at: Instant | None = None
    closed_at: Instant | None = None
    updated_at: Instant
