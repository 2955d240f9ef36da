"""The reservation router's pure part: no notice is lost, none waits for ever."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot.contracts.events import Notice
from bitloot.contracts.notices import NoticesOverdue, ReservationBound, ReservationNotified, ReservationReleased
from bitloot.ids import ReservationId, content_id, item_id
from fulfillment.codec import held_since, route_from_bytes, route_to_bytes
from fulfillment.routing import HELD_FOR, MAX_HELD, Place, Route, overdue_at, route
from tests.unit.fulfillment.order_world import ORDER, START, sealed

R = ReservationId("r1")
PLACE = Place(3, 41, START)
BOUND = ReservationBound(
    event_id=content_id("bound", R), occurred_at=START, reservation_id=R, order_id=ORDER, item_id=item_id(ORDER, 1)
)
RELEASED = ReservationReleased(event_id=f"released/{R}", occurred_at=START, reservation_id=R, order_id=ORDER)


def notified(event: str = "delivered", n: int = 0) -> ReservationNotified:
    return ReservationNotified(
        event_id=content_id("kinguin", R, event, n),
        occurred_at=START,
        reservation_id=R,
        notice=Notice.DELIVERED,
        provider_status=event,
        codes=sealed("a"),
    )


def overdue(after: timedelta) -> NoticesOverdue:
    return NoticesOverdue(event_id=f"overdue/{R}/{after}", occurred_at=START + after, reservation_id=R)


def test_a_notice_that_comes_too_early_waits_for_its_order():
    held = route(Route(), notified(), PLACE)
    assert held.events == ()
    bound = route(held.route, BOUND, PLACE)
    (event,) = bound.events
    assert (event.order_id, event.reservation_id, event.codes) == (ORDER, R, sealed("a"))
    assert event.event_id == notified().event_id
    assert route_from_bytes(route_to_bytes(bound.route)) == bound.route


def test_a_notice_of_a_known_reservation_is_forwarded_at_once():
    bound = route(Route(), BOUND, PLACE).route
    assert len(route(bound, notified(), PLACE).events) == 1


@given(st.permutations([notified("reserve"), notified("give"), notified("delivered"), BOUND, BOUND]))
def test_every_notice_reaches_the_order_in_any_order(records):
    state, told = Route(), set()
    for record in records:
        routed = route(state, record, PLACE)
        state, told = routed.route, told | {e.event_id for e in routed.events}
    assert len(told) == 3


def test_what_exceeds_the_room_for_noise_is_put_aside_and_not_dropped():
    state, aside = Route(), []
    for n in range(100):
        routed = route(state, notified(n=n), Place(3, n, START))
        state, aside = routed.route, aside + list(routed.aside)
    assert len(state.held) == MAX_HELD
    assert [held.place.offset for held in aside] == list(range(MAX_HELD, 100))


def test_a_notice_that_nobody_claims_is_put_aside_with_its_place_and_the_row_leaves():
    held = route(Route(), notified(), PLACE).route
    assert overdue_at(held, HELD_FOR) == START + HELD_FOR
    assert held_since(route_to_bytes(held)) == START
    routed = route(held, overdue(HELD_FOR), Place(3, 99, START + HELD_FOR))
    assert routed.route is None
    (aside,) = routed.aside
    assert (aside.notice, aside.place) == (notified(), PLACE)


def test_each_notice_has_its_own_time():
    later = Place(3, 42, START + HELD_FOR / 2)
    state = route(route(Route(), notified("reserve"), PLACE).route, notified("give"), later).route
    routed = route(state, overdue(HELD_FOR), PLACE)
    assert [held.place.offset for held in routed.aside] == [41]
    assert overdue_at(routed.route, HELD_FOR) == later.at + HELD_FOR


@pytest.mark.parametrize("records", [[BOUND, notified()], [notified(), BOUND]])
def test_a_bound_reservation_never_expires(records):
    state = Route()
    for record in records:
        state = route(state, record, PLACE).route
    assert overdue_at(state, HELD_FOR) is None
    assert held_since(route_to_bytes(state)) is None
    routed = route(state, overdue(10 * HELD_FOR), PLACE)
    assert (routed.route, routed.aside, routed.events) == (state, (), ())


def test_an_early_or_repeated_timer_puts_nothing_aside():
    held = route(Route(), notified(), PLACE).route
    assert route(held, overdue(HELD_FOR - timedelta(seconds=1)), PLACE).route == held
    assert route(Route(), overdue(HELD_FOR), PLACE).aside == ()


def test_a_released_reservation_leaves_and_what_was_told_of_it_is_not_put_aside():
    state = route(route(Route(), notified(), PLACE).route, BOUND, PLACE).route
    routed = route(state, RELEASED, PLACE)
    assert (routed.route, routed.aside) == (None, ())


def test_a_notice_that_waits_when_its_reservation_is_released_is_put_aside():
    held = route(Route(), notified(), PLACE).route
    assert [h.notice for h in route(held, RELEASED, PLACE).aside] == [notified()]
