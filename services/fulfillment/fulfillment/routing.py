"""Which order a reservation belongs to, as a pure function: (route, record) -> route, events, what is put aside.

Kinguin's notifications may name a reservation and no order, and may come before we have recorded the
reservation. A route keeps such early notifications until the orders agent says whose reservation it is, or for as
long as it may; then they are put aside as dead letters, from where they can be replayed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from bitloot.contracts.events import KinguinNotified
from bitloot.contracts.notices import (
    NoticeRecord,
    NoticesOverdue,
    ReservationBound,
    ReservationNotified,
    ReservationReleased,
)
from bitloot.ids import OrderId

MAX_HELD = 16
"""Kinguin knows five events of a reservation; anything far beyond that is noise."""
HELD_FOR = timedelta(hours=1)
"""A reservation is normally bound within milliseconds of its first notification, and after an unknown outcome within
two minutes: three look-ups, or five failed ones. What is left is an outage of our own, which an hour covers; what comes
later than that is found by look-ups and polling all the same."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands in the topic, and when it came here."""

    partition: int
    offset: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """A notification that waits for its order, or has waited."""

    notice: ReservationNotified
    place: Place


@dataclass(frozen=True, slots=True)
class Route:
    """A reservation's order, once known, and the notifications that came (kept, so that a replay repeats them)."""

    order_id: OrderId | None = None
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class Routed:
    """What a record leads to. `route` is None when the reservation leaves the table; `why` is for `aside`."""

    route: Route | None
    events: tuple[KinguinNotified, ...] = ()
    aside: tuple[Held, ...] = ()
    why: str = ""


def route(state: Route, record: NoticeRecord, place: Place, held_for: timedelta = HELD_FOR) -> Routed:
    """Return what becomes of the route by `record`, which came from `place`.

    A repeat gives the same events again: orders take no harm from a notification told twice.
    """
    match record:
        case ReservationBound():
            order_id = state.order_id or record.order_id  # the first binding stands
            bound = replace(state, order_id=order_id)
            return Routed(bound, tuple(_forward(order_id, held.notice) for held in state.held))
        case ReservationNotified():
            return _notified(state, record, place)
        case NoticesOverdue():
            return _overdue(state, record.occurred_at - held_for)
        case ReservationReleased():
            unheard = state.held if state.order_id is None else ()
            return Routed(None, aside=unheard, why="the order of this reservation has left")
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(record)


def overdue_at(state: Route, held_for: timedelta) -> datetime | None:
    """Return when the first of the held notifications has waited for long enough; None when nothing waits."""
    if state.order_id is not None or not state.held:
        return None
    return min(held.place.at for held in state.held) + held_for


def _notified(state: Route, record: ReservationNotified, place: Place) -> Routed:
    if state.order_id is not None:
        return Routed(state, (_forward(state.order_id, record),))
    if any(held.notice.event_id == record.event_id for held in state.held):
        return Routed(state)
    if len(state.held) >= MAX_HELD:
        return Routed(state, aside=(Held(record, place),), why=f"{MAX_HELD} notices of it wait already")
    return Routed(replace(state, held=(*state.held, Held(record, place))))


def _overdue(state: Route, before: datetime) -> Routed:
    if state.order_id is not None:
        return Routed(state)
    late = tuple(held for held in state.held if held.place.at <= before)
    rest = tuple(held for held in state.held if held.place.at > before)
    return Routed(Route(held=rest) if rest else None, aside=late, why="no order has claimed this reservation in time")


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
