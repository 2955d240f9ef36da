"""NOWPayments' notifications (IPN): verified, then understood as `PaymentUpdated`. Pure.

One comes for every change of a payment, at least once, in any order. It has no id of its own, so the event's
id is made of what it says: a repeat has the same, a second `partially_paid` with another amount a new one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from bitloot.contracts.events import PaymentUpdated
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.ids import EventId, OrderId, content_id, is_order_id
from bitloot.signing import Refusal, nowpayments_verify
from ingress import fields
from ingress.fields import Document
from ingress.notification import (
    Incoming,
    NotAccepted,
    Notification,
    Publication,
    Reader,
    Reason,
    sound_object,
    unverified,
)
from ingress.payment_facts import order_named, read_members
from ingress.signature_hints import other_form

SIGNATURE_HEADER = "x-nowpayments-sig"

# What makes one notification of a payment another one than the last.
_FACTS = (
    "actually_paid",
    "invoice_id",
    "order_id",
    "outcome_amount",
    "outcome_currency",
    "parent_payment_id",
    "pay_amount",
    "pay_currency",
    "price_amount",
    "price_currency",
    "status",
)


def reader(secrets: Sequence[SecretStr]) -> Reader:
    """Return the reader of notifications that are signed with one of the secrets."""

    def read(incoming: Incoming) -> Notification:
        verdict = nowpayments_verify(incoming.body, incoming.headers.get(SIGNATURE_HEADER), secrets)
        if verdict.refusal is Refusal.MISMATCH:
            raise _mismatch(incoming, secrets)
        if verdict.refusal is not None or verdict.parsed is None:
            raise unverified(verdict.refusal or Refusal.NOT_JSON)
        document = sound_object(verdict.parsed)
        understand = _payment if document.get("payment_id") is not None else _other
        return understand(document, incoming, verdict.matched)

    return read


def _mismatch(incoming: Incoming, secrets: Sequence[SecretStr]) -> NotAccepted:
    """Refuse a signature that does not fit, and find out whether it would fit another form of the body."""
    refusal = unverified(Refusal.MISMATCH)
    form = other_form(incoming.body, incoming.headers.get(SIGNATURE_HEADER, ""), secrets)
    return NotAccepted(refusal.status, Reason.OTHER_FORM, refusal.detail, form) if form else refusal


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
        about={"payment_id": event.payment_id, "payment_status": event.status},
    )


def _event(document: Document, now: datetime) -> PaymentUpdated:
    named = OrderId(order_named(document))
    facts = read_members(document)
    return PaymentUpdated(event_id=_event_id(named, facts), occurred_at=now, order_id=named, **facts)


def _event_id(order_id: OrderId, facts: Mapping[str, Any]) -> EventId:
    # Not its time: a notification that is sent again by hand may have a new one.
    said = {**facts, "order_id": order_id}
    rest = [f"{name}={said[name]}" for name in _FACTS]
    return content_id("nowpayments", said["payment_id"], said["provider_status"].lower(), *rest)


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
