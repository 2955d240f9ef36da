"""When an order wants to be looked at again, and what happens when its time has come."""

from dataclasses import replace
from datetime import datetime

from bitloot.contracts.events import PaymentStatus, TimerFired
from bitloot.contracts.state import ItemStatus, OrderStatus
from fulfillment.order.policy import DAY, DEFAULT_POLICY, MOVING_FOR, UNPAID_FOR, Kind, Policy
from fulfillment.order.review import close, to_review
from fulfillment.order.state import Order
from fulfillment.payment_rules import MOVING


def wake_at(state: Order, policy: Policy = DEFAULT_POLICY) -> datetime | None:
    """Return when the order wants a `timer.fired` event, or None when it waits for nothing but others."""
    times = [owed.due_at for owed in state.outbox]
    if state.status is OrderStatus.AWAITING_PAYMENT and state.close_at is not None:
        times.append(state.close_at)
    times += [at for at in (_stuck_at(state, policy), leaves_at(state, policy)) if at is not None]
    return min(times, default=None)


def leaves_at(state: Order, policy: Policy) -> datetime | None:
    """Return when the order has been kept for long enough: closed, or never placed after all."""
    since = state.time if state.status is OrderStatus.UNPLACED else state.closed_at
    return None if policy.retention is None or since is None else since + policy.retention


def _stuck_at(state: Order, policy: Policy) -> datetime | None:
    """Return when an order in work counts as stuck."""
    if state.status not in {OrderStatus.PURCHASING, OrderStatus.DELIVERING} or state.working_since is None:
        return None
    releases = (p.expected_at for p in state.purchases if p.status is ItemStatus.BOUGHT)
    return max([state.working_since, *(at for at in releases if at is not None)]) + policy.stuck_after


def timer_fired(state: Order, event: TimerFired, policy: Policy) -> Order:
    """Close an order that nobody has paid, and let a human look at one that is stuck."""
    now = event.occurred_at
    if state.status is OrderStatus.AWAITING_PAYMENT and state.close_at is not None and now >= state.close_at:
        return _unpaid(state, now)
    stuck_at = _stuck_at(state, policy)
    if stuck_at is not None and now >= stuck_at:
        return to_review(state, now, "stuck", f"{state.status} since {state.working_since}")
    return state


def _unpaid(order: Order, now: datetime) -> Order:
    """Nobody has paid in time. A payment that is on its way is waited for a while longer."""
    moving = next((p for p in order.payments if p.status in MOVING), None)
    if moving is not None and order.placed_at is not None:
        if now < order.placed_at + UNPAID_FOR + MOVING_FOR:
            return replace(order, close_at=now + DAY)
        detail = f"Payment {moving.payment_id} is {moving.status} since {moving.updated_at} and does not end"
        return to_review(order, now, "payment_stalled", detail)
    order = replace(order, outbox=tuple(o for o in order.outbox if o.emissions or o.kind not in {Kind.PAY, Kind.FIND}))
    failed = bool(order.payments) and order.payments[-1].status is PaymentStatus.FAILED
    return close(order, OrderStatus.FAILED if failed else OrderStatus.CANCELED, now)
