"""From stored bytes to stored bytes and records: nothing that a crash can lose is lost."""

from datetime import timedelta

import pytest

from bitloot.contracts.events import Notice, PaymentStatus, TimerFired
from bitloot.contracts.topics import DELIVERIES, KINGUIN_CALLS, KINGUIN_NOTICES, ORDER_STATE
from bitloot.ids import item_id
from fulfillment.codec import RecentOrders, order_from_bytes, time_of, wake_of
from fulfillment.order import wake_at
from fulfillment.step import step
from tests.unit.fulfillment.order_world import ORDER, START, World, payment, placed

FINISHED = payment(PaymentStatus.FINISHED, source="poll")


def topics(outputs) -> list[str]:
    return [topic.name for topic, _, _ in outputs]


def test_a_paid_order_is_stored_and_its_purchase_and_state_are_sent():
    first = step(None, placed())
    second = step(first.value, FINISHED)
    assert topics(first.outputs) == [ORDER_STATE.name]
    assert topics(second.outputs) == [KINGUIN_CALLS.name, ORDER_STATE.name]
    assert {key for _, key, _ in second.outputs} == {ORDER}
    assert order_from_bytes(second.value) == second.after


def test_a_replay_of_the_last_event_stores_and_sends_everything_again():
    """After kill -9 the table on this disk can have what neither its changelog nor the topics have."""
    stored = step(step(None, placed()).value, FINISHED)
    again = step(stored.value, FINISHED)
    assert again.value == stored.value
    assert again.outputs == stored.outputs


def test_a_replay_of_an_earlier_event_stores_nothing():
    stored = step(step(None, placed()).value, FINISHED.model_copy(update={"occurred_at": START + timedelta(seconds=1)}))
    assert step(stored.value, placed()).value is None


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
    assert time_of(stored.value) == stored.after.time == START


def test_a_broken_value_is_an_error_not_an_empty_order():
    with pytest.raises(ValueError):
        step(b"\0" * 16 + b"{", placed())


def test_an_order_that_was_just_written_is_not_read_again_and_forgotten_then():
    first = step(None, placed())
    recent = RecentOrders()
    recent.keep(first.value, first.after)
    assert recent.read(first.value) is first.after
    again = recent.read(first.value)
    assert again == first.after
    assert again is not first.after


def test_what_the_table_holds_counts_whatever_was_written_last():
    first = step(None, placed())
    paid = step(first.value, FINISHED)
    recent = RecentOrders()
    recent.keep(paid.value, paid.after)
    assert step(first.value, FINISHED, read=recent.read).outputs == paid.outputs


def test_only_so_many_orders_are_remembered():
    first = step(None, placed())
    paid = step(first.value, FINISHED)
    recent = RecentOrders(most=1)
    recent.keep(first.value, first.after)
    recent.keep(paid.value, paid.after)
    assert recent.read(first.value) is not first.after
    assert recent.read(paid.value) is paid.after
