"""How a consumer is: each partition by itself, and what is away outside is no reason to be restarted."""

import time

import pytest
from aiokafka import TopicPartition

from bitloot.cluster import LogLost
from bitloot.consumer.condition import Condition
from bitloot.consumer.dispatch import Window
from bitloot.consumer.limits import Limits

STUCK, FINE = TopicPartition("condition", 0), TopicPartition("condition", 1)


@pytest.fixture
def windows() -> dict[TopicPartition, Window]:
    windows = {STUCK: Window(), FINE: Window()}
    for window in windows.values():
        window.place(5)
    return windows


@pytest.fixture
def condition(windows) -> Condition:
    condition = Condition("group", windows, Limits(stall=100))
    condition.goes_on()
    condition.assigned()
    return condition


def an_hour_ago() -> float:
    return time.monotonic() - 3600


async def test_a_partition_that_stands_still_while_others_move_is_named(condition, windows):
    windows[STUCK].found_end(9)
    windows[STUCK].moved_at = an_hour_ago()
    for offset in range(5, 50):
        windows[FINE].finish(windows[FINE].take(offset, 0.0))
    assert await condition.check_alive() == "condition/0 has stood still at offset 5 for 3600 s"
    assert await condition.check_ready() is None


async def test_a_partition_with_nothing_to_do_may_stand_still(condition, windows):
    for window in windows.values():
        window.moved_at = an_hour_ago()
    assert await condition.check_alive() is None


async def test_a_record_that_hangs_is_told_though_others_of_its_partition_move(condition, windows):
    windows[STUCK].take(5, 0.0).begun = an_hour_ago()
    windows[STUCK].finish(windows[STUCK].take(6, 0.0))
    assert "a record of condition/0 has been handled for 3600 s" in str(await condition.check_alive())


async def test_what_is_done_and_not_committed_is_told(condition, windows):
    windows[STUCK].finish(windows[STUCK].take(5, 0.0))
    windows[STUCK]._pending_since = an_hour_ago()
    assert "condition/0 has not been committed for 3600 s" in str(await condition.check_alive())
    windows[STUCK].note_committed(6)
    assert await condition.check_alive() is None


async def test_while_kafka_is_away_it_waits_alive_and_not_ready(condition):
    condition.waits("Kafka does not answer")
    condition._outside_since = an_hour_ago()
    assert await condition.check_alive() is None
    assert await condition.check_ready() == "waiting: Kafka does not answer"
    condition.goes_on()  # and now it has its time to join
    assert await condition.check_alive() is None
    condition._outside_since = an_hour_ago()
    assert "not in its group" in str(await condition.check_alive())


async def test_a_lost_log_is_told_by_both_until_all_is_in_place_again(condition):
    condition.lost(LogLost("topic x was deleted"))
    condition.waits("Kafka does not answer")
    condition.goes_on()
    for check in (condition.check_alive, condition.check_ready):
        assert "topic x was deleted" in str(await check())
    condition.in_place()
    assert await condition.check_alive() is None


async def test_a_partition_without_a_place_is_not_ready(condition, windows):
    windows[FINE] = Window()
    assert await condition.check_ready() == "finding the place in 1 partitions"
