"""What follows when an effect failed."""

from dataclasses import replace
from typing import assert_never

from bitloot.contracts.events import EffectFailed, Failure
from bitloot.contracts.state import ItemStatus
from fulfillment.order.asking import payment_effect_failed
from fulfillment.order.buying import buy_anew_if_asked
from fulfillment.order.outbox import owe, settle
from fulfillment.order.policy import CALLS, FIRST_LOOK_UP, PAYMENTS, RETRIES, Kind, Policy
from fulfillment.order.retries import effect_refused, is_no_try, try_again, wait_longer
from fulfillment.order.state import Order, Purchase, purchase_of, with_purchase


def effect_failed(state: Order, event: EffectFailed, policy: Policy) -> Order:  # noqa: PLR0911 - one line per kind of failure
    """Try again, ask first, or give up: by the kind of the effect and of its failure."""
    order, owed = settle(state, event.effect_id)
    if owed is None:
        return state
    if owed.kind in PAYMENTS:
        return payment_effect_failed(order, owed, event, policy)
    now, why = event.occurred_at, (event.cause, event.detail)
    purchase = purchase_of(order, owed.purchase_id) if owed.purchase_id else None
    if purchase is not None and owed.kind is Kind.BUY and purchase.status is ItemStatus.RESERVED:
        # A notification was faster than the failure, but only by half: whether it is bought Kinguin must tell.
        return owe(order, Kind.LOOK_UP, now, purchase.purchase_id, wait=FIRST_LOOK_UP)
    if purchase is not None and not _still_wanted(owed.kind, purchase):
        return buy_anew_if_asked(order, purchase.purchase_id, now)  # a notification was faster
    match event.failure:
        case Failure.UNKNOWN if purchase is not None and owed.kind in {Kind.BUY, Kind.GIVE}:
            order = with_purchase(order, replace(purchase, tries=owed.tries, look_ups=0))
            return owe(order, Kind.LOOK_UP, now, purchase.purchase_id, wait=FIRST_LOOK_UP)
        case Failure.TRANSIENT | Failure.UNKNOWN:
            if purchase is not None and owed.kind is Kind.RETURN and event.failure is Failure.UNKNOWN:
                order = with_purchase(order, replace(purchase, tries=owed.tries))
            # Reads, the write-once object and a mail under its Idempotency-Key may be repeated;
            # so may a return, which Kinguin takes once.
            again = wait_longer if owed.kind in CALLS and is_no_try(event) else try_again
            return again(order, owed, RETRIES[owed.kind], now, why, event.retry_after)
        case Failure.REFUSED:
            return effect_refused(order, owed, now, why)
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(event.failure)


def _still_wanted(kind: Kind, purchase: Purchase) -> bool:
    wanted = {
        Kind.BUY: {ItemStatus.BUYING},
        Kind.GIVE: {ItemStatus.RESERVED},
        Kind.LOOK_UP: {ItemStatus.BUYING, ItemStatus.RESERVED},
        Kind.FETCH: {ItemStatus.BOUGHT},
        Kind.RETURN: {ItemStatus.BOUGHT},
    }
    return purchase.status in wanted.get(kind, set())
