from datetime import datetime

from prometheus_client import REGISTRY

from admin_api.sink.progress import Progress
from admin_api.sink.store import Move
from tests.unit.admin_api import records


class Clock:
    def __init__(self) -> None:
        self.now = records.at(100)

    def __call__(self) -> datetime:
        return self.now


def test_lag_and_age_are_told_for_each_partition():
    clock = Clock()
    progress = Progress(clock)
    one, other = ("progress.v1", 0), ("progress.v1", 1)
    progress.place({one: 5, other: 5})
    progress.found_ends({one: 5, other: 9})
    clock.now = records.at(130)

    assert progress.lags() == {one: 0, other: 4}
    # Not fetched yet, so its own time is not known: it counts from when it was noticed.
    assert progress.ages() == {one: 0, other: 30}

    progress.took(other, records.at(50))
    assert progress.ages() == {one: 0, other: 80}

    progress.wrote({other: Move(5, 9)}, records.at(60))
    assert progress.lags() == {one: 0, other: 0}
    assert progress.ages() == {one: 0, other: 0}


def test_what_is_left_after_a_batch_counts_anew():
    clock = Clock()
    progress = Progress(clock)
    one = ("progress.v2", 0)
    progress.place({one: 0})
    progress.found_ends({one: 10})
    progress.took(one, records.at(0))
    progress.wrote({one: Move(0, 6)}, records.at(90))
    clock.now = records.at(105)

    assert (progress.lags(), progress.ages()) == ({one: 4}, {one: 5})


def test_a_batch_that_could_not_be_written_keeps_its_age():
    clock = Clock()
    progress = Progress(clock)
    one = ("progress.v3", 0)
    progress.place({one: 0})
    progress.took(one, records.at(10))
    progress.place({one: 0})  # the database was away: placed again

    assert progress.ages() == {one: 90}


def test_partitions_given_up_leave_the_metrics():
    progress = Progress(Clock())
    one = ("progress.v4", 7)
    progress.place({one: 0})
    progress.found_ends({one: 3})
    labels = {"topic": "progress.v4", "partition": "7"}
    before = REGISTRY.get_sample_value("bitloot_consumer_lag", labels)
    progress.place({})
    progress.found_ends({one: 5})

    assert before == 3
    assert REGISTRY.get_sample_value("bitloot_consumer_lag", labels) is None
    assert progress.lags() == {}
