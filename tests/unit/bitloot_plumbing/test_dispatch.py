"""Offsets move from the head only; keys keep their order."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot.consumer.dispatch import Lanes, Window


@st.composite
def finishing_orders(draw):
    """Offsets with gaps, as compaction leaves them, and an order in which they are finished."""
    steps = draw(st.lists(st.integers(1, 3), min_size=1, max_size=30))
    offsets = [sum(steps[: n + 1]) for n in range(len(steps))]
    return offsets, draw(st.permutations(offsets)), draw(st.integers(0, len(offsets)))


@given(finishing_orders())
def test_the_head_never_passes_an_unfinished_record(case):
    offsets, order, finished = case
    window = Window()
    entries = {offset: window.take(offset, 0.0) for offset in offsets}
    for offset in order[:finished]:
        window.finish(entries[offset])
        open_offsets = [each for each in offsets if not entries[each].done]
        done_before = [each for each in offsets if not open_offsets or each < open_offsets[0]]
        assert window.head == (done_before[-1] + 1 if done_before else None)
        assert window.unfinished == len(open_offsets)
        assert window.position == (open_offsets[0] if open_offsets else offsets[-1] + 1)


def test_what_is_committed_is_not_committed_again():
    window = Window()
    window.finish(window.take(7, 0.0))
    assert window.uncommitted == 8
    window.committed = 8
    assert window.uncommitted is None
    window.finish(window.take(8, 0.0))
    assert window.uncommitted == 9


def test_age_is_that_of_the_record_the_head_waits_for():
    window = Window()
    assert window.age() == 0
    old, new = window.take(1, 0.0), window.take(2, 4e9)
    assert window.age() > 1e9
    window.finish(old)
    assert window.age() == 0  # a clock ahead of ours makes no negative age
    window.finish(new)
    assert window.age() == 0


def test_the_longest_attempt_is_that_which_runs():
    window = Window()
    waiting, running = window.take(1, 0.0), window.take(2, 0.0)
    assert window.longest_attempt(100.0) == 0
    running.begun = 90.0
    assert window.longest_attempt(100.0) == 10
    assert waiting.begun is None


async def test_a_closed_window_wakes_its_sleepers_and_waits_a_bounded_time():
    window = Window()
    asleep = asyncio.create_task(window.pause(3600))
    stuck = asyncio.create_task(asyncio.Event().wait())
    window.tasks |= {asleep, stuck}
    await window.drain(0.01)
    assert window.closed
    assert asleep.done()
    assert not stuck.done()
    stuck.cancel()


async def test_lanes_run_side_by_side_and_in_order_within():
    lanes, log, may_end = Lanes(), [], asyncio.Event()

    def work(name, *, waits=False):
        async def run():
            log.append(f"{name} begins")
            if waits:
                await may_end.wait()
            log.append(f"{name} ends")

        return run

    lanes.submit("a", work("a1", waits=True))
    second = lanes.submit("a", work("a2"))
    await lanes.submit("b", work("b1"))
    assert log == ["a1 begins", "b1 begins", "b1 ends"]
    may_end.set()
    await second
    assert log[3:] == ["a1 ends", "a2 begins", "a2 ends"]
    await asyncio.sleep(0)
    assert not lanes._last


async def test_a_lane_goes_on_after_a_failure():
    lanes = Lanes()

    async def fail():
        raise KeyError("x")

    async def succeed():
        return None

    first, second = lanes.submit("a", fail), lanes.submit("a", succeed)
    await second
    with pytest.raises(KeyError):
        first.result()


async def test_canceled_lanes_end():
    lanes = Lanes()
    tasks = [lanes.submit("a", asyncio.Event().wait) for _ in range(3)]
    await asyncio.sleep(0)
    lanes.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
