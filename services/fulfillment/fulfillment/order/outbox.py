"""The outbox: effects are put in when they are owed, and taken out when their outcome is known."""

from dataclasses import replace
from datetime import datetime, timedelta

from bitloot.ids import EffectId, OrderId, PaymentId, PurchaseId, effect_id
from fulfillment.order.policy import PAYMENTS, Kind
from fulfillment.order.state import Order, Owed


def owe(
    order: Order,
    kind: Kind,
    now: datetime,
    purchase_id: PurchaseId | None = None,
    *,
    wait: timedelta = timedelta(0),
    tries: int = 1,
    waits: int = 0,
    series_since: datetime | None = None,
    notice: int | None = None,
    payment_id: PaymentId | None = None,
    invoice_id: str | None = None,
) -> Order:
    """Put the next attempt of an effect into the outbox, unless one of its kind is owed already."""
    counter = f"{purchase_id or order.order_id}/{kind}"
    attempt = order.attempts.get(counter, 0) + 1
    due_at, since = now + wait, series_since or now
    owed = Owed(
        kind,
        purchase_id,
        attempt,
        now,
        due_at,
        since,
        tries,
        waits,
        notice=notice,
        payment_id=payment_id,
        invoice_id=invoice_id,
    )
    if any(each.key == owed.key for each in order.outbox):
        return order
    return replace(order, outbox=(*order.outbox, owed), attempts=order.attempts | {counter: attempt})


def settle(state: Order, effect: EffectId) -> tuple[Order, Owed | None]:
    """Take an effect out of the outbox; None when it is not (or no longer) in there."""
    owed = next((o for o in state.outbox if effect_id_of(state.order_id, o) == effect), None)
    if owed is None:
        return state, None
    return replace(state, outbox=tuple(o for o in state.outbox if o is not owed)), owed


def effect_id_of(order: OrderId, owed: Owed) -> EffectId:
    """Return the id of the effect that an entry stands for: order or purchase, kind and attempt."""
    return effect_id(owed.purchase_id or order, owed.kind, owed.attempt)


def seed_of(order: Order, owed: Owed) -> str:
    """Return what the jitter of an entry's next wait depends on."""
    return f"{order.order_id}/{owed.kind}/{owed.attempt}"


def find_owed(
    order: Order, kind: Kind, purchase_id: PurchaseId | None, *, payment_id: PaymentId | None = None
) -> Owed | None:
    """Return what is owed of this kind for the same purchase and payment, or None."""
    return next((o for o in order.outbox if o.key == (kind, purchase_id, None, payment_id, None)), None)


def at_work(order: Order) -> bool:
    """Tell whether something is owed that the order's end waits for: more than mails, or news of payments."""
    return any(owed.kind not in {Kind.NOTICE, *PAYMENTS} for owed in order.outbox)


def put_owed(order: Order, owed: Owed) -> Order:
    """Put an entry in the place of the one with its key."""
    return replace(order, outbox=tuple(owed if o.key == owed.key else o for o in order.outbox))


def without_owed(order: Order, owed: Owed | None) -> Order:
    """Take out this very entry, if it is one."""
    return replace(order, outbox=tuple(o for o in order.outbox if o is not owed))


def drop_owed(order: Order, purchase_id: PurchaseId, *kinds: Kind) -> Order:
    """Take out what is owed of these kinds for a purchase, sent or not."""
    return replace(order, outbox=tuple(o for o in order.outbox if o.purchase_id != purchase_id or o.kind not in kinds))


def drop_unsent(order: Order, purchase_id: PurchaseId, kind: Kind) -> Order:
    """Take out what is owed of this kind for a purchase and nobody was asked to do yet."""
    return replace(
        order,
        outbox=tuple(o for o in order.outbox if o.purchase_id != purchase_id or o.kind is not kind or o.emissions),
    )
