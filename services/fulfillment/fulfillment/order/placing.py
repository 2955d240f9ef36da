"""A new order, and the ways to pay it that are offered to its buyer."""

from dataclasses import replace
from datetime import datetime

from bitloot.contracts.events import OrderPlaced, PaymentCreated, PaymentInstructions, PaymentRequested
from bitloot.contracts.state import OrderStatus, PaymentVerdict
from fulfillment import payment_rules
from fulfillment.order.asking import ask_on
from fulfillment.order.outbox import find_owed, owe, settle
from fulfillment.order.paying import judge_payment
from fulfillment.order.policy import MOST_OFFERS, UNPAID_FOR, Kind, Policy
from fulfillment.order.state import Item, Order


def order_placed(state: Order, event: OrderPlaced, policy: Policy) -> Order:
    """Take the order in, wait for its payment, and judge the payments that came before it."""
    now = event.occurred_at
    if state.status is not OrderStatus.UNPLACED:
        # Placed by two processes at once: the buyer may have been shown either way to pay.
        again = event.payment_instructions if event.request_hash == state.request_hash else None
        return state if again is None else _offered(state, again, now, policy)
    items = tuple(
        Item(i.item_id, position, i.product_id, i.title, i.quantity, i.unit_price, i.offer_id)
        for position, i in enumerate(event.items, start=1)
    )
    order = replace(
        state,
        status=OrderStatus.AWAITING_PAYMENT,
        email=event.email,
        currency=event.currency,
        total=event.total,
        request_hash=event.request_hash,
        pay_currency=event.pay_currency,
        items=items,
        placed_at=now,
        close_at=now + UNPAID_FOR,
    )
    if event.payment_instructions is None:
        order = owe(order, Kind.PAY, now)
    else:
        # Made by the ingress, which has used up the first attempt.
        order = replace(order, attempts=order.attempts | {f"{order.order_id}/{Kind.PAY}": 1})
        order = _offered(order, event.payment_instructions, now, policy)
    for payment in state.payments:  # notifications may overtake the order
        order = judge_payment(order, payment, None, now, policy)
        order = ask_on(order, payment.payment_id, now, policy, None)
    return order


def payment_requested(state: Order, event: PaymentRequested) -> Order:
    """Let the buyer have another way to pay, one at a time, where the present one is over or for another coin."""
    if event.action_id in state.actions:
        return state
    order, now = state, event.occurred_at
    newest = order.offers[-1] if order.offers else None
    if order.status is not OrderStatus.AWAITING_PAYMENT or len(order.offers) >= MOST_OFFERS:
        return order
    over = newest is None or (newest.valid_until is not None and newest.valid_until <= now)
    if not over and newest is not None and newest.pay_currency == event.pay_currency:
        return order
    owed = find_owed(order, Kind.PAY, None)
    if owed is not None and owed.emissions:
        return order
    order = replace(order, pay_currency=event.pay_currency, outbox=tuple(o for o in order.outbox if o is not owed))
    return owe(order, Kind.PAY, now)


def payment_created(state: Order, event: PaymentCreated, policy: Policy) -> Order:
    """Offer the way to pay that was made, even by a try that was given up."""
    order, _ = settle(state, event.effect_id)  # a try that was given up has made something as real
    return _offered(order, event.payment_instructions, event.occurred_at, policy)


def _offered(order: Order, offer: PaymentInstructions, now: datetime, policy: Policy) -> Order:
    """Show a way to pay, and ask for what comes of it until it is over: no notification may ever come."""
    if offer in order.offers:
        return order
    order = replace(order, offers=(*order.offers, offer))
    if order.close_at is not None:
        order = replace(order, close_at=max(order.close_at, payment_rules.asked_until(offer, now)))
    for payment in order.payments:
        if payment.verdict is PaymentVerdict.FOREIGN:
            order = judge_payment(order, payment, None, now, policy)
    if order.closed or order.paid_at is not None:
        return order
    if offer.payment_id is not None:
        return owe(order, Kind.CHECK, now, wait=policy.asking.first, payment_id=offer.payment_id)
    if offer.invoice_id is None:
        return order
    return owe(order, Kind.FIND, now, wait=policy.asking.first, invoice_id=offer.invoice_id)
