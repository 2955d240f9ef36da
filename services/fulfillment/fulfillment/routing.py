"""Which order a reservation belongs to, as a pure function: (route, record) -> (route, events of orders).

Kinguin's notifications may name a reservation and no order, and may come before we have recorded the
reservation. A route keeps such early notifications until the orders agent says whose reservation it is.
"""

from dataclasses import dataclass, replace

from bitloot.contracts.events import KinguinNotified
from bitloot.contracts.notices import NoticeRecord, ReservationBound, ReservationNotified
from bitloot.ids import OrderId

MAX_HELD = 16
"""Kinguin knows five events of a reservation; anything far beyond that is noise."""


@dataclass(frozen=True, slots=True)
class Route:
    """A reservation's order, once known, and the notifications that came (kept, so that a replay repeats them)."""

    order_id: OrderId | None = None
    held: tuple[ReservationNotified, ...] = ()


def route(state: Route, record: NoticeRecord) -> tuple[Route, tuple[KinguinNotified, ...]]:
    """Return the route after `record`, and what to tell the order now.

    A repeat gives the same events again: orders take no harm from a notification told twice.
    """
    match record:
        case ReservationBound():
            order_id = state.order_id or record.order_id  # the first binding stands
            return replace(state, order_id=order_id), tuple(_forward(order_id, notice) for notice in state.held)
        case ReservationNotified():
            if state.order_id is not None:
                return state, (_forward(state.order_id, record),)
            if any(held.event_id == record.event_id for held in state.held) or len(state.held) >= MAX_HELD:
                return state, ()
            return replace(state, held=(*state.held, record)), ()


def _forward(order_id: OrderId, notice: ReservationNotified) -> KinguinNotified:
    return KinguinNotified(
        event_id=notice.event_id,
        occurred_at=notice.occurred_at,
        order_id=order_id,
        notice=notice.notice,
        provider_status=notice.provider_status,
        reservation_id=notice.reservation_id,
        codes=notice.codes,
        provider_updated_at=notice.provider_updated_at,
    )
