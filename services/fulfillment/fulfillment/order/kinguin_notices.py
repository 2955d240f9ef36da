"""What Kinguin's notifications tell, however late, and about whichever purchase."""

from dataclasses import replace
from datetime import datetime

from bitloot.contracts.events import KinguinNotified, Notice
from bitloot.contracts.sealed import SealedCode
from bitloot.contracts.state import ItemStatus, ReservationStatus
from bitloot.ids import ReservationId
from fulfillment.order.codes import take_codes
from fulfillment.order.outbox import find_owed, owe, put_owed
from fulfillment.order.policy import Kind
from fulfillment.order.reservations import reservation_ended, reservation_told
from fulfillment.order.state import Order, Purchase, name_items, purchase_of


def kinguin_notified(state: Order, event: KinguinNotified) -> Order:
    """Go on with what a notification tells of a purchase. One about none of ours changes nothing."""
    purchase = _purchase_of_notice(state, event)
    if purchase is None or event.notice is Notice.UNKNOWN:
        return state
    if event.notice is Notice.CHANGED:
        return _changed(state, purchase, event)
    reservation = event.reservation_id or purchase.reservation_id
    if reservation is None:
        return state
    if event.notice in {Notice.CANCEL, Notice.REVERSED}:
        other = purchase.reservation_id not in {None, reservation}
        return state if other else _supplier_ended(state, purchase, reservation, event)
    given = event.notice is not Notice.RESERVE
    order = reservation_told(state, purchase, reservation, event.occurred_at, given=given)
    purchase = purchase_of(order, purchase.purchase_id)
    if event.notice is Notice.DELIVERED and purchase.reservation_id == reservation:
        return _delivered(order, purchase, event.codes, event.occurred_at)
    return order


def _changed(order: Order, purchase: Purchase, event: KinguinNotified) -> Order:
    """Ask at once what has changed. What can be asked no more, because the keys are here, a human must hear of."""
    word = event.provider_status.lower()
    if purchase.reservation_id is not None and event.reservation_id not in {None, purchase.reservation_id}:
        # Of another order with our external id: a search tells whether there are two.
        known = any(r.reservation_id == event.reservation_id for r in order.reservations)
        return order if known else owe(order, Kind.LOOK_UP, event.occurred_at, purchase.purchase_id)
    if word == "processing":
        return order  # so it begins: no news
    if purchase.status not in {ItemStatus.RECEIVED, ItemStatus.STORED}:
        return _delivered(order, purchase, (), event.occurred_at)
    if word in {"canceled", "cancelled", "refunded"} and purchase.reservation_id is not None:
        status = ReservationStatus.REVERSED
        detail = f"Kinguin says {word} for order {purchase.reservation_id} of {name_items(order, purchase)}"
        return reservation_ended(order, purchase, purchase.reservation_id, status, event.occurred_at, detail)
    return order


def _purchase_of_notice(state: Order, event: KinguinNotified) -> Purchase | None:
    for purchase in state.purchases:
        if event.reservation_id is not None and event.reservation_id == purchase.reservation_id:
            return purchase
    for purchase in state.purchases:
        if event.external_id == purchase.external_id:
            return purchase
    return None


def _delivered(order: Order, purchase: Purchase, codes: tuple[SealedCode, ...], now: datetime) -> Order:
    """Take the codes when they are whole, else go and fetch them now."""
    if purchase.status is not ItemStatus.BOUGHT or order.closed:
        return order
    if len(purchase.parts) == 1 and len(codes) == purchase.quantity:
        return take_codes(order, purchase, (replace(purchase.parts[0], codes=codes),), now)
    polling = find_owed(order, Kind.FETCH, purchase.purchase_id)
    if polling is None:
        return order if purchase.is_returning else owe(order, Kind.FETCH, now, purchase.purchase_id)
    if polling.emissions:  # asked already; the answer decides
        return order
    return put_owed(order, replace(polling, due_at=min(polling.due_at, now)))


def _supplier_ended(state: Order, purchase: Purchase, reservation: ReservationId, event: KinguinNotified) -> Order:
    reversed_ = event.notice is Notice.REVERSED
    status = ReservationStatus.REVERSED if reversed_ else ReservationStatus.CANCELED
    detail = f"Kinguin says {event.notice} for reservation {reservation} of {name_items(state, purchase)}"
    return reservation_ended(state, purchase, reservation, status, event.occurred_at, detail)
