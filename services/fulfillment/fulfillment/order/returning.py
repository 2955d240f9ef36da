"""Giving keys back that were bought and nobody has downloaded."""

from dataclasses import replace
from datetime import datetime

from bitloot.contracts.events import KeysReturned, KeysReturnRequested
from bitloot.contracts.state import ItemStatus, ReservationStatus
from fulfillment.order.outbox import drop_unsent, find_owed, owe, settle
from fulfillment.order.policy import Kind
from fulfillment.order.reservations import record_reservation
from fulfillment.order.review import note_incident, to_review
from fulfillment.order.state import Order, Purchase, known_purchase, name_items, with_purchase


def keys_return_requested(state: Order, event: KeysReturnRequested) -> Order:
    """Ask Kinguin to take back what was bought and nobody has downloaded. From here on it is not handed on."""
    if event.action_id in state.actions:
        return state
    order, now = state, event.occurred_at
    asked = [p for p in order.purchases if p.status is ItemStatus.BOUGHT and not p.is_returning and not order.closed]
    for purchase in asked:
        order = drop_unsent(order, purchase.purchase_id, Kind.FETCH)
        order = with_purchase(order, replace(purchase, is_returning=True, tries=0))
        if find_owed(order, Kind.FETCH, purchase.purchase_id) is None:
            order = owe(order, Kind.RETURN, now, purchase.purchase_id)
    return order  # a fetch that is under way may be downloading them: its outcome decides


def keys_returned(state: Order, event: KeysReturned) -> Order:
    """Cancel a purchase that Kinguin has taken back, and let a human say how to go on."""
    order, owed = settle(state, event.effect_id)
    purchase, now = known_purchase(order, event.purchase_id), event.occurred_at
    if owed is None or purchase is None:
        return state
    order = record_reservation(order, purchase, event.reservation_id, ReservationStatus.REVERSED, now)
    order = with_purchase(order, replace(purchase, status=ItemStatus.CANCELED, is_returning=False))
    told = ", ".join(event.statuses) or "accepted"
    detail = f"Kinguin takes {purchase.quantity} keys of {name_items(order, purchase)} back: {told}"
    return to_review(order, now, "keys_returned", detail, purchase)


def not_returned(order: Order, purchase: Purchase, now: datetime, cause: str, detail: str) -> Order:
    """Go on with keys that Kinguin does not take back. After a try that may have succeeded a human must look first."""
    if purchase.tries:
        detail = f"It is not known whether the keys of {name_items(order, purchase)} went back: {detail}"
        return to_review(order, now, "return_unknown", detail, purchase)
    order = with_purchase(order, replace(purchase, is_returning=False))
    order = note_incident(order, now, "return_refused", f"Kinguin takes no keys back ({cause}): {detail}")
    return order if order.refunded else owe(order, Kind.FETCH, now, purchase.purchase_id)
