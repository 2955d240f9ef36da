"""Takeover times are those between a blow and the moment when all of the victim's partitions are in work again."""

from datetime import UTC, datetime, timedelta

import pytest

from chaos.takeover import Away, Blow, Circumstances, Ready, Takeover, grouped, read_logs, takeovers

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW_AND_THEN = (0, 10, 100, 200, 400)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ready(seconds: float, number: int, partitions: str) -> Ready:
    return Ready(after(seconds), f"kinguin-{number}", frozenset(partitions))


def blow(seconds: float, number: int = 1, *, frozen: bool = False) -> Blow:
    return Blow("kinguin", f"kinguin-{number}", after(seconds), frozen)


def seconds_of(blows: list[Blow], log: list[Ready]) -> list[float]:
    return [each.seconds for each in takeovers(blows, [], {"kinguin": log})]


def test_it_is_over_when_the_last_partition_is_in_work_again():
    log = [ready(0, 1, "ab"), ready(0, 2, "cd"), ready(12, 2, "acd"), ready(13, 1, "b")]
    assert seconds_of([blow(2)], log) == [11.0]


def test_what_was_handed_out_before_the_blow_or_is_not_the_victims_counts_for_nothing():
    log = [ready(0, 1, "ab"), ready(1, 2, "ab"), ready(2, 1, "ab"), ready(5, 2, "cd"), ready(9, 2, "abcd")]
    assert seconds_of([blow(3)], log) == [6.0]


@pytest.mark.parametrize(
    ("blows", "log"),
    [
        ([blow(3)], [ready(5, 1, "ab")]),  # it had not joined yet
        ([blow(3)], [ready(0, 1, ""), ready(5, 1, "ab")]),  # it had nothing
        ([blow(3)], [ready(0, 1, "ab")]),  # nobody ever took over
    ],
)
def test_where_there_is_nothing_to_take_over_nothing_is_counted(blows, log):
    assert seconds_of(blows, log) == []


def test_who_is_struck_again_before_it_has_partitions_again_counts_once():
    log = [ready(0, 1, "ab"), ready(12, 1, "ab")]
    assert seconds_of([blow(4), blow(2)], log) == [10.0]


def test_blows_while_a_server_is_away_and_pauses_are_told_apart():
    log = [ready(seconds, 1, "ab") for seconds in NOW_AND_THEN]
    away = [Away("kafka", after(50), after(90))]
    blows = [
        blow(2),
        blow(45),  # before it goes away, but not over
        blow(150, frozen=True),
        blow(300),
    ]
    assert [each.circumstances for each in takeovers(blows, away, {"kinguin": log})] == [
        Circumstances.KILLED,
        Circumstances.IN_OUTAGE,
        Circumstances.FROZEN,
        Circumstances.KILLED,
    ]
    # It answers again, but its clients do not know yet.
    (reconnecting,) = takeovers([blow(95)], away, {"kinguin": log})
    assert reconnecting.circumstances is Circumstances.IN_OUTAGE


def test_they_are_grouped_in_a_fixed_order():
    found = [Takeover("sink", Circumstances.KILLED, 2.0), Takeover("delivery", Circumstances.FROZEN, 1.0)]
    assert list(grouped(found)) == [("delivery", Circumstances.FROZEN), ("sink", Circumstances.KILLED)]


def test_logs_of_all_workers_of_a_kind_are_read(tmp_path):
    line = '{{"time": "2026-01-01T00:00:{:02}Z", "event": "{}", "partitions": {}}}\n'
    (tmp_path / "delivery-1.log").write_text(line.format(2, "consumer.assigned", '"d/0 d/1"'))
    (tmp_path / "delivery-2.log").write_text(
        "Traceback\n" + line.format(1, "consumer.assigned", '""') + '{"event": "x"}'
    )
    (tmp_path / "sink-1.log").write_text(line.format(1, "sink.placed", 0) + line.format(3, "sink.placed", 48))
    logs = read_logs(tmp_path)
    assert [(each.at, each.instance, each.partitions) for each in logs["delivery"]] == [
        (after(1), "delivery-2", frozenset()),
        (after(2), "delivery-1", {"d/0", "d/1"}),
    ]
    assert [each.partitions for each in logs["sink"]] == [frozenset(), {"all"}]
