"""What ends an order, stops it until a human has decided, or is only noted."""

from dataclasses import replace
from datetime import datetime

from bitloot.contracts.state import Incident, OrderStatus, Review
from fulfillment.order.state import Order, Purchase


def to_review(order: Order, now: datetime, cause: str, detail: str, purchase: Purchase | None = None) -> Order:
    """Let a human decide. A closed order stays closed, so there it is an incident."""
    if order.closed:
        return note_incident(order, now, cause, detail)
    if order.review is not None and order.paid_at is not None:
        return note_incident(order, now, cause, detail)  # the first reason stands; later ones are listed
    first = None if purchase is None else purchase.parts[0].item_id
    review = Review(cause=cause, detail=detail, item_id=first, since=now)
    return replace(order, status=OrderStatus.NEEDS_REVIEW, review=review)


def note_incident(order: Order, now: datetime, cause: str, detail: str) -> Order:
    """List what a human should know of, without stopping the order."""
    return replace(order, incidents=(*order.incidents, Incident(cause=cause, detail=detail, at=now)))


def close(order: Order, status: OrderStatus, now: datetime) -> Order:
    """End an order with this status, unless it has ended already."""
    if order.closed:
        return order
    return replace(order, status=status, review=None, closed_at=now, close_at=None, working_since=None)
