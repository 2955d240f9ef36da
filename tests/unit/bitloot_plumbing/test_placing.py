"""Where a group begins in a partition, and when it must not."""

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from bitloot import metrics
from bitloot.consumer.placing import Found

OURS, OTHER = "k0oxJ8LySjCq2_yDS00l5g", "aZ5CFageSS-klIXykgowTA"


def found(committed=None, metadata=OURS, *, begun=False, first=0, end=10) -> Found:
    offset = None if committed is None else OffsetAndMetadata(committed, metadata)
    return Found(TopicPartition("placing", 3), OURS, first, end, offset, begun)


@pytest.mark.parametrize(
    ("case", "start"),
    [
        (found(), 0),  # the first time
        (found(first=4), 4),  # the first time, with records that expired before
        (found(7, begun=True), 7),
        (found(7, metadata="", begun=True), 7),  # a person has set it
        (found(10, begun=True), 10),
        (found(7, metadata=OTHER), 0),  # in a log that was made anew and accepted
    ],
)
def test_where_it_begins(case: Found, start: int):
    assert case.complaint() is None
    assert case.start() == start


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (found(begun=True), "its offset is gone"),
        (found(7, metadata=OTHER, begun=True), "its offset is gone"),
        (found(11), "ends at 10"),
        (found(11, metadata="", begun=True), "read up to 11"),
    ],
)
def test_when_nobody_may_go_on(case: Found, words: str):
    assert words in str(case.complaint())
    assert "placing/3" in str(case.complaint())


def test_what_expired_unread_is_counted():
    counter = metrics.RECORDS_EXPIRED.labels("placing")
    before = counter._value.get()
    assert found(2, first=5, begun=True).start() == 5
    assert counter._value.get() - before == 3
