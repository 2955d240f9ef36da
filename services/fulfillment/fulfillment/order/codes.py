"""From the codes of a purchase to the stored keys of an order."""

from dataclasses import replace
from datetime import datetime

from bitloot.contracts.events import CodesPending, CodesReceived, KeysRevealed, KeysStored, LineCodes
from bitloot.contracts.state import ItemStatus, KeyState, OrderStatus, ReservationStatus, Review
from fulfillment.order.buying import add_purchase
from fulfillment.order.mails import owe_mail
from fulfillment.order.outbox import drop_owed, owe, seed_of, settle
from fulfillment.order.policy import DAY, POLLING, Kind, Policy
from fulfillment.order.reservations import record_reservation
from fulfillment.order.retries import wait_longer
from fulfillment.order.review import note_incident, to_review
from fulfillment.order.state import Order, Part, Purchase, known_purchase, name_items, purchase_of, with_purchase

NOT_CURED_BY_CODES = frozenset({"supplier_canceled", "supplier_reversed", "refunded_while_buying", "keys_returned"})
"""Why an item waits for a human whatever codes come: somebody has taken the purchase back."""


def codes_received(state: Order, event: CodesReceived) -> Order:
    """Take codes that are whole; of fewer or others a human must hear."""
    order, owed = settle(state, event.effect_id)
    purchase, now = known_purchase(order, event.purchase_id), event.occurred_at
    if purchase is None or purchase.status is not ItemStatus.BOUGHT or event.reservation_id != purchase.reservation_id:
        return order
    if purchase.is_returning and owed is None:
        return order  # an answer told again, or too late: Kinguin takes the keys back
    came = _assigned(purchase, event.lines)
    if came is not None and all(len(part.codes) == part.quantity for part in came):
        return take_codes(order, purchase, came, now)
    if came is not None and event.never and any(part.codes for part in came):
        return _partly_received(order, purchase, came, event)
    if owed is None:
        return state
    count = sum(len(line.codes) for line in event.lines)
    detail = f"{count} codes came for {purchase.quantity} of {name_items(order, purchase)}"
    return to_review(order, now, "bad_codes", detail, purchase)


def _assigned(purchase: Purchase, lines: tuple[LineCodes, ...]) -> tuple[Part, ...] | None:
    """Return the parts with their codes, or None when they are not those that were bought, or too many."""
    codes = {line.item_id: line.codes for line in lines}
    if len(codes) != len(lines) or codes.keys() != {part.item_id for part in purchase.parts}:
        return None
    parts = tuple(replace(part, codes=codes[part.item_id]) for part in purchase.parts)
    return parts if all(len(part.codes) <= part.quantity for part in parts) else None


def take_codes(order: Order, purchase: Purchase, parts: tuple[Part, ...], now: datetime) -> Order:
    """Note that the keys of a purchase are here, and deliver when they are the last."""
    order = drop_owed(order, purchase.purchase_id, Kind.FETCH)
    if purchase.is_returning:
        detail = f"The keys of {name_items(order, purchase)} had been downloaded when they were to be returned"
        order = note_incident(order, now, "return_refused", detail)
    received = replace(purchase, status=ItemStatus.RECEIVED, parts=parts, expected_at=None, is_returning=False)
    order = with_purchase(order, received)
    if purchase.reservation_id is not None:
        order = record_reservation(order, purchase, purchase.reservation_id, ReservationStatus.DELIVERED, now)
    return deliver_when_complete(order, now)


def _partly_received(order: Order, purchase: Purchase, came: tuple[Part, ...], event: CodesReceived) -> Order:
    """Keep what came. What never will is a purchase of its own, which a human may have bought anew."""
    kept = tuple(replace(part, quantity=len(part.codes)) for part in came if part.codes)
    missing = tuple(
        Part(part.item_id, part.quantity - len(part.codes)) for part in came if len(part.codes) < part.quantity
    )
    order = take_codes(order, purchase, kept, event.occurred_at)
    order, rest = add_purchase(order, missing, ItemStatus.FAILED)
    detail = f"Kinguin has {event.never} {rest.quantity} of {purchase.quantity} keys of {name_items(order, rest)}"
    return to_review(order, event.occurred_at, "partly_delivered", detail, rest)


def deliver_when_complete(order: Order, now: datetime) -> Order:
    """Owe the store of the keys once every key of the order is here."""
    if (
        any(purchase.status is not ItemStatus.RECEIVED for purchase in order.purchases)
        or order.closed
        or order.refunded
    ):
        return order
    if sum(purchase.quantity for purchase in order.purchases) != sum(item.quantity for item in order.items):
        return order
    if order.review is not None and not _cured_by_codes(order.review):
        return order
    order = replace(
        order,
        status=OrderStatus.DELIVERING,
        review=None,
        received_at=order.received_at or now,
        working_since=now,
    )
    return owe(order, Kind.STORE, now)


def _cured_by_codes(review: Review) -> bool:
    """Tell whether a review ends by itself once every item has the right number of codes.

    What went wrong with a purchase on the way to its codes is settled by them, whatever it was: a refusal, an answer
    that could not be read, tries used up, Kinguin silent. Not so when the purchase was taken back, and not when the
    whole order waits for another reason than time: money, or what came after the codes (R2, mail).
    """
    if review.item_id is None:
        return review.cause == "stuck"
    return review.cause not in NOT_CURED_BY_CODES


def codes_pending(state: Order, event: CodesPending, policy: Policy) -> Order:
    """Ask for the codes again later, for as long as an order may take; of a pre-order once a day."""
    order, owed = settle(state, event.effect_id)
    if owed is None or owed.purchase_id != event.purchase_id:
        return state
    purchase = purchase_of(order, event.purchase_id)
    if purchase.status is not ItemStatus.BOUGHT:
        return order
    now, expected_at = event.occurred_at, event.expected_at
    if purchase.is_returning:
        return owe(order, Kind.RETURN, now, purchase.purchase_id)
    if expected_at is not None and expected_at > now:
        # A pre-order. Its date may move, and it may be canceled: so it is asked for once a day.
        order = with_purchase(order, replace(purchase, expected_at=expected_at))
        wait = min(expected_at - now, DAY) + POLLING.wait(1, seed_of(order, owed))
        return owe(order, Kind.FETCH, now, purchase.purchase_id, wait=wait)
    owed = replace(owed, tries=1)  # it was answered: failures from before have ended, and the next one is the first
    why = ("supplier_slow", "Kinguin has not delivered in time")
    return wait_longer(order, owed, replace(POLLING, patience=policy.stuck_after), now, why, pace=POLLING)


def keys_stored(state: Order, event: KeysStored) -> Order:
    """Forget the codes, which are stored now, and owe the mail with the link."""
    order, owed = settle(state, event.effect_id)
    if owed is None:
        return state
    now = event.occurred_at
    pictures = {(stored.item_id, stored.position): stored for stored in event.objects}
    keys = tuple(
        KeyState(
            item_id=item.item_id,
            position=position,
            storage_ref=picture.object_key if picture else event.object_key,
            media_type=picture.media_type if picture else "text/plain",
            created_at=now,
        )
        for item in order.items
        for position in range(1, item.quantity + 1)
        for picture in (pictures.get((item.item_id, position)),)
    )
    purchases = tuple(
        replace(purchase, status=ItemStatus.STORED, parts=tuple(replace(part, codes=()) for part in purchase.parts))
        for purchase in order.purchases
    )
    order = replace(order, purchases=purchases, keys=keys, object_key=event.object_key, stored_at=now)
    return order if order.refunded else owe_mail(order, now)


def keys_revealed(state: Order, event: KeysRevealed) -> Order:
    """Note when the buyer first opened the keys."""
    if not state.keys or state.revealed_at is not None:
        return state
    keys = tuple(key.model_copy(update={"viewed_at": event.occurred_at}) for key in state.keys)
    return replace(state, keys=keys, revealed_at=event.occurred_at)
