"""The index of wake-up times."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from fulfillment.due import FIRE_AGAIN_AFTER, DueIndex
from tests.unit.fulfillment.order_world import START


def keys(due) -> list[str]:
    return [each.key for each in due]


def test_what_is_due_comes_out_once_and_in_order():
    index = DueIndex()
    for n in (3, 1, 2):
        index.set(f"order-{n}", START + timedelta(seconds=n))
    assert keys(index.due(START + timedelta(seconds=2), 10)) == ["order-1", "order-2"]
    assert index.due(START + timedelta(seconds=2), 10) == []
    assert index.oldest() == START + timedelta(seconds=3)


def test_a_timer_event_that_got_lost_is_sent_again():
    index = DueIndex()
    index.set("a", START)
    assert keys(index.due(START, 10)) == ["a"]
    assert index.due(START + FIRE_AGAIN_AFTER / 2, 10) == []
    assert keys(index.due(START + FIRE_AGAIN_AFTER, 10)) == ["a"]


def test_a_rescheduled_order_comes_out_at_its_new_time_only():
    index = DueIndex()
    index.set("a", START)
    index.set("a", START + timedelta(seconds=9))
    assert index.due(START + timedelta(seconds=8), 10) == []
    index.set("a", None)
    assert index.due(START + timedelta(days=1), 10) == []
    assert len(index) == 0


def test_a_time_of_another_clock_is_due_by_ours_and_comes_out_as_it_was_set():
    index = DueIndex()
    theirs = START + timedelta(hours=1, seconds=5)
    index.set("a", theirs, START + timedelta(seconds=5))
    ((key, wake_at),) = index.due(START + timedelta(seconds=5), 10)
    assert (key, wake_at) == ("a", theirs)


def test_the_same_time_set_again_does_not_put_it_off():
    index = DueIndex()
    index.set("a", START, START + timedelta(seconds=1))
    index.set("a", START, START + timedelta(hours=1))
    assert keys(index.due(START + timedelta(seconds=1), 10)) == ["a"]
    index.set("a", START, START)
    assert index.due(START + timedelta(seconds=2), 10) == [], "a repeat must not fire it at once either"


def test_a_tick_takes_no_more_than_it_may():
    index = DueIndex()
    for n in range(10):
        index.set(f"order-{n}", START)
    assert len(index.due(START, 4)) == 4
    assert len(index.due(START, 0)) == 0
    assert len(index.due(START, 100)) == 6


def test_it_tells_since_when_a_timer_has_had_no_effect():
    index = DueIndex()
    assert index.late_since() is None
    index.set("a", START)
    assert index.late_since() == START, "due and not fired"
    index.due(START + timedelta(seconds=1), 10)
    index.due(START + timedelta(minutes=5), 10)
    assert index.late_since() == START + timedelta(seconds=1), "fired again, and never answered"
    assert (index.unanswered, index.answered) == (1, 0)
    index.set("a", START + timedelta(days=1))
    assert index.late_since() == START + timedelta(days=1)
    assert (index.unanswered, index.answered) == (0, 1)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 50)), max_size=200))
def test_the_index_agrees_with_a_plain_dictionary(changes):
    index, plain = DueIndex(), {}
    for order, second in changes:
        when = START + timedelta(seconds=second)
        index.set(f"o{order}", when)
        plain[f"o{order}"] = when
    now = START + timedelta(seconds=25)
    assert set(keys(index.due(now, 1000))) == {o for o, when in plain.items() if when <= now}


def test_many_changes_of_few_orders_do_not_fill_the_memory():
    index = DueIndex()
    for n in range(20_000):
        index.set("a", START + timedelta(seconds=n))
    assert len(index._heap) < 2000
