"""Purchases, from the first try to buy until Kinguin has them for sure, or for sure not."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from bitloot.contracts.events import PurchasePlaced, PurchasesFound, ReservationGiven
from bitloot.contracts.state import ItemStatus, OrderStatus, ReservationStatus
from bitloot.ids import PurchaseId, purchase_id
from fulfillment.order.outbox import at_work, owe, settle
from fulfillment.order.policy import RETRIES, Kind, Policy, Retry
from fulfillment.order.reservations import adopt_reservation, reservation_ended, reservation_told
from fulfillment.order.review import close, to_review
from fulfillment.order.state import Order, Part, Purchase, known_purchase, name_items, purchase_of, with_purchase


def begin_purchase(order: Order, parts: tuple[Part, ...], now: datetime) -> Order:
    """Ask for one more purchase."""
    order, begun = add_purchase(order, parts, ItemStatus.BUYING)
    return owe(order, Kind.BUY, now, begun.purchase_id)


def add_purchase(order: Order, parts: tuple[Part, ...], status: ItemStatus) -> tuple[Order, Purchase]:
    """Return the order with one more purchase, under the next number."""
    added = Purchase(purchase_id(order.order_id, len(order.purchases) + 1), parts, status)
    return replace(order, purchases=(*order.purchases, added)), added


def purchase_placed(state: Order, event: PurchasePlaced) -> Order:
    """Go on with the reservation that Kinguin has made. One of a try that was given up is as real."""
    order, owed = settle(state, event.effect_id)
    purchase, now = known_purchase(state, event.purchase_id), event.occurred_at
    if purchase is None:
        return state
    if owed is None:  # of a try that was given up: the purchase is as real
        return reservation_told(state, purchase, event.reservation_id, now, given=event.given)
    order = adopt_reservation(order, purchase, event.reservation_id, now, given=event.given)
    return buy_anew_if_asked(order, purchase.purchase_id, now)


def buy_anew_if_asked(order: Order, purchase_id: PurchaseId, now: datetime) -> Order:
    """Buy what was canceled anew where a human had asked for it while the outcome of its purchase was still awaited."""
    asked = order.status is OrderStatus.PURCHASING and order.review is None and not order.refunded
    purchase = purchase_of(order, purchase_id)
    return resume_purchase(order, purchase, now) if asked and purchase.status is ItemStatus.CANCELED else order


def purchases_found(state: Order, event: PurchasesFound, policy: Policy) -> Order:
    """Go on with what a look-up found; nothing found is believed only after several look-ups."""
    order, owed = settle(state, event.effect_id)
    purchase, now = known_purchase(state, event.purchase_id), event.occurred_at
    if purchase is None:
        return state
    live = sorted((r for r in event.reservations if not r.canceled), key=lambda r: (not r.given, r.reservation_id))
    if owed is None:  # a look-up that was sent again has found more than its first answer told
        for found in live:
            order = reservation_told(
                order, purchase_of(order, purchase.purchase_id), found.reservation_id, now, given=found.given
            )
        return order
    ended = any(r.canceled and r.reservation_id == purchase.reservation_id for r in event.reservations)
    if not live and ended and purchase.status is ItemStatus.RESERVED and purchase.reservation_id is not None:
        detail = f"Kinguin shows reservation {purchase.reservation_id} of {name_items(order, purchase)} as canceled"
        return reservation_ended(order, purchase, purchase.reservation_id, ReservationStatus.CANCELED, now, detail)
    if not live:
        return _nothing_found(order, purchase, now, policy.look_ups)
    chosen = next((r for r in live if r.reservation_id == purchase.reservation_id), live[0])
    if live[0].given and not chosen.given:
        chosen = live[0]
    order = adopt_reservation(order, purchase, chosen.reservation_id, now, given=chosen.given)
    for other in live:
        if other is not chosen:
            order = reservation_told(
                order, purchase_of(order, purchase.purchase_id), other.reservation_id, now, given=other.given
            )
    return order


def _nothing_found(order: Order, purchase: Purchase, now: datetime, look_ups: Retry) -> Order:
    """Ask again for a while; then nothing was bought, for sure, and the purchase may be tried again."""
    if purchase.status not in {ItemStatus.BUYING, ItemStatus.RESERVED}:
        return order
    asked = purchase.look_ups + 1
    if asked < look_ups.tries:
        wait = look_ups.wait(asked, f"{purchase.purchase_id}/{Kind.LOOK_UP}/{asked}")
        return owe(
            with_purchase(order, replace(purchase, look_ups=asked)), Kind.LOOK_UP, now, purchase.purchase_id, wait=wait
        )
    if order.refunded:
        return fail_purchase(order, purchase, now, "refunded_while_buying", "The payment was refunded")
    if purchase.status is ItemStatus.RESERVED:
        detail = f"Kinguin no longer knows reservation {purchase.reservation_id}"
        return to_review(order, now, "reservation_missing", detail, purchase)
    if purchase.tries >= RETRIES[Kind.BUY].tries:
        return fail_purchase(
            order, purchase, now, "unknown_outcome", f"{purchase.tries} tries to buy had no known outcome"
        )
    order = with_purchase(order, replace(purchase, look_ups=0))
    return owe(order, Kind.BUY, now, purchase.purchase_id, tries=purchase.tries + 1)


def reservation_given(state: Order, event: ReservationGiven) -> Order:
    """Take note that a reservation is bought now."""
    order, _ = settle(state, event.effect_id)
    purchase = known_purchase(order, event.purchase_id)
    if purchase is None:
        return state
    return reservation_told(order, purchase, event.reservation_id, event.occurred_at, given=True)


def buy_alone(order: Order, purchase: Purchase, now: datetime) -> Order:
    """Buy each part by itself: nothing was bought, and which product is the reason is not told."""
    first, *others = purchase.parts
    order = with_purchase(order, replace(purchase, parts=(first,), tries=0, look_ups=0))
    order = owe(order, Kind.BUY, now, purchase.purchase_id)
    for part in others:
        order = begin_purchase(order, (part,), now)
    return order


def fail_purchase(order: Order, purchase: Purchase, now: datetime, cause: str, detail: str) -> Order:
    """Give a purchase up. Where the money went back already and nothing was bought, the order ends."""
    order = with_purchase(order, replace(purchase, status=ItemStatus.FAILED, look_ups=0))
    if order.refunded and not at_work(order) and all(p.reservation_id is None for p in order.purchases):
        return close(order, OrderStatus.REFUNDED, now)
    return to_review(order, now, cause, detail, purchase)


def resume_purchase(order: Order, purchase: Purchase, now: datetime) -> Order:
    """Owe the next step of a purchase for which nothing is under way."""
    if any(owed.purchase_id == purchase.purchase_id for owed in order.outbox):
        return order
    purchase = replace(purchase, tries=0, look_ups=0, is_returning=False)
    order = with_purchase(order, purchase)
    match purchase.status:
        case ItemStatus.WAITING | ItemStatus.FAILED:
            return owe(
                with_purchase(order, replace(purchase, status=ItemStatus.BUYING)), Kind.BUY, now, purchase.purchase_id
            )
        case ItemStatus.CANCELED:
            # Bought anew on purpose, so under a new number: the canceled one must not be taken for it.
            fresh = replace(
                purchase,
                status=ItemStatus.BUYING,
                time=purchase.time + 1,
                reservation_id=None,
                expected_at=None,
            )
            return owe(with_purchase(order, fresh), Kind.BUY, now, purchase.purchase_id)
        case ItemStatus.BUYING | ItemStatus.RESERVED:
            return owe(order, Kind.LOOK_UP, now, purchase.purchase_id)
        case ItemStatus.BOUGHT:
            return owe(order, Kind.FETCH, now, purchase.purchase_id)
        case ItemStatus.RECEIVED | ItemStatus.STORED:
            return order
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(purchase.status)
