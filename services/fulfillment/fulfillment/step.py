"""One event of one order, from stored bytes to stored bytes and records to send."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bitloot.contracts.base import Record
from bitloot.contracts.effects import CheckPayment, CreatePayment, Effect, FindPayments, SendMail, StoreKeys
from bitloot.contracts.events import (
    MailKind,
    MailRequested,
    OrderEvent,
    OrderRetired,
    PurchasePlaced,
    PurchasesFound,
    TimerFired,
)
from bitloot.contracts.notices import ReservationBound, ReservationReleased
from bitloot.contracts.state import OrderStatus, ReservationState
from bitloot.contracts.topics import (
    DELIVERIES,
    KINGUIN_CALLS,
    KINGUIN_NOTICES,
    ORDER_EVENTS,
    ORDER_STATE,
    PAYMENT_CALLS,
    Topic,
)
from bitloot.ids import EffectId, EventId, MessageId, content_id
from fulfillment.codec import order_from_bytes, order_to_bytes
from fulfillment.order import DEFAULT_POLICY, Order, Policy, decide, leaves_at, order_time, sent_by, wake_at
from fulfillment.snapshot import snapshot

Output = tuple[Topic, str, Record]
"""A record to send: topic, key, value."""


@dataclass(frozen=True, slots=True)
class Step:
    """What an event led to. `value` is None when there is nothing to store; `leaves`: the row is to be deleted."""

    before: Order
    after: Order
    value: bytes | None
    outputs: tuple[Output, ...]
    effects: tuple[Effect, ...]
    wake_at: datetime | None
    leaves: bool = False


def step(
    stored: bytes | None,
    event: OrderEvent,
    policy: Policy = DEFAULT_POLICY,
    read: Callable[[bytes], Order] = order_from_bytes,
) -> Step:
    """Return what becomes of the order in `stored` (None: nothing was heard of it) by `event`.

    An event that changes nothing may be one whose outputs, or whose record in the table's changelog, were lost in a
    crash: the table on this disk can be ahead of everything else. So then what that event had led to is stored and
    sent once more. Any other event without news, a provider's repeat or a late timer, does nothing.
    """
    before = Order(event.order_id) if stored is None else read(stored)
    if isinstance(event, TimerFired) and _has_stayed(before, event, policy):
        return _leave(before, event, policy)
    after, effects = decide(before, event, policy)
    replay = after is before
    if replay:
        effects = sent_by(after, event)
    outputs: list[Output] = [(_topic(effect), effect.order_id, effect) for effect in effects]
    outputs += _bindings(before, after, event, replay=replay)
    latest = after.updated_at == event.occurred_at
    if latest:
        outputs.append((ORDER_STATE, after.order_id, snapshot(after)))
    value = order_to_bytes(after, policy) if latest else None
    return Step(before, after, value, tuple(outputs), effects, wake_at(after, policy))


def released(event: OrderRetired) -> tuple[Output, ...]:
    """Return what tells the router that a retired order's reservations are not needed any more."""
    return tuple(
        (
            KINGUIN_NOTICES,
            reservation,
            ReservationReleased(
                event_id=EventId(f"released/{reservation}"),
                occurred_at=event.occurred_at,
                reservation_id=reservation,
                order_id=event.order_id,
            ),
        )
        for reservation in event.reservation_ids
    )


def after_leaving(event: OrderEvent) -> tuple[Output, ...]:
    """Return what an order that has left can still give: a mail with links to the pages of its buyer's orders.

    It is made of the event alone, so that a repeat is the same effect, which the ledger carries out once. Nobody waits
    for its outcome: when it fails, the buyer asks again.
    """
    if not isinstance(event, MailRequested) or event.email is None or event.kind is MailKind.CONFIRM:
        return ()
    wish = content_id(event.order_id, "left", event.action_id)
    mail = SendMail(
        event_id=wish,
        effect_id=EffectId(wish),
        occurred_at=event.occurred_at,
        order_id=event.order_id,
        attempt=1,
        message_id=MessageId(wish),
        kind=MailKind.LOST,
        email=event.email,
        object_key="",
        items=(),
    )
    return ((DELIVERIES, event.order_id, mail),)


def _has_stayed(order: Order, event: TimerFired, policy: Policy) -> bool:
    leaves = leaves_at(order, policy)
    return leaves is not None and order_time(order, event) >= leaves


def _leave(order: Order, event: TimerFired, policy: Policy) -> Step:
    """Let an order go: one that was never placed at once, a closed one by an event that can be repeated."""
    if order.status is OrderStatus.UNPLACED or order.closed_at is None:
        return Step(order, order, None, (), (), None, leaves=True)
    retired = OrderRetired(
        event_id=EventId(f"retired/{order.order_id}"),
        occurred_at=event.occurred_at,
        order_id=order.order_id,
        closed_at=order.closed_at,
        reservation_ids=tuple(r.reservation_id for r in order.reservations),
    )
    return Step(order, order, None, ((ORDER_EVENTS, order.order_id, retired),), (), wake_at(order, policy))


def _topic(effect: Effect) -> Topic:
    match effect:
        case CreatePayment() | CheckPayment() | FindPayments():
            return PAYMENT_CALLS
        case StoreKeys() | SendMail():
            return DELIVERIES
        case _:
            return KINGUIN_CALLS


def _bindings(before: Order, after: Order, event: OrderEvent, *, replay: bool) -> list[Output]:
    """Tell the router of reservations that are new, or that a replayed outcome has brought."""
    known = {r.reservation_id for r in before.reservations}
    repeat = replay and isinstance(event, PurchasePlaced | PurchasesFound)
    return [
        _binding(after, r)
        for r in after.reservations
        if repeat or r.reservation_id not in known or r.reserved_at == event.occurred_at
    ]


def _binding(order: Order, reservation: ReservationState) -> Output:
    record = ReservationBound(
        event_id=EventId(f"bound/{reservation.reservation_id}"),
        occurred_at=reservation.reserved_at,
        reservation_id=reservation.reservation_id,
        order_id=order.order_id,
        item_id=reservation.item_id,
    )
    return KINGUIN_NOTICES, reservation.reservation_id, record
