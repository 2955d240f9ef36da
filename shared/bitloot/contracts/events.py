"""The events of an order: all that `orders.events.v1` carries, keyed by order id.

Facts, in the past tense. Events that come from outside (`order.placed`, `payment.updated`,
`kinguin.notified`) have ids derived from their content; outcomes of effects have ids derived from
the effect, so that the same fact told twice is one event.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from bitloot.contracts.base import Instant, Model, Record, Text
from bitloot.contracts.personal import SealedText
from bitloot.contracts.sealed import SealedCode
from bitloot.ids import EffectId, ItemId, MessageId, OrderId, PaymentId, ProductId, PurchaseId, ReservationId
from bitloot.money import Amount, Currency


class OrderRecord(Record):
    """A record about one order, whose id is also the record's key."""

    order_id: OrderId


class OrderItem(Model):
    """One line of an order: `quantity` keys of one product. `unit_price` is in the order's currency.

    `offer_id` buys from one of Kinguin's offers only, which is what its wholesale prices ask for.
    """

    item_id: ItemId
    product_id: ProductId
    title: str
    quantity: Annotated[int, Field(ge=1, le=1000)]
    unit_price: Amount
    offer_id: str | None = None


class PaymentInstructions(Model):
    """How an order can be paid: what NOWPayments made for it.

    An invoice is a page (`pay_url`) where the buyer picks a coin; its payments carry `invoice_id`. A payment is an
    address for one coin: exactly `pay_amount` of it (rounded up to what the network can carry) goes to `pay_address`,
    with `memo` where the network has memos or tags, and before `valid_until`.
    """

    pay_url: str | None = None
    invoice_id: str | None = None
    payment_id: PaymentId | None = None
    pay_currency: Currency | None = None
    network: str | None = None
    pay_address: str | None = None
    memo: str | None = None
    pay_amount: Amount | None = None
    valid_until: Instant | None = None


class OrderPlaced(OrderRecord):
    """The shop placed an order. `request_hash` tells a repeated request from another one under the same key.

    It is keyed, and `email` sealed, with the order's personal key: without that key neither says anything.

    `pay_currency` is the coin that was asked for, None for a page that offers all. Without `payment_instructions` the
    payment provider could not be asked: they follow as `payment.created`.
    """

    type: Literal["order.placed"] = "order.placed"
    email: SealedText
    currency: Currency
    items: Annotated[tuple[OrderItem, ...], Field(min_length=1)]
    total: Amount
    request_hash: str
    pay_currency: Currency | None = None
    payment_instructions: PaymentInstructions | None = None


class PaymentRequested(OrderRecord):
    """The buyer asked on the order page to pay, in this coin or on the invoice page. One `action_id` is one click."""

    type: Literal["payment.requested"] = "payment.requested"
    action_id: str
    pay_currency: Currency | None = None


class PaymentStatus(StrEnum):
    """NOWPayments' words. What it may say beyond them is `unknown` and changes nothing."""

    WAITING = "waiting"
    CONFIRMING = "confirming"  # seen on chain
    CONFIRMED = "confirmed"
    SENDING = "sending"  # on its way to our wallet
    PARTIALLY_PAID = "partially_paid"  # settled, but less than asked
    FINISHED = "finished"  # settled: the only one that pays an order
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED = "refunded"
    CANCELED = "canceled"  # the merchant's mark on a partial payment; `cancelled` is read as this
    UNKNOWN = "unknown"


class PaymentFacts(Model):
    """What NOWPayments says of a payment.

    `price_*` is what the order costs as NOWPayments has it; `pay_*` what was asked in coins;
    `actually_paid` what came. `parent_payment_id` is set on repeated deposits and wrong assets.
    """

    payment_id: PaymentId
    parent_payment_id: PaymentId | None = None
    invoice_id: str | None = None
    status: PaymentStatus
    provider_status: str
    price_amount: Amount | None = None
    price_currency: Currency | None = None
    pay_amount: Amount | None = None
    pay_currency: Currency | None = None
    actually_paid: Amount | None = None
    outcome_amount: Amount | None = None
    outcome_currency: Currency | None = None
    provider_updated_at: Instant | None = None


class PaymentUpdated(OrderRecord, PaymentFacts):
    """A verified notification told a payment's status, or we asked (`poll`): then `effect_id` is the try that did."""

    type: Literal["payment.updated"] = "payment.updated"
    source: Literal["notification", "poll"] = "notification"
    effect_id: EffectId | None = None


class Notice(StrEnum):
    """What a Kinguin notification says about a reservation."""

    RESERVE = "reserve"
    GIVE = "give"
    DELIVERED = "delivered"
    CANCEL = "cancel"
    REVERSED = "reversed"
    CHANGED = "changed"  # something did, and only a read tells what: `order.status` of the buyer API
    UNKNOWN = "unknown"  # recorded, changes nothing


class KinguinNotified(OrderRecord):
    """Kinguin sent a notification about one of the order's purchases; codes in it are sealed already.

    At least one of `external_id` (ours, which starts with the order id) and `reservation_id` is set.
    """

    type: Literal["kinguin.notified"] = "kinguin.notified"
    notice: Notice
    provider_status: str
    reservation_id: ReservationId | None = None
    external_id: str | None = None
    codes: tuple[SealedCode, ...] = ()
    provider_updated_at: Instant | None = None


class Outcome(OrderRecord):
    """What became of an effect. It takes `effect_id` out of the order's outbox."""

    effect_id: EffectId


class PaymentCreated(Outcome):
    """NOWPayments has made an invoice or a payment for the order."""

    type: Literal["payment.created"] = "payment.created"
    payment_instructions: PaymentInstructions


class PaymentsFound(Outcome):
    """All payments that NOWPayments lists for one of the order's invoices."""

    type: Literal["payments.found"] = "payments.found"
    payments: tuple[PaymentFacts, ...]


class PurchasePlaced(Outcome):
    """Kinguin has a reservation for the purchase; `given` tells whether it is bought as well."""

    type: Literal["purchase.placed"] = "purchase.placed"
    purchase_id: PurchaseId
    reservation_id: ReservationId
    given: bool
    provider_status: str = ""


class FoundReservation(Model):
    """A purchase that a look-up found under our external id. `canceled` ones have bought nothing."""

    reservation_id: ReservationId
    given: bool
    canceled: bool = False
    provider_status: str = ""


class PurchasesFound(Outcome):
    """Kinguin was asked what it has under our external id; an empty answer means nothing (yet)."""

    type: Literal["purchases.found"] = "purchases.found"
    purchase_id: PurchaseId
    reservations: tuple[FoundReservation, ...]


class ReservationGiven(Outcome):
    """A reservation that was made before is now bought."""

    type: Literal["reservation.given"] = "reservation.given"
    purchase_id: PurchaseId
    reservation_id: ReservationId


class LineCodes(Model):
    """The codes of one line of a purchase, sealed, in the provider's order."""

    item_id: ItemId
    codes: tuple[SealedCode, ...]


class CodesReceived(Outcome):
    """A purchase's codes, line by line.

    Where `never` is set there are fewer than were bought, and the others will not come: it says why (`canceled` or
    `refunded`).
    """

    type: Literal["codes.received"] = "codes.received"
    purchase_id: PurchaseId
    reservation_id: ReservationId
    lines: Annotated[tuple[LineCodes, ...], Field(min_length=1)]
    never: Literal["", "canceled", "refunded"] = ""


class CodesPending(Outcome):
    """Kinguin has the purchase but not all of its codes yet; `expected_at` is the release of a pre-order."""

    type: Literal["codes.pending"] = "codes.pending"
    purchase_id: PurchaseId
    reservation_id: ReservationId
    provider_status: str = ""
    expected_at: Instant | None = None


class KeysReturned(Outcome):
    """Kinguin takes the keys of a purchase back. `statuses` are its words for each key; they may change later."""

    type: Literal["keys.returned"] = "keys.returned"
    purchase_id: PurchaseId
    reservation_id: ReservationId
    statuses: tuple[str, ...] = ()


class StoredObject(Model):
    """A key that is a picture, as an object of its own. `position` counts within the item from 1."""

    item_id: ItemId
    position: Annotated[int, Field(ge=1)]
    object_key: str
    media_type: str


class KeysStored(Outcome):
    """The order's codes are in R2. `sha256` is of the object's bytes, in hex; `codes` counts all keys.

    The object is `{"codes": [...]}`: the keys that are texts, items in order. A key that is a picture is an object of
    its own, listed in `objects` in the same order, and is not in that list.
    """

    type: Literal["keys.stored"] = "keys.stored"
    object_key: str
    sha256: str
    codes: int
    objects: tuple[StoredObject, ...] = ()


class MailSent(Outcome):
    """The mail provider accepted a mail (which is not yet its delivery)."""

    type: Literal["mail.sent"] = "mail.sent"
    message_id: MessageId
    provider_message_id: str


class Failure(StrEnum):
    """How an effect failed, and so what may follow."""

    TRANSIENT = "transient"  # known to have had no effect: the same may be tried again
    REFUSED = "refused"  # a final no: a human must decide
    UNKNOWN = "unknown"  # it may have happened: ask before anything else


class EffectFailed(Outcome):
    """An effect failed. `cause` is a stable word (`bitloot.errors.Cause`), `retry_after` is in seconds."""

    type: Literal["effect.failed"] = "effect.failed"
    purchase_id: PurchaseId | None = None
    failure: Failure
    cause: str
    detail: Text = ""
    retry_after: float | None = None


class KeysRevealed(OrderRecord):
    """The buyer pressed "Reveal key" on the order page, from an address that starts with `client` (a CIDR prefix)."""

    type: Literal["keys.revealed"] = "keys.revealed"
    client: str = ""


class MailKind(StrEnum):
    """What a mail is about. None of them ever holds a code."""

    KEYS = "keys"  # "Your BitLoot Order": the page, and the link that opens the keys
    PAGE = "page"  # the page alone: there are no keys to open (yet)
    LOST = "lost"  # asked for by whoever lost the links: the pages of all orders of the address
    CONFIRM = "confirm"  # to a new address: is it yours?
    REVIEW = "review"  # the order waits for a person
    REFUNDED = "refunded"
    CANCELED = "canceled"  # nobody paid in time, or the payment failed for good


class MailRequested(OrderRecord):
    """Somebody asked for a mail: each `action_id` is one click, and one message.

    `actor` is `buyer` for whoever holds the order page's link, `support` for who asked by mail address, else an admin.
    `CONFIRM` goes to `email`, an address that is not the order's (yet). Other mails go to the order's own; `email` says
    which that was when it was asked, for an order that closed so long ago that nothing but a mark of it is left.
    """

    type: Literal["mail.requested"] = "mail.requested"
    action_id: str
    actor: str
    kind: MailKind = MailKind.KEYS
    email: SealedText | None = None
    reason: Text = ""


class EmailChanged(OrderRecord):
    """The order's mail address is another one now: proven by its owner, or set by an admin.

    Revokes all earlier links to the order page. `generation` is the one of the links that the change was asked with:
    a confirmation that is older than the newest links changes nothing.
    """

    type: Literal["email.changed"] = "email.changed"
    action_id: str
    actor: str
    email: SealedText
    generation: Annotated[int, Field(ge=0)] | None = None
    reason: Text = ""


class LinkRevoked(OrderRecord):
    """All links to the order page that were given out before are to open nothing any more."""

    type: Literal["link.revoked"] = "link.revoked"
    action_id: str
    actor: str
    reason: Text = ""


class MailDelivery(StrEnum):
    """How far a mail came, as far as is known, in the order of what is believed more: see `MAIL_RANKS`."""

    PENDING = "pending"  # asked for, and not accepted by the mail provider yet
    SENT = "sent"  # accepted by the mail provider
    DELAYED = "delayed"  # the recipient's server does not take it for the time being
    DELIVERED = "delivered"
    FAILED = "failed"  # the mail provider could not send it, or said no to it
    SUPPRESSED = "suppressed"  # not sent: the address bounced or complained before
    BOUNCED = "bounced"  # the address does not take mail
    COMPLAINED = "complained"  # the recipient called it spam


MAIL_RANKS = {each: rank for rank, each in enumerate(MailDelivery)}
"""News of a mail counts only when it ranks above what is known: notifications come late and in any order."""


class MailDeliveryUpdated(OrderRecord):
    """The mail provider told how far a mail came. `detail` is its word for the reason."""

    type: Literal["mail.delivery_updated"] = "mail.delivery_updated"
    message_id: MessageId
    provider_message_id: str = ""
    delivery: MailDelivery
    detail: Text = ""


class ReprocessRequested(OrderRecord):
    """An admin asked to go on with an order that waits for a human. One `action_id` is one click."""

    type: Literal["reprocess.requested"] = "reprocess.requested"
    action_id: str
    actor: str
    reason: Text = ""


class Resolution(StrEnum):
    """How a human ends a review."""

    RETRY = "retry"  # go on where the order stopped
    MARK_REFUNDED = "mark_refunded"  # the buyer has the money back
    DELIVERED_BY_HAND = "delivered_by_hand"  # the buyer has the keys, though not from here
    CLOSE = "close"  # nothing more is to be done


class ReviewResolved(OrderRecord):
    """An admin decided about an order that waits for a human, and said why. One `action_id` is one click."""

    type: Literal["review.resolved"] = "review.resolved"
    action_id: str
    actor: str
    resolution: Resolution
    reason: Annotated[Text, Field(min_length=1)]


class KeysReturnRequested(OrderRecord):
    """An admin wants Kinguin to take back what an order has bought and nobody has downloaded.

    One `action_id` is one click. What becomes of it: `keys.returned` and a review `keys_returned`, or an incident
    `return_refused`. Where nothing can be returned its answer says so at once.
    """

    type: Literal["keys.return_requested"] = "keys.return_requested"
    action_id: str
    actor: str
    reason: Text = ""


class BuyerErased(OrderRecord):
    """An order's personal key was destroyed: whatever was sealed under it is gone wherever it stands.

    Whoever reads this destroys the key where it is (still, or again after a backup was restored), and the plain
    address with it. One `action_id` is one click.
    """

    type: Literal["buyer.erased"] = "buyer.erased"
    action_id: str
    actor: str
    reason: Text = ""


class TimerFired(OrderRecord):
    """A time that the order had set itself (`Order.wake_at`) has come."""

    type: Literal["timer.fired"] = "timer.fired"


class OrderRetired(OrderRecord):
    """A closed order has been kept for long enough: it leaves the orders agent's table for good.

    Written by the agent itself, so that leaving is repeated until all of it is stored. Its reservations leave too.
    """

    type: Literal["order.retired"] = "order.retired"
    closed_at: Instant
    reservation_ids: tuple[ReservationId, ...] = ()


OrderEvent = Annotated[
    OrderPlaced
    | PaymentRequested
    | PaymentUpdated
    | PaymentCreated
    | PaymentsFound
    | KinguinNotified
    | PurchasePlaced
    | PurchasesFound
    | ReservationGiven
    | CodesReceived
    | CodesPending
    | KeysReturned
    | KeysStored
    | MailSent
    | EffectFailed
    | KeysRevealed
    | MailRequested
    | EmailChanged
    | LinkRevoked
    | MailDeliveryUpdated
    | ReprocessRequested
    | ReviewResolved
    | KeysReturnRequested
    | BuyerErased
    | TimerFired
    | OrderRetired,
    Field(discriminator="type"),
]
