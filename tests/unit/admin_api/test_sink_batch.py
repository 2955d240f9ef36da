import json

import pytest

from admin_api.sink.batch import Batch, Decoder
from admin_api.sink.source import RawRecord, Topics
from admin_api.sink.zeros import without_zeros
from bitloot.contracts import codec
from bitloot.contracts.base import Record
from bitloot.contracts.topics import Topic
from bitloot.errors import Malformed
from tests.unit.admin_api import records

TOPICS = Topics()


def raw(topic: Topic, record: Record, offset: int = 0, key: str | None = None) -> RawRecord:
    own = key or getattr(record, "order_id", None) or record.event_id
    return records.taken(topic.name, own.encode(), codec.encode(record), offset=offset, at=records.at(offset))


def batch_of(*raws: RawRecord) -> Batch:
    batch, decoder = Batch(), Decoder(TOPICS)
    for each in decoder.in_order(raws):
        decoder.add(batch, each)
    return batch


def test_repeats_within_a_batch_are_one_row():
    told = [raw(TOPICS.events, records.revealed(1), offset) for offset in (4, 5, 6)]
    batch = batch_of(*told)

    (row,) = batch.events.values()
    assert (row["repeats"], row["kafka_offset"]) == (2, 4)
    assert (row["recorded_at"], row["last_recorded_at"]) == (told[0].timestamp, told[-1].timestamp)


def test_of_repeated_notifications_the_first_gives_the_number_and_the_last_the_content():
    batch = batch_of(
        *(raw(TOPICS.webhooks, records.webhook(1, received=n, note=f"no {n}"), offset=n) for n in (7, 8, 9))
    )

    (row,) = batch.webhooks.values()
    assert (row["id"], row["repeats"], row["note"], row["kafka_offset"]) == (7 << 12, 2, "no 9", 9)
    assert (row["first_received_at"], row["last_received_at"]) == (records.at(7), records.at(9))


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


def test_of_snapshots_of_one_version_the_first_one_stands():
    batch = batch_of(
        *(raw(TOPICS.state, records.snapshot(1, 3, pay_url=f"https://pay.test/{n}"), offset=n) for n in (1, 2))
    )

    assert [rows.order["pay_url"] for rows in batch.orders.values()] == ["https://pay.test/1"]


def test_a_snapshot_that_a_newer_one_replaces_is_looked_at_no_further_than_its_version():
    value = json.dumps({"order_id": records.order(1), "version": 2}).encode()
    older = records.taken(TOPICS.state.name, records.order(1).encode(), value)

    assert batch_of(older, raw(TOPICS.state, records.snapshot(1, 3), offset=2)).orders.keys() == {records.order(1)}
    with pytest.raises(Malformed):
        batch_of(older, raw(TOPICS.state, records.snapshot(2, 3), offset=2))


@pytest.mark.parametrize("head", [{"version": 0}, {"version": "new"}, {"order_id": "other"}, {"schema_version": 2}])
def test_the_head_of_an_older_snapshot_must_be_right(head: dict[str, object]):
    value = json.dumps({"order_id": records.order(1), "version": 2} | head).encode()
    older = records.taken(TOPICS.state.name, records.order(1).encode(), value)

    with pytest.raises(Malformed):
        batch_of(older, raw(TOPICS.state, records.snapshot(1, 3), offset=2))


def written(number: int, version: int, key: int) -> RawRecord:
    """A snapshot as we write it, of which all behind the version says nothing that a snapshot can."""
    whole = codec.encode(records.snapshot(number, version)).decode()
    value = whole.replace('"status":"fulfilled"', '"status":"no such"').encode()
    return records.taken(TOPICS.state.name, records.order(key).encode(), value)


def test_the_version_of_a_snapshot_as_we_write_it_is_believed_of_its_own_order_only():
    newer = raw(TOPICS.state, records.snapshot(1, 10), offset=2)

    assert [rows.version for rows in batch_of(written(1, 9, key=1), newer).orders.values()] == [10]
    with pytest.raises(Malformed, match="the key is not"):
        batch_of(written(2, 9, key=1), newer)
    with pytest.raises(Malformed, match="status"):
        batch_of(written(1, 11, key=1), newer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb'"\u0000"', rb'"\ufffd"'),
        (rb'"\\u0000"', rb'"\\u0000"'),
        (rb'"\\\u0000\u0000"', rb'"\\\ufffd\ufffd"'),
        (rb'"u0000"', rb'"u0000"'),
    ],
)
def test_the_character_zero_becomes_the_mark_of_what_cannot_be_shown(text: bytes, expected: bytes):
    assert without_zeros(text) == expected


def test_a_record_that_cannot_be_used_leaves_the_batch_as_it_was():
    decoder, batch = Decoder(TOPICS), Batch()
    for broken in (
        records.taken(TOPICS.events.name, b"k", b"{"),
        records.taken(TOPICS.state.name, None, None),
        raw(TOPICS.state, records.snapshot(1), key="other"),
        raw(TOPICS.webhooks, records.webhook(1, order_id="abc")),
    ):
        with pytest.raises(Malformed):
            decoder.add(batch, broken)

    assert batch == Batch()


def test_a_damaged_letter_becomes_a_row_at_once():
    batch = batch_of(records.taken(TOPICS.dead_letters.name, b"k", b"damaged", partition=2, offset=5, at=records.at(3)))

    (row,) = batch.dead_letters.values()
    assert (row["consumer"], row["topic"], row["reason"]) == ("sink", TOPICS.dead_letters.name, "bad_record")
    assert row["occurred_at"] == "2026-01-01T12:00:03Z"


def test_a_letter_told_twice_is_the_first_one():
    batch = batch_of(*(raw(TOPICS.dead_letters, records.letter(1, error=f"no {n}"), offset=n) for n in (1, 2)))

    assert [row["error"] for row in batch.dead_letters.values()] == ["no 1"]
