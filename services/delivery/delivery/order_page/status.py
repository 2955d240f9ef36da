"""What a buyer is told about an order. Pure: the order as the read model has it goes in, public words come out."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from bitloot.contracts.base import Instant
from bitloot.contracts.events import MAIL_RANKS, MailDelivery, MailKind
from bitloot.contracts.state import CLOSED, MailState, OrderStatus
from bitloot.ids import OrderId
from bitloot.money import Amount
from delivery.mail_words import review_words


@dataclass(frozen=True, slots=True)
class Line:
    """What was bought."""

    title: str
    quantity: int


class PayInstructions(BaseModel):
    """How the order can be paid, as the read model has it: an address for one coin, where one was asked for."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    pay_currency: str | None = None
    network: str | None = None
    pay_address: str | None = None
    memo: str | None = None
    pay_amount: Amount | None = None
    valid_until: Instant | None = None


class KnownMail(MailState):
    """A mail as the read model has it: with its address in plain, or empty once the buyer's data was erased."""

    recipient: str


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as the read model has it."""

    order_id: OrderId
    version: int
    status: OrderStatus
    lines: tuple[Line, ...] = ()
    email: str | None = None
    pay_url: str | None = None
    object_key: str | None = None
    pictures: tuple[str, ...] = ()
    generation: int = 1
    mails: tuple[KnownMail, ...] = ()
    review_cause: str | None = None
    keys_deleted: bool = False
    left: bool = False
    """Whether it closed so long ago that nothing can be changed about it any more."""
    instructions: PayInstructions | None = None
    placed_at: datetime | None = None
    paid_at: datetime | None = None
    purchased_at: datetime | None = None
    stored_at: datetime | None = None
    mailed_at: datetime | None = None
    revealed_at: datetime | None = None
    updated_at: datetime | None = None


class Tone(StrEnum):
    """How a state feels to the buyer; decides color and symbol."""

    WAITING = "waiting"  # it is the buyer's turn
    WORKING = "working"  # it is ours
    READY = "ready"
    ATTENTION = "attention"  # a person looks at it
    ENDED = "ended"  # nothing more will happen


class _Public(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Step(_Public):
    """A stage on the way. `at` is set with `done` where the time is known."""

    name: Literal["placed", "paid", "purchased", "stored", "mailed"]
    label: str
    done: bool
    at: datetime | None = None


class Item(_Public):
    """A line of the order."""

    title: str
    quantity: int


class Pay(_Public):
    """How to pay. `uri` is what a wallet reads; without an address there is only the page at `url`."""

    url: str | None = None
    currency: str | None = None
    network: str | None = None
    address: str | None = None
    memo: str | None = None
    amount: Amount | None = None
    valid_until: datetime | None = None
    uri: str


class Mail(_Public):
    """The newest mail with a link: to whom (masked), how far it came, and whether the address does not work."""

    to: str
    delivery: MailDelivery
    words: str
    broken: bool
    pending: bool


class PublicStatus(_Public):
    """The answer of `GET /o/{token}/status`.

    `version` changes whenever anything here may have changed; `live` tells whether it still can.
    `address_changes` tells whether the order still takes another mail address.
    """

    order_id: OrderId
    version: int
    status: OrderStatus
    tone: Tone
    headline: str
    message: str
    steps: tuple[Step, ...]
    items: tuple[Item, ...]
    keys: int
    pay_url: str | None = None
    pay: Pay | None = None
    revealable: bool
    keys_deleted: bool = False
    mail: Mail | None = None
    address_changes: bool = True
    revealed_at: datetime | None = None
    mailed_to: str | None = None
    updated_at: datetime | None = None
    live: bool


_WITHHELD = frozenset({OrderStatus.CANCELED, OrderStatus.REFUNDED, OrderStatus.FAILED})


def revealable(order: OrderView) -> bool:
    """Tell whether the keys are stored and the buyer may see them.

    That is so while a mail is still under way and while a person looks at the order, too: the page is the
    second way to the keys.
    """
    stored = order.object_key is not None and order.stored_at is not None and not order.keys_deleted
    return stored and order.status not in _WITHHELD


def present(order_id: OrderId, order: OrderView | None) -> PublicStatus:
    """Return what the buyer of `order_id` is told; `order` is None while the read model does not have it yet.

    Links are signed, so an order that is not there was placed a moment ago.
    """
    order = order or OrderView(order_id, 0, OrderStatus.UNPLACED)
    keys = sum(line.quantity for line in order.lines)
    tone, headline, message = _words(order, "key" if keys == 1 else "keys")
    mail = _mail(order)
    return PublicStatus(
        order_id=order_id,
        version=order.version,
        status=order.status,
        tone=tone,
        headline=headline,
        message=message,
        steps=_steps(order, "Key" if keys == 1 else "Keys"),
        items=tuple(Item(title=line.title, quantity=line.quantity) for line in order.lines),
        keys=keys,
        pay_url=_payable(order),
        pay=_pay(order),
        revealable=revealable(order),
        keys_deleted=order.keys_deleted,
        mail=mail,
        address_changes=not order.left and (order.email is not None or order.placed_at is None),
        revealed_at=order.revealed_at,
        mailed_to=masked(order.email) if order.email and order.mailed_at else None,
        updated_at=order.updated_at,
        live=order.status not in CLOSED
        or (order.status is OrderStatus.FULFILLED and mail is not None and mail.pending),
    )


def _awaits_mail(order: OrderView, mail: Mail | None) -> bool:
    return order.status is OrderStatus.FULFILLED and mail is not None and mail.pending


_WALLETS = {"btc": "bitcoin", "ltc": "litecoin", "doge": "dogecoin", "bch": "bitcoincash", "dash": "dash"}
"""Coins whose wallets read BIP 21 addresses with an amount. Of others only the address is safe to show as a code."""


def _pay(order: OrderView) -> Pay | None:
    if order.status is not OrderStatus.AWAITING_PAYMENT:
        return None
    how, url = order.instructions or PayInstructions(), _payable(order)
    if how.pay_address is None or how.pay_amount is None:
        return None if url is None else Pay(url=url, uri=url)
    scheme = _WALLETS.get((how.pay_currency or "").lower())
    plain = how.pay_address.removeprefix(f"{scheme}:")
    uri = f"{scheme}:{plain}?amount={how.pay_amount:f}" if scheme and not how.memo else how.pay_address
    return Pay(
        url=url,
        currency=(how.pay_currency or "").upper() or None,
        network=how.network.upper() if how.network else None,
        address=how.pay_address,
        memo=how.memo,
        amount=how.pay_amount,
        valid_until=how.valid_until,
        uri=uri,
    )


_MAIL_WORDS = {
    MailDelivery.PENDING: "is on its way",
    MailDelivery.SENT: "was sent",
    MailDelivery.DELAYED: "was sent; the mailbox does not take it yet, and we keep trying",
    MailDelivery.DELIVERED: "was delivered",
    MailDelivery.FAILED: "could not be sent",
    MailDelivery.SUPPRESSED: "was not sent, because mail to this address came back before",
    MailDelivery.BOUNCED: "came back: the address does not take it",
    MailDelivery.COMPLAINED: "was marked as spam",
}
_LINKING = {MailKind.KEYS, MailKind.PAGE, MailKind.LOST}


def _mail(order: OrderView) -> Mail | None:
    """Return the newest mail that has a link for the order's present address."""
    ours = [m for m in order.mails if m.kind in _LINKING and m.recipient == order.email and m.detail != "replaced"]
    if not ours:
        return None
    newest = max(ours, key=lambda mail: mail.requested_at)
    rank = MAIL_RANKS[newest.delivery]
    return Mail(
        to=masked(newest.recipient),
        delivery=newest.delivery,
        words=_MAIL_WORDS[newest.delivery],
        broken=rank >= MAIL_RANKS[MailDelivery.FAILED],
        pending=rank < MAIL_RANKS[MailDelivery.DELIVERED],
    )


def _payable(order: OrderView) -> str | None:
    """Return where to pay; only a web address becomes a link, whatever the provider said."""
    url = order.pay_url or ""
    wanted = order.status is OrderStatus.AWAITING_PAYMENT and url.startswith(("https://", "http://"))
    return url if wanted else None


def masked(email: str) -> str:
    """Return a mail address that its owner recognizes and nobody else learns."""
    name, at, domain = email.rpartition("@")
    return f"{name[:1]}•••{at}{domain}"


def _steps(order: OrderView, keys: str) -> tuple[Step, ...]:
    mail = f"Mail sent to {masked(order.email)}" if order.email and order.mailed_at else "Mail with the link sent"
    return (
        _step("placed", "Order placed", order.placed_at),
        _step("paid", "Payment received", order.paid_at),
        _step("purchased", f"{keys} bought", order.purchased_at),
        _step("stored", f"{keys} stored, ready to reveal", order.stored_at),
        _step("mailed", mail, order.mailed_at),
    )


def _step(name: Literal["placed", "paid", "purchased", "stored", "mailed"], label: str, at: datetime | None) -> Step:
    return Step(name=name, label=label, done=at is not None, at=at)


def _words(order: OrderView, keys: str) -> tuple[Tone, str, str]:  # noqa: C901, PLR0911 - a case for each status
    are = "is" if keys == "key" else "are"
    match order.status:
        case OrderStatus.UNPLACED:
            return Tone.WORKING, "We have your order", "One moment: it is being set up. This page goes on by itself."
        case OrderStatus.AWAITING_PAYMENT:
            return (
                Tone.WAITING,
                "Waiting for your payment",
                f"As soon as the payment is final, we get your {keys}. This page goes on by itself.",
            )
        case OrderStatus.PAID | OrderStatus.PURCHASING:
            return (
                Tone.WORKING,
                "Payment received",
                f"We are getting your {keys}. This usually takes less than a minute; you can leave this page open.",
            )
        case OrderStatus.DELIVERING if not revealable(order):
            return Tone.WORKING, "Almost there", f"Your {keys} {are} here and being stored safely."
        case OrderStatus.DELIVERING:
            return Tone.READY, f"Your {keys} {are} ready", "The mail with the link is on its way."
        case OrderStatus.FULFILLED if order.keys_deleted:
            return (
                Tone.ENDED,
                f"Your {keys} {are} not kept any longer",
                "The time for which we keep them is over. If you have not used them yet, write to us.",
            )
        case OrderStatus.FULFILLED:
            return (
                Tone.READY,
                f"Your {keys} {are} ready",
                "Reveal works as often as you like. Keep this page's address to yourself.",
            )
        case OrderStatus.NEEDS_REVIEW:
            return Tone.ATTENTION, "We are looking into your order", _review(order)
        case OrderStatus.CANCELED:
            return (
                Tone.ENDED,
                "This order was canceled",
                "No payment arrived in time. If you did pay, write to us with the order number below.",
            )
        case OrderStatus.REFUNDED:
            return Tone.ENDED, "This order was refunded", "Your payment was sent back and no key was bought."
        case OrderStatus.FAILED:
            return (
                Tone.ENDED,
                "The payment did not go through",
                "No key was bought. You can place the order again in the shop.",
            )


def _review(order: OrderView) -> str:
    return (
        f"{review_words(order.review_cause or '')} You do not have to do anything: "
        "we will write to you. If you write to us, name the order number below."
    )
