"""One more try of an effect after its wait, or giving up."""

from dataclasses import replace
from datetime import datetime, timedelta

from bitloot.contracts.events import EffectFailed, Failure
from fulfillment.order.buying import buy_alone, fail_purchase
from fulfillment.order.mails import notice_refused
from fulfillment.order.outbox import owe, seed_of
from fulfillment.order.policy import NO_TRY, WAITS, Kind, Retry
from fulfillment.order.reservations import reservation_ended
from fulfillment.order.returning import not_returned
from fulfillment.order.review import note_incident, to_review
from fulfillment.order.state import ENDED_BY_SUPPLIER, Order, Owed, Purchase, purchase_of

SOLD_ALONE = "sold_alone"
"""The refusal (`bitloot.errors.Cause`) of a purchase with a product that Kinguin sells in an order of its own only."""


def try_again(
    order: Order,
    owed: Owed,
    retry: Retry,
    now: datetime,
    why: tuple[str, str],
    retry_after: float | None = None,
) -> Order:
    """Owe the next try after its wait, or give up when tries or patience are used up."""
    if owed.tries >= retry.tries or now - owed.series_since >= retry.patience:
        return effect_refused(order, owed, now, why)
    wait = retry.wait(owed.tries, seed_of(order, owed), retry_after)
    return _once_more(order, replace(owed, tries=owed.tries + 1, waits=0), now, wait)


def wait_longer(
    order: Order,
    owed: Owed,
    retry: Retry,
    now: datetime,
    why: tuple[str, str],
    retry_after: float | None = None,
    *,
    pace: Retry = WAITS,
) -> Order:
    """Owe the same try after a wait of `pace`, or give up when the patience of `retry` is used up."""
    if now - owed.series_since >= retry.patience:
        return effect_refused(order, owed, now, why)
    wait = pace.wait(owed.waits + 1, seed_of(order, owed), retry_after)
    return _once_more(order, replace(owed, waits=owed.waits + 1), now, wait)


def is_no_try(event: EffectFailed) -> bool:
    """Tell whether a failure says nothing about the order, so that it uses up no try."""
    if event.failure is not Failure.TRANSIENT:
        return False
    return event.cause in NO_TRY or (event.cause == "provider_unavailable" and event.retry_after is not None)


def _once_more(order: Order, owed: Owed, now: datetime, wait: timedelta) -> Order:
    if order.refunded and owed.kind in {Kind.BUY, Kind.GIVE, Kind.MAIL}:
        return effect_refused(order, owed, now, ("refunded_while_buying", "The payment was refunded"))
    if owed.kind is Kind.FETCH and owed.purchase_id and purchase_of(order, owed.purchase_id).is_returning:
        return owe(order, Kind.RETURN, now, owed.purchase_id)  # an admin has asked for it meanwhile
    return owe(
        order,
        owed.kind,
        now,
        owed.purchase_id,
        wait=wait,
        tries=owed.tries,
        waits=owed.waits,
        series_since=owed.series_since,
        notice=owed.notice,
        payment_id=owed.payment_id,
        invoice_id=owed.invoice_id,
    )


def effect_refused(order: Order, owed: Owed, now: datetime, why: tuple[str, str]) -> Order:
    """Give an effect up: each kind has its own end, and most of them need a human."""
    cause, detail = why
    if owed.kind is Kind.NOTICE:
        return notice_refused(order, owed, now, why)
    if owed.kind is Kind.CHECK and cause != "payment_unconfirmed":
        cause, detail = "payment_unconfirmed", f"Payment {owed.payment_id} cannot be confirmed ({cause}): {detail}"
    if owed.kind is Kind.PAY:  # the buyer may ask for another way
        return note_incident(order, now, "payment_not_created", f"There is no way to pay ({cause}): {detail}")
    if owed.purchase_id is None:
        return to_review(order, now, cause, detail)
    return _purchase_refused(order, owed.kind, purchase_of(order, owed.purchase_id), now, why)


def _purchase_refused(order: Order, kind: Kind, purchase: Purchase, now: datetime, why: tuple[str, str]) -> Order:
    cause, detail = why
    if kind is Kind.RETURN:
        return not_returned(order, purchase, now, cause, detail)
    if kind is Kind.BUY and cause == SOLD_ALONE and len(purchase.parts) > 1:
        return buy_alone(order, purchase, now)
    if kind is Kind.BUY:
        return fail_purchase(order, purchase, now, cause, detail)
    if kind in {Kind.GIVE, Kind.FETCH} and purchase.reservation_id is not None and cause in ENDED_BY_SUPPLIER:
        return reservation_ended(order, purchase, purchase.reservation_id, ENDED_BY_SUPPLIER[cause], now, detail)
    return to_review(order, now, cause, detail, purchase)
