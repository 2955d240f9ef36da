"""The dispatch: from an event to the one function that knows what follows from it."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from bitloot.contracts.effects import Effect
from bitloot.contracts.events import (
    BuyerErased,
    CodesPending,
    CodesReceived,
    EffectFailed,
    EmailChanged,
    KeysReturned,
    KeysReturnRequested,
    KeysRevealed,
    KeysStored,
    KinguinNotified,
    LinkRevoked,
    MailDeliveryUpdated,
    MailRequested,
    MailSent,
    OrderEvent,
    OrderPlaced,
    OrderRetired,
    PaymentCreated,
    PaymentRequested,
    PaymentsFound,
    PaymentUpdated,
    PurchasePlaced,
    PurchasesFound,
    ReprocessRequested,
    ReservationGiven,
    ReviewResolved,
    TimerFired,
)
from bitloot.ids import OrderId
from fulfillment.order.asking import payment_updated, payments_found
from fulfillment.order.buying import purchase_placed, purchases_found, reservation_given
from fulfillment.order.clicks import answered, reprocess_requested, review_resolved
from fulfillment.order.codes import codes_pending, codes_received, keys_revealed, keys_stored
from fulfillment.order.effects import effect_of
from fulfillment.order.failures import effect_failed
from fulfillment.order.kinguin_notices import kinguin_notified
from fulfillment.order.mailing import (
    buyer_erased,
    email_changed,
    link_revoked,
    mail_delivery_updated,
    mail_requested,
    mail_sent,
    tell_buyer,
)
from fulfillment.order.placing import order_placed, payment_created, payment_requested
from fulfillment.order.policy import DEFAULT_POLICY, REDRIVE, Policy
from fulfillment.order.returning import keys_return_requested, keys_returned
from fulfillment.order.state import Order, Owed
from fulfillment.order.waking import timer_fired


def decide(state: Order, event: OrderEvent, policy: Policy = DEFAULT_POLICY) -> tuple[Order, tuple[Effect, ...]]:
    """Return the order after `event`, and the effects to send now.

    An event that changes nothing (a duplicate, a late one, one of another order) gives back the same
    `state` object and no effects.
    """
    if event.order_id != state.order_id:
        return state, ()
    now = order_time(state, event)
    after = _apply(state, event if now == event.occurred_at else event.model_copy(update={"occurred_at": now}), policy)
    after = tell_buyer(state, after, now)
    after = answered(state, after, event, now)
    due = [owed for owed in after.outbox if owed.due_at <= now]
    if after is state and not due:
        return state, ()
    sent = {owed: _sent(state.order_id, owed, now, event.occurred_at) for owed in due}
    outbox = tuple(sent.get(owed, owed) for owed in after.outbox)
    after = replace(after, outbox=outbox, version=state.version + 1, updated_at=event.occurred_at, time=now)
    return after, tuple(effect_of(after, sent[owed]) for owed in due)


def order_time(state: Order, event: OrderEvent) -> datetime:
    """Return when `event` happens to the order: never before what has happened to it already."""
    return event.occurred_at if state.time is None else max(event.occurred_at, state.time)


def _sent(order: OrderId, owed: Owed, now: datetime, told_at: datetime) -> Owed:
    again = now + REDRIVE.wait(owed.emissions + 1, f"{order}/{owed.kind}/{owed.attempt}/redrive")
    return replace(owed, emissions=owed.emissions + 1, sent_at=told_at, due_at=again)


def _apply(state: Order, event: OrderEvent, policy: Policy) -> Order:  # noqa: C901, PLR0911, PLR0912 - one match over all events, checked for completeness
    match event:
        case OrderPlaced():
            return order_placed(state, event, policy)
        case PaymentRequested():
            return payment_requested(state, event)
        case PaymentCreated():
            return payment_created(state, event, policy)
        case PaymentUpdated():
            return payment_updated(state, event, policy)
        case PaymentsFound():
            return payments_found(state, event, policy)
        case KinguinNotified():
            return kinguin_notified(state, event)
        case PurchasePlaced():
            return purchase_placed(state, event)
        case PurchasesFound():
            return purchases_found(state, event, policy)
        case ReservationGiven():
            return reservation_given(state, event)
        case CodesReceived():
            return codes_received(state, event)
        case CodesPending():
            return codes_pending(state, event, policy)
        case KeysReturned():
            return keys_returned(state, event)
        case KeysStored():
            return keys_stored(state, event)
        case MailSent():
            return mail_sent(state, event)
        case EffectFailed():
            return effect_failed(state, event, policy)
        case KeysRevealed():
            return keys_revealed(state, event)
        case MailRequested():
            return mail_requested(state, event)
        case EmailChanged():
            return email_changed(state, event)
        case LinkRevoked():
            return link_revoked(state, event)
        case MailDeliveryUpdated():
            return mail_delivery_updated(state, event)
        case ReprocessRequested():
            return reprocess_requested(state, event)
        case ReviewResolved():
            return review_resolved(state, event)
        case KeysReturnRequested():
            return keys_return_requested(state, event)
        case BuyerErased():
            return buyer_erased(state, event)
        case TimerFired():
            return timer_fired(state, event, policy)
        case OrderRetired():
            return state  # the shell takes it out of the table: there is no state afterwards
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(event)
