"""One event of one order, from stored bytes to stored bytes and records to send."""

from dataclasses import dataclass
from datetime import datetime

from bitloot.contracts.base import Record
from bitloot.contracts.effects import Effect, SendMail, StoreKeys
from bitloot.contracts.events import OrderEvent, PurchasePlaced, PurchasesFound
from bitloot.contracts.notices import ReservationBound
from bitloot.contracts.state import ReservationState
from bitloot.contracts.topics import DELIVERIES, KINGUIN_CALLS, KINGUIN_NOTICES, ORDER_STATE, Topic
from bitloot.ids import EventId
from fulfillment.codec import order_from_bytes, order_to_bytes
from fulfillment.order import Order, decide, sent_by, wake_at
from fulfillment.snapshot import snapshot

Output = tuple[Topic, str, Record]
"""A record to send: topic, key, value."""


@dataclass(frozen=True, slots=True)
class Step:
    """What an event led to. `value` is None when there is nothing new to store."""

    before: Order
    after: Order
    value: bytes | None
    outputs: tuple[Output, ...]
    effects: tuple[Effect, ...]
    wake_at: datetime | None


def step(stored: bytes | None, event: OrderEvent) -> Step:
    """Return what becomes of the order in `stored` (None: nothing was heard of it) by `event`.

    An event that changes nothing may be one whose outputs were lost in a crash: the table can be ahead of
    everything else. So then what that event had sent is sent once more. Any other event without news, a
    provider's repeat or a late timer, sends nothing.
    """
    before = Order(event.order_id) if stored is None else order_from_bytes(stored)
    after, effects = decide(before, event)
    replay = after is before
    if replay:
        effects = sent_by(after, event)
    outputs: list[Output] = [(_topic(effect), effect.order_id, effect) for effect in effects]
    outputs += _bindings(before, after, event, replay=replay)
    if after.updated_at == event.occurred_at:
        outputs.append((ORDER_STATE, after.order_id, snapshot(after)))
    value = None if replay else order_to_bytes(after)
    return Step(before, after, value, tuple(outputs), effects, wake_at(after))


def _topic(effect: Effect) -> Topic:
    return DELIVERIES if isinstance(effect, StoreKeys | SendMail) else KINGUIN_CALLS


def _bindings(before: Order, after: Order, event: OrderEvent, *, replay: bool) -> list[Output]:
    """Tell the router of reservations that are new, or that a replayed outcome has brought."""
    known = {r.reservation_id for r in before.reservations}
    repeat = replay and isinstance(event, PurchasePlaced | PurchasesFound)
    return [_binding(after, r) for r in after.reservations if repeat or r.reservation_id not in known]


def _binding(order: Order, reservation: ReservationState) -> Output:
    record = ReservationBound(
        event_id=EventId(f"bound/{reservation.reservation_id}"),
        occurred_at=reservation.reserved_at,
        reservation_id=reservation.reservation_id,
        order_id=order.order_id,
        item_id=reservation.item_id,
    )
    return KINGUIN_NOTICES, reservation.reservation_id, record
