"""What Kinguin is known to have for a purchase: reserved, bought, taken back, or one too many."""

from dataclasses import replace
from datetime import datetime

from bitloot.contracts.state import ItemStatus, ReservationState, ReservationStatus
from bitloot.ids import PurchaseId, ReservationId
from fulfillment.order.outbox import drop_owed, drop_unsent, find_owed, owe
from fulfillment.order.policy import FIRST_LOOK_UP, POLLING, RETRIES, Kind
from fulfillment.order.review import note_incident, to_review
from fulfillment.order.state import ENDED_BY_SUPPLIER, Order, Purchase, name_items, purchase_of, with_purchase


def reservation_told(
    order: Order, purchase: Purchase, reservation: ReservationId, now: datetime, *, given: bool
) -> Order:
    """Take note that Kinguin has this reservation for the purchase, whoever says so and however late."""
    if order.closed:
        return _found_after_end(order, purchase, reservation, now, given=given)
    if any(r.reservation_id == reservation and r.status in ENDED_BY_SUPPLIER.values() for r in order.reservations):
        return order  # it was taken back since: a purchase bought anew must not take it for its own
    if purchase.reservation_id not in {None, reservation}:
        return _second_purchase(order, purchase, reservation, now, given=given)
    order = _learned(order, purchase, reservation, now, given=given)
    return _ask_when_idle(order, purchase.purchase_id, now)


def _second_purchase(
    order: Order, purchase: Purchase, reservation: ReservationId, now: datetime, *, given: bool
) -> Order:
    """Record a purchase beside the one that counts: only one is delivered, and a human hears of it once.

    What is bought counts more than what is only reserved, as long as nobody is buying the latter.
    """
    known = _is_known(order, reservation)
    order = record_reservation(order, purchase, reservation, _reached(given=given), now)
    if not known:
        detail = (
            f"Kinguin has reservation {reservation} beside {purchase.reservation_id} for {name_items(order, purchase)}"
        )
        order = note_incident(order, now, "second_purchase", detail)
    idle = purchase.status is ItemStatus.RESERVED and find_owed(order, Kind.GIVE, purchase.purchase_id) is None
    if given and idle and not order.closed:
        fresh = replace(purchase, status=ItemStatus.BUYING, reservation_id=None)
        return _learned(with_purchase(order, fresh), fresh, reservation, now, given=True)
    return _ask_when_idle(order, purchase.purchase_id, now)


def _found_after_end(
    order: Order, purchase: Purchase, reservation: ReservationId, now: datetime, *, given: bool
) -> Order:
    """Record a purchase that an order knows of only after its end: nothing follows but that a human hears of it."""
    if purchase.reservation_id not in {None, reservation}:
        return _second_purchase(order, purchase, reservation, now, given=given)
    known = _is_known(order, reservation)
    order = record_reservation(order, purchase, reservation, _reached(given=given), now)
    if known:
        return order
    detail = f"Kinguin has reservation {reservation} for {name_items(order, purchase)} of an order that has ended"
    return note_incident(order, now, "purchase_after_end", detail)


def _ask_when_idle(order: Order, purchase_id: PurchaseId, now: datetime) -> Order:
    """Let Kinguin tell of a reservation that nobody is buying: nothing else would move the purchase on."""
    idle = all(owed.purchase_id != purchase_id for owed in order.outbox)
    if order.closed or order.refunded or order.review is not None or not idle:
        return order
    if purchase_of(order, purchase_id).status is not ItemStatus.RESERVED:
        return order
    return owe(order, Kind.LOOK_UP, now, purchase_id, wait=FIRST_LOOK_UP)


def adopt_reservation(
    order: Order, purchase: Purchase, reservation: ReservationId, now: datetime, *, given: bool
) -> Order:
    """Go on with a reservation that is ours for sure, or tell that there is one too many."""
    if order.closed or purchase.reservation_id not in {None, reservation}:
        return reservation_told(order, purchase, reservation, now, given=given)
    order = _learned(order, purchase, reservation, now, given=given)
    purchase = purchase_of(order, purchase.purchase_id)
    if purchase.status is not ItemStatus.RESERVED or order.refunded:
        return order
    if purchase.tries >= RETRIES[Kind.GIVE].tries:
        return to_review(order, now, "unknown_outcome", f"Could not buy reservation {reservation}", purchase)
    return owe(order, Kind.GIVE, now, purchase.purchase_id, tries=purchase.tries + 1)


def _learned(state: Order, purchase: Purchase, reservation: ReservationId, now: datetime, *, given: bool) -> Order:
    """Kinguin has this reservation for the purchase: take note of it, and ask for the codes once it is bought."""
    rank = {ItemStatus.BUYING: 0, ItemStatus.FAILED: 0, ItemStatus.RESERVED: 1}.get(purchase.status, 2)
    if rank >= 1 + given:
        return state
    order = record_reservation(state, purchase, reservation, _reached(given=given), now)
    reached = ItemStatus.BOUGHT if given else ItemStatus.RESERVED
    order = with_purchase(order, replace(purchase, status=reached, reservation_id=reservation, tries=0, look_ups=0))
    order = drop_unsent(order, purchase.purchase_id, Kind.BUY)  # it would buy a second time
    if not given:
        return order
    order = drop_unsent(order, purchase.purchase_id, Kind.GIVE)
    if all(p.status not in {ItemStatus.WAITING, ItemStatus.BUYING, ItemStatus.RESERVED} for p in order.purchases):
        order = replace(order, purchased_at=order.purchased_at or now)
    return owe(order, Kind.FETCH, now, purchase.purchase_id, wait=POLLING.base)


def reservation_ended(
    state: Order, purchase: Purchase, reservation: ReservationId, status: ReservationStatus, now: datetime, detail: str
) -> Order:
    """Kinguin has taken a reservation back. From here a human may have it bought anew, under another number."""
    if any(r.reservation_id == reservation and r.status is status for r in state.reservations):
        return state
    order = record_reservation(state, purchase, reservation, status, now)
    if purchase.status in {ItemStatus.RECEIVED, ItemStatus.STORED}:
        return note_incident(order, now, f"supplier_{status}", detail)
    order = drop_owed(order, purchase.purchase_id, Kind.FETCH, Kind.GIVE, Kind.LOOK_UP)
    order = with_purchase(order, replace(purchase, status=ItemStatus.CANCELED, reservation_id=reservation))
    return to_review(order, now, f"supplier_{status}", detail, purchase)


def _is_known(order: Order, reservation: ReservationId) -> bool:
    return any(each.reservation_id == reservation for each in order.reservations)


def _reached(*, given: bool) -> ReservationStatus:
    return ReservationStatus.GIVEN if given else ReservationStatus.RESERVED


_RESERVATION_TIME = {
    ReservationStatus.GIVEN: "given_at",
    ReservationStatus.DELIVERED: "delivered_at",
    ReservationStatus.CANCELED: "ended_at",
    ReservationStatus.REVERSED: "ended_at",
}


def record_reservation(
    order: Order, purchase: Purchase, reservation: ReservationId, status: ReservationStatus, now: datetime
) -> Order:
    """Note how far a reservation came. It never goes back."""
    known = next((r for r in order.reservations if r.reservation_id == reservation), None)
    ranks = list(ReservationStatus)
    if known is not None and ranks.index(known.status) >= ranks.index(status):
        return order
    items = tuple(part.item_id for part in purchase.parts)
    entry = known or ReservationState(
        reservation_id=reservation,
        purchase_id=purchase.purchase_id,
        item_id=items[0],
        item_ids=items,
        status=status,
        reserved_at=now,
    )
    times = {_RESERVATION_TIME[status]: now} if status in _RESERVATION_TIME else {}
    entry = entry.model_copy(update={"status": status} | times)
    others = tuple(r for r in order.reservations if r.reservation_id != reservation)
    return replace(order, reservations=(*others, entry))
