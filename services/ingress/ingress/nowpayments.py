"""NOWPayments' notifications (IPN): verified, then understood as `PaymentUpdated`. Pure.

One comes for every change of a payment, at least once, in any order. It has no id of its own, so the event's
id is made of what it says: a repeat has the same, a second `partially_paid` with another amount a new one.
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import SecretStr

from bitloot.contracts.events import PaymentStatus, PaymentUpdated
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.ids import EventId, OrderId, PaymentId, content_id, is_order_id
from bitloot.signing import Refusal, nowpayments_verify
from ingress import fields
from ingress.fields import Document
from ingress.notification import Incoming, Notification, Publication, Reader, sound_object, unverified

SIGNATURE_HEADER = "x-nowpayments-sig"

# What makes one notification of a payment another one than the last.
_FACTS = {
    "order_id",
    "parent_payment_id",
    "invoice_id",
    "status",
    "price_amount",
    "price_currency",
    "pay_amount",
    "pay_currency",
    "actually_paid",
    "outcome_amount",
    "outcome_currency",
}


def reader(secrets: Sequence[SecretStr]) -> Reader:
    """Return the reader of notifications that are signed with one of the secrets."""

    def read(incoming: Incoming) -> Notification:
        verdict = nowpayments_verify(incoming.body, incoming.headers.get(SIGNATURE_HEADER), secrets)
        if verdict.refusal is not None or verdict.parsed is None:
            raise unverified(verdict.refusal or Refusal.NOT_JSON)
        document = sound_object(verdict.parsed)
        understand = _payment if document.get("payment_id") is not None else _other
        return understand(document, incoming, verdict.matched)

    return read


def payment_status(word: str) -> PaymentStatus:
    """Return the status that a word of the provider means; `UNKNOWN` for one that we do not know."""
    word = word.lower()
    try:
        return PaymentStatus.CANCELED if word == "cancelled" else PaymentStatus(word)
    except ValueError:
        return PaymentStatus.UNKNOWN


def _payment(document: Document, incoming: Incoming, matched: str) -> Notification:
    # All of it is read before anything is decided: what is broken is refused, whatever order it names.
    event = _event(document, incoming.received_at)
    ours = is_order_id(event.order_id)
    return Notification(
        provider="nowpayments",
        external_id=event.payment_id,
        event_type=event.provider_status.lower(),
        event_id=event.event_id,
        body=incoming.body.decode(),
        matched=matched,
        order_id=event.order_id if ours else None,
        publication=Publication(ORDER_EVENTS, event.order_id, event) if ours else None,
        note="" if ours else "it names no order of ours",
        about={"payment_id": event.payment_id, "status": event.status},
    )


def _event(document: Document, now: datetime) -> PaymentUpdated:
    event = PaymentUpdated(
        event_id=EventId(""),
        occurred_at=now,
        order_id=OrderId(_order_id(document)),
        payment_id=PaymentId(_required(fields.identifier(document, "payment_id"), "payment_id")),
        parent_payment_id=_payment_id(fields.identifier(document, "parent_payment_id")),
        invoice_id=fields.identifier(document, "invoice_id"),
        provider_status=_required(fields.word(document, "payment_status"), "payment_status"),
        status=payment_status(fields.word(document, "payment_status") or ""),
        price_amount=fields.exact_amount(document, "price_amount"),
        price_currency=fields.currency(document, "price_currency"),
        pay_amount=fields.coin_amount(document, "pay_amount"),
        pay_currency=fields.currency(document, "pay_currency"),
        actually_paid=fields.coin_amount(document, "actually_paid"),
        outcome_amount=fields.coin_amount(document, "outcome_amount"),
        outcome_currency=fields.currency(document, "outcome_currency"),
        provider_updated_at=fields.instant(document, "updated_at"),
    )
    return event.model_copy(update={"event_id": _event_id(event)})


def _event_id(event: PaymentUpdated) -> EventId:
    # Not its time: a notification that is sent again by hand may have a new one.
    facts = event.model_dump(include=_FACTS)
    rest = (f"{name}={facts[name]}" for name in sorted(facts))
    return content_id("nowpayments", event.payment_id, event.provider_status.lower(), *rest)


def _order_id(document: Document) -> str:
    """Return whatever the order is called; another shop's account may use numbers, or nothing."""
    match document.get("order_id"):
        case None:
            return ""
        case str(text):
            return text
        case int(number) if not isinstance(number, bool):
            return str(number)
        case _:
            raise fields.refuse("order_id", "a text")


def _payment_id(plain: str | None) -> PaymentId | None:
    return None if plain is None else PaymentId(plain)


def _required(value: str | None, name: str) -> str:
    if value is None:
        raise fields.refuse(name, "there")
    return value


def _other(document: Document, incoming: Incoming, matched: str) -> Notification:
    """Payouts and subscriptions share the address: acknowledged and logged, nothing more."""
    payout = "batch_withdrawal_id" in document
    external_id = fields.label(document, "id", "batch_withdrawal_id")
    event_type = f"{'payout' if payout else 'other'}.{fields.label(document, 'status', 'payment_status').lower()}"
    return Notification(
        provider="nowpayments",
        external_id=external_id,
        event_type=event_type,
        event_id=content_id("nowpayments", external_id, event_type, incoming.body.decode()),
        body=incoming.body.decode(),
        matched=matched,
        note="it is about a payout" if payout else "it is about no payment",
    )
