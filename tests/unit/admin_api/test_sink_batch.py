import pytest

from admin_api.sink.batch import Batch, Decoder
from admin_api.sink.source import RawRecord, Topics
from bitloot.contracts import codec
from bitloot.contracts.base import Record
from bitloot.contracts.topics import Topic
from bitloot.errors import Malformed
from tests.unit.admin_api import records

TOPICS = Topics()


def raw(topic: Topic, record: Record, offset: int = 0, key: str | None = None) -> RawRecord:
    own = key or getattr(record, "order_id", None) or record.event_id
    return RawRecord(topic.name, 0, offset, records.at(offset), own.encode(), codec.encode(record))


def batch_of(*raws: RawRecord) -> Batch:
    batch, decoder = Batch(), Decoder(TOPICS)
    for each in raws:
        decoder.add(batch, each)
    return batch


def test_repeats_within_a_batch_are_one_row():
    batch = batch_of(*(raw(TOPICS.events, records.revealed(1), offset) for offset in (4, 5, 6)))

    (row,) = batch.events.values()
    assert (row["repeats"], row["kafka_offset"]) == (2, 4)
    assert (row["recorded_at"], row["last_recorded_at"]) == (records.at(4).isoformat(), records.at(6).isoformat())


def test_of_repeated_notifications_the_first_gives_the_number_and_the_last_the_content():
    batch = batch_of(
        *(raw(TOPICS.webhooks, records.webhook(1, received=n, note=f"no {n}"), offset=n) for n in (7, 8, 9))
    )

    (row,) = batch.webhooks.values()
    assert (row["id"], row["repeats"], row["note"], row["kafka_offset"]) == (7 << 12, 2, "no 9", 9)
    assert (row["first_received_at"], row["last_received_at"]) == (records.at(7).isoformat(), records.at(9).isoformat())


def test_notifications_of_other_types_are_other_rows():
    batch = batch_of(
        raw(TOPICS.webhooks, records.webhook(1)),
        raw(TOPICS.webhooks, records.webhook(1, event_type="give")),
        raw(TOPICS.webhooks, records.webhook(1, provider="nowpayments")),
        raw(TOPICS.webhooks, records.webhook(2)),
    )

    assert len(batch.webhooks) == 4


@pytest.mark.parametrize("versions", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 3)])
def test_the_newest_snapshot_of_a_batch_wins(versions: tuple[int, ...]):
    batch = batch_of(*(raw(TOPICS.state, records.snapshot(1, version)) for version in versions))

    assert [rows.order["version"] for rows in batch.orders.values()] == [3]


def test_a_record_that_cannot_be_used_leaves_the_batch_as_it_was():
    decoder, batch = Decoder(TOPICS), Batch()
    for broken in (
        RawRecord(TOPICS.events.name, 0, 1, records.START, b"k", b"{"),
        RawRecord(TOPICS.state.name, 0, 1, records.START, None, None),
        raw(TOPICS.state, records.snapshot(1), key="other"),
        raw(TOPICS.webhooks, records.webhook(1, order_id="abc")),
    ):
        with pytest.raises(Malformed):
            decoder.add(batch, broken)

    assert batch == Batch()


def test_a_damaged_letter_becomes_a_row_at_once():
    batch = batch_of(RawRecord(TOPICS.dead_letters.name, 2, 5, records.at(3), b"k", b"damaged"))

    (row,) = batch.dead_letters.values()
    assert (row["consumer"], row["topic"], row["reason"]) == ("sink", TOPICS.dead_letters.name, "bad_record")
    assert row["occurred_at"] == "2026-01-01T12:00:03Z"


def test_a_letter_told_twice_is_the_first_one():
    batch = batch_of(*(raw(TOPICS.dead_letters, records.letter(1, error=f"no {n}"), offset=n) for n in (1, 2)))

    assert [row["error"] for row in batch.dead_letters.values()] == ["no 1"]
