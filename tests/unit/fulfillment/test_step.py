"""From stored bytes to stored bytes and records: nothing that a crash can lose is lost."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot.contracts.events import Notice, PaymentStatus, TimerFired
from bitloot.contracts.notices import ReservationBound, ReservationNotified
from bitloot.contracts.topics import DELIVERIES, KINGUIN_CALLS, KINGUIN_NOTICES, ORDER_STATE
from bitloot.ids import ReservationId, content_id, item_id
from fulfillment.codec import order_from_bytes, route_from_bytes, route_to_bytes, wake_of
from fulfillment.due import FIRE_AGAIN_AFTER, DueIndex
from fulfillment.order import wake_at
from fulfillment.routing import MAX_HELD, Route, route
from fulfillment.step import step
from tests.unit.fulfillment.order_world import ORDER, START, World, payment, placed, sealed

FINISHED = payment(PaymentStatus.FINISHED)


def topics(outputs) -> list[str]:
    return [topic.name for topic, _, _ in outputs]


def test_a_paid_order_is_stored_and_its_purchase_and_state_are_sent():
    first = step(None, placed())
    second = step(first.value, FINISHED)
    assert topics(first.outputs) == [ORDER_STATE.name]
    assert topics(second.outputs) == [KINGUIN_CALLS.name, ORDER_STATE.name]
    assert {key for _, key, _ in second.outputs} == {ORDER}
    assert order_from_bytes(second.value) == second.after


def test_a_replay_stores_nothing_and_sends_everything_again():
    stored = step(step(None, placed()).value, FINISHED)
    again = step(stored.value, FINISHED)
    assert again.value is None
    assert again.outputs == stored.outputs


def test_a_repeat_without_news_sends_nothing():
    stored = step(step(None, placed()).value, FINISHED)
    repeat = FINISHED.model_copy(update={"occurred_at": START + timedelta(seconds=1)})
    assert step(stored.value, repeat).outputs == ()


def test_a_timer_that_comes_too_late_sends_nothing_and_its_replay_sends_what_it_sent():
    stored = step(step(None, placed()).value, FINISHED)
    due = wake_at(stored.after)
    timer = TimerFired(event_id="timer/1", occurred_at=due, order_id=ORDER)
    fired = step(stored.value, timer)
    assert [e.effect_id for e in fired.effects] == [e.effect_id for e in stored.effects]
    assert step(fired.value, timer).outputs == fired.outputs
    late = timer.model_copy(update={"occurred_at": due + timedelta(seconds=1)})
    assert step(fired.value, late).outputs == ()


def test_a_new_reservation_is_bound_to_its_order_and_a_replay_binds_it_again():
    world = World()
    stored = step(step(None, placed()).value, FINISHED)
    world.order = stored.after
    outcome = world.outcome(stored.effects[0])
    bought = step(stored.value, outcome)
    ((_, key, bound),) = [o for o in bought.outputs if o[0] is KINGUIN_NOTICES]
    assert (key, bound.order_id, bound.item_id) == ("r1", ORDER, item_id(ORDER, 1))
    assert KINGUIN_NOTICES.name in topics(step(bought.value, outcome).outputs)


def test_codes_on_their_way_to_storage_go_to_the_delivery_worker():
    world = World()
    stored = step(step(None, placed()).value, FINISHED)
    bought = step(stored.value, world.outcome(stored.effects[0]))
    received = step(bought.value, world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    assert DELIVERIES.name in topics(received.outputs)


def test_the_wake_up_time_stands_at_the_start_of_the_bytes():
    stored = step(None, placed())
    assert wake_of(stored.value) == wake_at(stored.after) == stored.wake_at


def test_a_broken_value_is_an_error_not_an_empty_order():
    with pytest.raises(ValueError):
        step(b"\0" * 8 + b"{", placed())


# The reservation router


def notified(event: str = "delivered", n: int = 0) -> ReservationNotified:
    return ReservationNotified(
        event_id=content_id("kinguin", "r1", event, n),
        occurred_at=START,
        reservation_id=ReservationId("r1"),
        notice=Notice.DELIVERED,
        provider_status=event,
        codes=sealed("a"),
    )


BOUND = ReservationBound(
    event_id=content_id("bound", "r1"),
    occurred_at=START,
    reservation_id=ReservationId("r1"),
    order_id=ORDER,
    item_id=item_id(ORDER, 1),
)


def test_a_notice_that_comes_too_early_waits_for_its_order():
    held, events = route(Route(), notified())
    assert events == ()
    bound, (event,) = route(held, BOUND)
    assert (event.order_id, event.reservation_id, event.codes) == (ORDER, "r1", sealed("a"))
    assert event.event_id == notified().event_id
    assert route_from_bytes(route_to_bytes(bound)) == bound


def test_a_notice_of_a_known_reservation_is_forwarded_at_once():
    bound, _ = route(Route(), BOUND)
    assert len(route(bound, notified())[1]) == 1


@given(st.permutations([notified("reserve"), notified("give"), notified("delivered"), BOUND, BOUND]))
def test_every_notice_reaches_the_order_in_any_order(records):
    state, told = Route(), set()
    for record in records:
        state, events = route(state, record)
        told |= {e.event_id for e in events}
    assert len(told) == 3


def test_noise_does_not_grow_a_route_without_bound():
    state = Route()
    for n in range(100):
        state, _ = route(state, notified(n=n))
    assert len(state.held) == MAX_HELD


# The index of wake-up times


def test_what_is_due_comes_out_once_and_in_order():
    index = DueIndex()
    for n in (3, 1, 2):
        index.set(f"order-{n}", START + timedelta(seconds=n))
    assert index.due(START + timedelta(seconds=2), 10) == ["order-1", "order-2"]
    assert index.due(START + timedelta(seconds=2), 10) == []
    assert index.oldest() == START + timedelta(seconds=3)


def test_a_timer_event_that_got_lost_is_sent_again():
    index = DueIndex()
    index.set("a", START)
    assert index.due(START, 10) == ["a"]
    assert index.due(START + FIRE_AGAIN_AFTER, 10) == ["a"]


def test_a_rescheduled_order_comes_out_at_its_new_time_only():
    index = DueIndex()
    index.set("a", START)
    index.set("a", START + timedelta(seconds=9))
    assert index.due(START + timedelta(seconds=8), 10) == []
    index.set("a", None)
    assert index.due(START + timedelta(days=1), 10) == []
    assert len(index) == 0


def test_a_tick_takes_no_more_than_it_may():
    index = DueIndex()
    for n in range(10):
        index.set(f"order-{n}", START)
    assert len(index.due(START, 4)) == 4
    assert len(index.due(START, 100)) == 6


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 50)), max_size=200))
def test_the_index_agrees_with_a_plain_dictionary(changes):
    index, plain = DueIndex(), {}
    for order, second in changes:
        when = START + timedelta(seconds=second)
        index.set(f"o{order}", when)
        plain[f"o{order}"] = when
    now = START + timedelta(seconds=25)
    assert set(index.due(now, 1000)) == {o for o, when in plain.items() if when <= now}


def test_many_changes_of_few_orders_do_not_fill_the_memory():
    index = DueIndex()
    for n in range(20_000):
        index.set("a", START + timedelta(seconds=n))
    assert len(index._heap) < 2000
