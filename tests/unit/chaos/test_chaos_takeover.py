"""Takeover times are those between a blow and the next handing out of partitions of the same kind of worker."""

from datetime import UTC, datetime, timedelta

from chaos.takeover import read_logs, takeovers

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_the_next_handing_out_of_the_same_kind_counts():
    assigned = {"kinguin": [START, after(3), after(9)], "delivery": [after(1)]}
    blows = [(after(2), "kinguin"), (after(4), "kinguin"), (after(5), "delivery"), (after(6), "ingress")]
    assert takeovers(blows, assigned) == {"kinguin": [1.0, 5.0]}


def test_logs_of_all_workers_of_a_kind_are_read(tmp_path):
    (tmp_path / "delivery-1.log").write_text('{"time": "2026-01-01T00:00:02Z", "event": "consumer.assigned"}\n')
    (tmp_path / "delivery-2.log").write_text(
        'Traceback\n{"time": "2026-01-01T00:00:01Z", "event": "consumer.assigned"}\n{"event": "other"}\n'
    )
    assert read_logs(tmp_path)["delivery"] == [after(1), after(2)]
