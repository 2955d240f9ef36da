"""What the orders agent asks its workers to do: `payments.calls.v1`, `kinguin.calls.v1` and `deliveries.v1`.

Wishes, in the imperative. `effect_id` names one try; the worker claims it before it acts, and reports
the outcome as an event of the order.
"""

from typing import Annotated, Literal

from pydantic import Field

from bitloot.contracts.base import Instant, Model
from bitloot.contracts.events import MailKind, OrderRecord, PaymentStatus
from bitloot.contracts.personal import SealedText
from bitloot.contracts.sealed import SealedCode
from bitloot.ids import EffectId, ItemId, MessageId, PaymentId, ProductId, PurchaseId, ReservationId
from bitloot.money import Amount, Currency


class EffectRecord(OrderRecord):
    """One try of an effect; `event_id` equals the effect id. `attempt` counts from 1."""

    effect_id: EffectId
    attempt: Annotated[int, Field(ge=1)]


class CreatePayment(EffectRecord):
    """Make an invoice, or with `pay_currency` a payment in that coin, for `amount` of `currency`.

    The ingress does the first try itself, under the same effect id, before it publishes the order. `placed_at` is the
    order's: the link back to its page is made of it.
    """

    type: Literal["create_payment"] = "create_payment"
    amount: Amount
    currency: Currency
    pay_currency: Currency | None = None
    placed_at: Instant


class CheckPayment(EffectRecord):
    """Read a payment. `known_status` is what the order has heard so far, None for nothing.

    `urgent`: a notification says that the order is paid, and what is bought for it waits for this.
    """

    type: Literal["check_payment"] = "check_payment"
    payment_id: PaymentId
    known_status: PaymentStatus | None = None
    urgent: bool = False


class FindPayments(EffectRecord):
    """List the payments of an invoice: no notification of any may have come."""

    type: Literal["find_payments"] = "find_payments"
    invoice_id: str


PaymentCall = Annotated[CreatePayment | CheckPayment | FindPayments, Field(discriminator="type")]


class PurchaseEffect(EffectRecord):
    """An effect for one of an order's purchases."""

    purchase_id: PurchaseId


class PurchaseLine(Model):
    """`quantity` keys of a product, for one item of the order or for a part of it.

    `unit_price` is what the buyer paid for one. `offer_id` buys from that offer of Kinguin's only.
    """

    item_id: ItemId
    product_id: ProductId
    quantity: Annotated[int, Field(ge=1)]
    unit_price: Amount
    offer_id: str | None = None


PurchaseLines = Annotated[tuple[PurchaseLine, ...], Field(min_length=1)]


class BuyKey(PurchaseEffect):
    """Buy all lines at once. `external_id` is the same in every try."""

    type: Literal["buy_key"] = "buy_key"
    external_id: str
    lines: PurchaseLines
    currency: Currency


class GiveReservation(PurchaseEffect):
    """Buy what a reservation holds."""

    type: Literal["give_reservation"] = "give_reservation"
    reservation_id: ReservationId


class LookUpPurchase(PurchaseEffect):
    """Ask Kinguin what it has under our external id, because the outcome of a purchase is unknown."""

    type: Literal["look_up_purchase"] = "look_up_purchase"
    external_id: str


class FetchCodes(PurchaseEffect):
    """Ask for the codes of a purchase."""

    type: Literal["fetch_codes"] = "fetch_codes"
    reservation_id: ReservationId
    external_id: str
    lines: PurchaseLines
    currency: Currency


class ReturnKeys(PurchaseEffect):
    """Ask Kinguin to take the keys of a purchase back: once, within a day, before anybody has downloaded one."""

    type: Literal["return_keys"] = "return_keys"
    reservation_id: ReservationId


KinguinCall = Annotated[
    BuyKey | GiveReservation | LookUpPurchase | FetchCodes | ReturnKeys, Field(discriminator="type")
]


class ItemKeys(Model):
    """The sealed codes of one item, `quantity` of them."""

    item_id: ItemId
    title: str
    codes: Annotated[tuple[SealedCode, ...], Field(min_length=1)]


class StoreKeys(EffectRecord):
    """Open the codes and write them to R2: texts as one object, items in order, each picture as one of its own."""

    type: Literal["store_keys"] = "store_keys"
    items: Annotated[tuple[ItemKeys, ...], Field(min_length=1)]


class MailItem(Model):
    """A line of the mail: what was bought, never a code."""

    title: str
    quantity: int


class SendMail(EffectRecord):
    """Send a mail with a link to the order page, of that generation; `message_id` names the mail, not the try.

    `email` is sealed: only the delivery worker opens it, when it mails.

    `object_key` is set for mails that link to the stored keys as well. `about` says more of the kind: why an order is
    looked into, or what its end was.

    `object_key` is the list of the keys that are texts; `pictures` are the objects of those that are pictures, in
    order. Each has a link of its own.
    """

    type: Literal["send_mail"] = "send_mail"
    message_id: MessageId
    kind: MailKind = MailKind.KEYS
    email: SealedText
    object_key: str
    pictures: tuple[str, ...] = ()
    items: tuple[MailItem, ...]
    link_generation: Annotated[int, Field(ge=0)] = 1
    about: str = ""


Delivery = Annotated[StoreKeys | SendMail, Field(discriminator="type")]
Effect = (
    CreatePayment
    | CheckPayment
    | FindPayments
    | BuyKey
    | GiveReservation
    | LookUpPurchase
    | FetchCodes
    | ReturnKeys
    | StoreKeys
    | SendMail
)
"""Any effect that `decide` can ask for."""
