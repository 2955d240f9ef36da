"""Mails, addresses and links: what is sent to the buyer, and what is heard of it."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from bitloot.contracts.events import (
    MAIL_RANKS,
    BuyerErased,
    EmailChanged,
    LinkRevoked,
    MailDelivery,
    MailDeliveryUpdated,
    MailKind,
    MailRequested,
    MailSent,
)
from bitloot.contracts.state import OrderStatus
from fulfillment.order.mails import drop_unsent_notices, is_notice, known_mail, owe_notice, renew_mail, with_mail
from fulfillment.order.outbox import find_owed, settle
from fulfillment.order.policy import NOTICE_AFTER, Kind
from fulfillment.order.review import close, note_incident
from fulfillment.order.state import Order


def mail_sent(state: Order, event: MailSent) -> Order:
    """Note that the provider has taken a mail. The one with the keys completes the order."""
    order, owed = settle(state, event.effect_id)
    now = event.occurred_at
    order = _accepted(order, event)
    if event.message_id != order.message_id:
        return _other_mail(order, event)
    if order.mailed_at is not None or (owed is None and not order.keys):
        return order
    order = replace(order, mailed_at=now, outbox=tuple(o for o in order.outbox if o.kind is not Kind.MAIL))
    return order if order.refunded else close(order, OrderStatus.FULFILLED, now)


def _accepted(order: Order, event: MailSent) -> Order:
    """Note that the mail provider has a mail; no further try of a notice is owed then."""
    known = known_mail(order, event.message_id)
    if known is None or known.sent_at is not None:
        return order
    told: dict[str, Any] = {"sent_at": event.occurred_at, "provider_message_id": event.provider_message_id}
    ours = known.delivery in {MailDelivery.PENDING, MailDelivery.FAILED} and known.provider_message_id is None
    if ours:  # nothing was heard of its delivery yet: what was known came from us
        told |= {"delivery": MailDelivery.SENT, "detail": "", "delivery_at": event.occurred_at}
    order = with_mail(order, known.model_copy(update=told))
    number = int(event.message_id.rpartition("/")[2])
    outbox = tuple(o for o in order.outbox if not (is_notice(known.message_id) and o.notice == number))
    return replace(order, outbox=outbox)


def _other_mail(order: Order, event: MailSent) -> Order:
    """Tell of a mail that was given up and replaced, and was accepted after all: the buyer has two.

    Not so where the mail was replaced because it was for another address, or where it is a notice.
    """
    known = known_mail(order, event.message_id)
    if is_notice(event.message_id) or (known is not None and known.recipient != order.email):
        return order
    detail = f"The mail provider has taken mail {event.message_id} as well as {order.message_id}"
    if any(incident.detail == detail for incident in order.incidents):
        return order
    return note_incident(order, event.occurred_at, "second_mail", detail)


def mail_requested(state: Order, event: MailRequested) -> Order:
    """Owe one more mail, unless one that says the same is on its way already."""
    if event.action_id in state.actions or state.placed_at is None or state.erased_at is not None:
        return state
    order, now = state, event.occurred_at
    kind, recipient = event.kind, order.email
    if kind is MailKind.CONFIRM:
        if event.email is None:
            return order
        recipient = event.email
    if kind is MailKind.KEYS and not _may_open(order):
        kind = MailKind.PAGE
    if kind is MailKind.KEYS and find_owed(order, Kind.MAIL, None) is not None:
        return order
    return owe_notice(order, kind, now, recipient=recipient, requested_by=event.actor)


def email_changed(state: Order, event: EmailChanged) -> Order:
    """Write to another address from now on, and let no link open the page that the former one was sent."""
    stale = event.generation is not None and event.generation != state.generation
    if event.action_id in state.actions or state.placed_at is None or stale or state.erased_at is not None:
        return state
    now = event.occurred_at
    order = drop_unsent_notices(state)
    order = replace(order, email=event.email, generation=order.generation + 1)
    if _may_open(order) and order.mailed_at is None:
        if order.review is not None:
            order = replace(order, review=None, status=OrderStatus.DELIVERING, working_since=now)
        return renew_mail(order, now)
    kind = MailKind.KEYS if _may_open(order) else MailKind.PAGE
    return owe_notice(order, kind, now, recipient=order.email, requested_by=event.actor)


def buyer_erased(state: Order, event: BuyerErased) -> Order:
    """Owe no notice any more that nobody was asked to send yet: none of them can be addressed.

    The mail with the keys stays owed: that it is refused is how an open order comes to a human (ADR 0032).
    """
    if event.action_id in state.actions or state.placed_at is None or state.erased_at is not None:
        return state
    return replace(drop_unsent_notices(state), erased_at=event.occurred_at)


def link_revoked(state: Order, event: LinkRevoked) -> Order:
    """Let no link sent so far open the order's page."""
    if event.action_id in state.actions or state.placed_at is None:
        return state
    order = replace(state, generation=state.generation + 1)
    if order.erased_at is not None or find_owed(order, Kind.MAIL, None) is None:
        return order
    # What is rendered already has the link that has just been revoked.
    return renew_mail(order, event.occurred_at)


def mail_delivery_updated(state: Order, event: MailDeliveryUpdated) -> Order:
    """Believe news of a mail when it ranks above what is known. A human hears of keys that cannot be delivered."""
    known = known_mail(state, event.message_id)
    if known is None or MAIL_RANKS[event.delivery] <= MAIL_RANKS[known.delivery]:
        return state
    told = {"delivery": event.delivery, "detail": event.detail, "delivery_at": event.occurred_at}
    if event.provider_message_id:
        told["provider_message_id"] = event.provider_message_id
    order = with_mail(state, known.model_copy(update=told))
    if known.kind is not MailKind.KEYS or MAIL_RANKS[event.delivery] < MAIL_RANKS[MailDelivery.FAILED]:
        return order
    detail = f"Mail {event.message_id} is {event.delivery}: {event.detail}"
    return note_incident(order, event.occurred_at, f"mail_{event.delivery}", detail)


def tell_buyer(before: Order, after: Order, now: datetime) -> Order:
    """Owe a mail about what the buyer does not expect: once for each cause, and only if it stays so for a while."""
    if after is before or after.placed_at is None or after.erased_at is not None:
        return after
    if before.review is not None and after.review is None:
        after = drop_unsent_notices(after, MailKind.REVIEW)
    kind, about = MailKind.REVIEW, ""
    # Once the keys are stored the page has them, and what is wrong is the mail: another one would not help.
    if after.review is not None and before.review is None and after.object_key is None:
        about = after.review.cause
    if after.status is not before.status and after.status in _SAD_ENDS:
        kind, about = _SAD_ENDS[after.status], after.status.value
    if not about or any((mail.kind, mail.about) == (kind, about) for mail in after.mails):
        return after
    return owe_notice(after, kind, now, recipient=after.email, about=about, wait=NOTICE_AFTER)


_SAD_ENDS = {
    OrderStatus.CANCELED: MailKind.CANCELED,
    OrderStatus.FAILED: MailKind.CANCELED,
    OrderStatus.REFUNDED: MailKind.REFUNDED,
}


def _may_open(order: Order) -> bool:
    """Tell whether there are keys that the buyer may open."""
    return order.object_key is not None and order.status not in _SAD_ENDS and not order.refunded
