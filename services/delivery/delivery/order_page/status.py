"""What a buyer is told about an order. Pure: the order as the read model has it goes in, public words come out."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from bitloot.contracts.state import CLOSED, OrderStatus
from bitloot.ids import OrderId


@dataclass(frozen=True, slots=True)
class Line:
    """What was bought."""

    title: str
    quantity: int


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


class PublicStatus(_Public):
    """The answer of `GET /o/{token}/status`.

    `version` changes whenever anything here may have changed; `live` tells whether it still can.
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
    revealable: bool
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
    return order.object_key is not None and order.stored_at is not None and order.status not in _WITHHELD


def present(order_id: OrderId, order: OrderView | None) -> PublicStatus:
    """Return what the buyer of `order_id` is told; `order` is None while the read model does not have it yet.

    Links are signed, so an order that is not there was placed a moment ago.
    """
    order = order or OrderView(order_id, 0, OrderStatus.UNPLACED)
    keys = sum(line.quantity for line in order.lines)
    tone, headline, message = _words(order, "key" if keys == 1 else "keys")
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
        revealable=revealable(order),
        revealed_at=order.revealed_at,
        mailed_to=masked(order.email) if order.email and order.mailed_at else None,
        updated_at=order.updated_at,
        live=order.status not in CLOSED,
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
    paid = "Your payment is safe with us" if order.paid_at else "We have heard of your payment"
    return (
        f"{paid}, but something needs a person's eye before we can go on. You do not have to do anything: "
        "we will write to you. If you write to us, name the order number below."
    )
