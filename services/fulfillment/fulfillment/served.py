"""How long a buyer waited, seen from the change of an order that ended the wait."""

from datetime import datetime, timedelta

from bitloot import metrics
from bitloot.contracts.state import ItemStatus, ReservationStatus
from fulfillment.order.state import Order, Purchase

_HERE = frozenset({ItemStatus.RECEIVED, ItemStatus.STORED})
_TAKEN_BACK = frozenset({ReservationStatus.CANCELED, ReservationStatus.REVERSED})


def keys_ready_at(order: Order) -> datetime | None:
    """Return when the provider had the keys of every item of a paid order; None while it has not."""
    bought = sum(purchase.quantity for purchase in order.purchases)
    if order.paid_at is None or not bought or bought != sum(item.quantity for item in order.items):
        return None
    times = [_ready_at(order, purchase) for purchase in order.purchases]
    known = [each for each in times if each is not None]
    return max(known) if len(known) == len(times) else None


def observe(before: Order, after: Order) -> None:
    """Count what this change has brought: a status, the keys at the provider, the mail at the buyer."""
    if after.status is not before.status:
        metrics.ORDERS.labels(after.status).inc()
    ready_at = keys_ready_at(after)
    if ready_at is not None and keys_ready_at(before) is None:
        metrics.KEYS_READY.inc()
    if after.mailed_at is None or before.mailed_at is not None:
        return
    if after.paid_at is not None:
        metrics.TIME_TO_KEY_SECONDS.observe(_seconds(after.mailed_at - after.paid_at))
    if ready_at is not None:
        waited = _seconds(after.mailed_at - ready_at)
        metrics.KEYS_TO_MAIL_SECONDS.observe(waited)
        if waited <= metrics.SLO_SECONDS:
            metrics.KEYS_IN_TIME.inc()


def _ready_at(order: Order, purchase: Purchase) -> datetime | None:
    told = [
        each.delivered_at
        for each in order.reservations
        if each.purchase_id == purchase.purchase_id and each.status not in _TAKEN_BACK and each.delivered_at is not None
    ]
    if told:
        return min(told)
    return order.received_at if purchase.status in _HERE else None


def _seconds(waited: timedelta) -> float:
    return max(0.0, waited.total_seconds())
