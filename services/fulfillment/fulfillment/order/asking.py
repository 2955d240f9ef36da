"""Questions about payments, asked because no notification may ever come."""

from datetime import datetime

from bitloot.contracts.events import EffectFailed, Failure, PaymentsFound, PaymentStatus, PaymentUpdated
from bitloot.contracts.state import OrderStatus, PaymentVerdict
from bitloot.ids import PaymentId
from fulfillment import payment_rules
from fulfillment.order.outbox import find_owed, owe, seed_of, settle, without_owed
from fulfillment.order.paying import bill_of, payment_told
from fulfillment.order.policy import RETRIES, Kind, Policy
from fulfillment.order.retries import effect_refused, is_no_try, try_again, wait_longer
from fulfillment.order.state import Order, Owed
from fulfillment.payment_rules import MOVING

_NOTHING_TO_ASK = {"not_found", "cannot_ask"}
"""Why asking about a payment is no use: it is none of ours, or payments cannot be listed without a login."""


def payment_updated(state: Order, event: PaymentUpdated, policy: Policy) -> Order:
    """Take what a notification or a question told of a payment, and ask again later while it is open."""
    order, owed = (state, None) if event.effect_id is None else settle(state, event.effect_id)
    read = event.source == "poll"
    order = payment_told(order, event, event.occurred_at, policy, read=read, owed=owed)
    if order is state:
        return state
    return ask_on(order, event.payment_id, event.occurred_at, policy, owed)


def payments_found(state: Order, event: PaymentsFound, policy: Policy) -> Order:
    """Take the payments of a list; one that is settled by it is read by itself before anything is bought."""
    order, owed = settle(state, event.effect_id)
    for facts in event.payments:
        order = payment_told(order, facts, event.occurred_at, policy, read=False, listed=True)
        order = ask_on(order, facts.payment_id, event.occurred_at, policy, None)
    return _find_on(order, owed, event.occurred_at, policy)


def _find_on(order: Order, owed: Owed | None, now: datetime, policy: Policy) -> Order:
    """List the payments of an invoice again, later each time, until the order is paid or closed.

    An order that waits for a human has no end: it is asked about for as long as it would have waited for its money.
    """
    if owed is None or order.closed or order.paid_at is not None or order.close_at is None:
        return order
    wait = policy.asking.wait(owed.tries + 1, seed_of(order, owed))
    # What is put off while the order waits for money is taken out by its end, which a moving payment may put off.
    if order.status is not OrderStatus.AWAITING_PAYMENT and now + wait > order.close_at:
        return order
    return owe(order, Kind.FIND, now, wait=wait, tries=owed.tries + 1, invoice_id=owed.invoice_id)


def ask_on(order: Order, payment_id: PaymentId, now: datetime, policy: Policy, owed: Owed | None) -> Order:
    """Ask about an open payment, later each time, until a day after its end; `owed` is the question that was answered.

    While a settled one is being read, nothing is put off.
    """
    payment = next((p for p in order.payments if p.payment_id == payment_id), None)
    if payment is None or payment.verdict is PaymentVerdict.CHECKING or order.placed_at is None:
        return order
    waiting = find_owed(order, Kind.CHECK, None, payment_id=payment_id)
    if not payment_rules.is_open(payment.status) or payment.verdict is PaymentVerdict.FOREIGN:
        return order if waiting is None or waiting.emissions else without_owed(order, waiting)
    if waiting is not None:
        return order
    tries = owed.tries + 1 if owed is not None and payment.updated_at != now else 1
    seed, moving = f"{order.order_id}/{payment_id}/{tries}", payment.status in MOVING
    wait = policy.asking.wait(tries, seed, moving=moving)
    until = payment_rules.asked_until(bill_of(order, policy).offer_of(payment), payment.first_seen_at)
    if now + wait > until:
        return order
    return owe(order, Kind.CHECK, now, wait=wait, tries=tries, payment_id=payment_id)


def _ask_of_offer(order: Order, owed: Owed, now: datetime, policy: Policy) -> Order:
    """Ask again about a payment that we made and of which nothing was heard yet."""
    offer = next((o for o in order.offers if o.payment_id == owed.payment_id), None)
    wait = policy.asking.wait(owed.tries + 1, seed_of(order, owed))
    if offer is None or now + wait > payment_rules.asked_until(offer, order.placed_at or now):
        return order
    return owe(order, Kind.CHECK, now, wait=wait, tries=owed.tries + 1, payment_id=owed.payment_id)


def payment_effect_failed(order: Order, owed: Owed, event: EffectFailed, policy: Policy) -> Order:
    """Try again later. Only a settled payment that cannot be read ends as a review: nothing else waits for these."""
    now, why = event.occurred_at, (event.cause, event.detail)
    payment = next((p for p in order.payments if p.payment_id == owed.payment_id), None)
    if owed.kind is Kind.PAY or (payment is not None and payment.verdict is PaymentVerdict.CHECKING):
        if owed.kind is Kind.PAY and order.status is not OrderStatus.AWAITING_PAYMENT:
            return order
        if event.failure is Failure.REFUSED:
            return effect_refused(order, owed, now, why)
        again = wait_longer if is_no_try(event) else try_again
        return again(order, owed, RETRIES[owed.kind], now, why, event.retry_after)
    if event.failure is Failure.REFUSED and event.cause in _NOTHING_TO_ASK:
        return order  # notifications must do
    if owed.kind is Kind.FIND:
        return _find_on(order, owed, now, policy)
    return (
        _ask_of_offer(order, owed, now, policy)
        if payment is None
        else ask_on(order, payment.payment_id, now, policy, owed)
    )


def read_payments_again(order: Order, now: datetime) -> Order:
    """Read the payments of an order that waits for a human and is not paid, because somebody asks to go on."""
    for payment in order.payments:
        if payment.status is not PaymentStatus.REFUNDED and payment.verdict is not PaymentVerdict.FOREIGN:
            waiting = find_owed(order, Kind.CHECK, None, payment_id=payment.payment_id)
            if waiting is not None and not waiting.emissions:
                order = without_owed(order, waiting)
            order = owe(order, Kind.CHECK, now, payment_id=payment.payment_id)
    return order
