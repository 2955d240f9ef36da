import base64
import json
from dataclasses import replace

import pytest
from pydantic_core import to_json

from admin_api.sink import rows
from admin_api.sink.sealed import counted, counted_json, masked
from admin_api.sink.source import number
from bitloot.contracts import codec
from bitloot.contracts.events import PurchasesFound, TimerFired
from bitloot.contracts.state import Incident, OrderStatus, Review
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.errors import Malformed
from bitloot.ids import EffectId, EventId
from tests.unit.admin_api import records

RAW = records.taken("orders.events.v1", b"key", b"value", partition=3, offset=17, at=records.at(60))


def test_a_snapshot_becomes_the_rows_of_its_order():
    found = rows.order_rows(records.snapshot(1, 4))

    assert found.order["id"] == records.order(1)
    assert (found.order["version"], found.order["status"], found.order["total"]) == (4, "fulfilled", "19.98")
    assert found.order["kinguin_reservation_id"] == "res-1"
    assert [(row["id"], row["product_id"], row["quantity"]) for row in found.items] == [
        (f"{records.order(1)}-1", "product-1", 2)
    ]
    assert [(row["order_item_id"], row["position"], row["viewed_at"]) for row in found.keys] == [
        (f"{records.order(1)}-1", 1, None),
        (f"{records.order(1)}-1", 2, None),
    ]
    assert [(row["id"], row["verdict"], row["price_amount"]) for row in found.payments] == [
        ("pay-1", "accepted", "19.98")
    ]
    assert [
        (row["id"], row["purchase_id"], row["order_item_id"], row["order_item_ids"]) for row in found.reservations
    ] == [("res-1", *[f"{records.order(1)}-1"] * 2, [f"{records.order(1)}-1"])]
    for part in (found.items, found.keys, found.payments, found.reservations):
        assert {(row["order_id"], row["order_version"]) for row in part} == {(records.order(1), 4)}


def test_a_snapshot_of_an_order_that_was_never_placed_has_no_parts():
    bare = records.snapshot(1, status=OrderStatus.UNPLACED, items=(), payments=(), reservations=(), keys=(), email=None)
    found = rows.order_rows(bare)

    assert (found.items, found.keys, found.payments, found.reservations) == ([], [], [], [])
    assert found.order["kinguin_reservation_id"] is None
    assert found.order["email"] is None


def test_the_reservation_of_an_order_is_that_of_its_first_item_that_has_one():
    (item,) = records.snapshot(1).items
    items = (
        item.model_copy(update={"position": 3, "reservation_id": "third"}),
        item.model_copy(update={"position": 2, "reservation_id": "second"}),
        item.model_copy(update={"position": 1, "reservation_id": None}),
    )

    assert rows.order_rows(records.snapshot(1, items=items)).order["kinguin_reservation_id"] == "second"


def test_review_and_incidents_are_kept_as_json():
    review = Review(cause="out_of_stock", detail="no offer", since=records.START)
    incident = Incident(cause="duplicate_key", detail="the same code twice", at=records.START)
    found = rows.order_rows(records.snapshot(1, review=review, incidents=(incident,))).order

    assert found["review"] == {
        "cause": "out_of_stock",
        "detail": "no offer",
        "item_id": None,
        "since": "2026-01-01T12:00:00Z",
    }
    assert found["incidents"] == [
        {"cause": "duplicate_key", "detail": "the same code twice", "at": "2026-01-01T12:00:00Z"}
    ]


def test_an_event_becomes_a_line_of_the_timeline_without_codes():
    row = rows.event_row(records.codes_received(1, 3), RAW)

    assert row is not None
    assert (row["order_id"], row["type"]) == (records.order(1), "codes.received")
    assert (row["kafka_partition"], row["kafka_offset"], row["repeats"]) == (3, 17, 0)
    assert row["recorded_at"] == row["last_recorded_at"] == RAW.timestamp
    assert json.loads(row["payload"]) == {
        "effect_id": f"{records.order(1)}-1/fetch_codes/1",
        "purchase_id": f"{records.order(1)}-1",
        "reservation_id": "res-1",
        "lines": [{"item_id": f"{records.order(1)}-1", "codes": 3}],
        "never": "",
    }


@pytest.mark.parametrize("topic_event", [records.codes_received(1), records.notified(1)])
def test_no_event_leaves_a_box_in_its_row(topic_event):
    assert records.BOX in codec.encode(topic_event).decode()
    assert records.BOX not in str(rows.event_row(topic_event, RAW))


def test_a_notification_without_codes_has_none():
    row = rows.event_row(records.notified(1).model_copy(update={"codes": ()}), RAW)

    assert row is not None
    assert json.loads(row["payload"])["codes"] == 0


def test_empty_lists_that_are_no_codes_stay_lists():
    event = PurchasesFound(
        event_id=EventId("e"),
        occurred_at=records.START,
        order_id=records.order(1),
        effect_id=EffectId("x"),
        purchase_id=f"{records.order(1)}-1",
        reservations=(),
    )
    row = rows.event_row(event, RAW)

    assert row is not None
    assert json.loads(row["payload"])["reservations"] == []


def test_timers_say_nothing_to_people():
    timer = TimerFired(event_id=EventId("t"), occurred_at=records.START, order_id=records.order(1))

    assert rows.event_row(timer, RAW) is None


def test_a_notification_keeps_its_content_but_no_box():
    row = rows.webhook_row(records.webhook(1, received=5), RAW)

    assert (row["id"], row["provider"], row["external_id"]) == ((17 << 12) | 3, "kinguin", "res-1")
    assert row["first_received_at"] == row["last_received_at"] == records.at(5)
    assert row["body"] == '{"event":"delivered","codes":["[sealed]"]}'
    assert json.loads(row["event"])["codes"] == 1
    assert records.BOX not in str(row)


def test_a_dead_letter_is_readable_without_boxes():
    value = base64.b64encode(codec.encode(records.codes_received(1))).decode()
    row = rows.dead_letter_row(records.letter(9, value=value), RAW)

    assert (row["id"], row["record_offset"], row["key"]) == ((17 << 12) | 3, 9, "key")
    assert records.BOX not in str(row["value"])
    assert '"box":"[sealed]"' in str(row["value"])
    assert "codes.received" in str(row["value"])


@pytest.mark.parametrize("value", [base64.b64encode(b"\xff\xfe").decode(), "not base64!", None])
def test_what_is_no_text_is_left_out(value: str | None):
    assert rows.dead_letter_row(records.letter(1, value=value, key=value), RAW)["value"] is None


def test_a_letter_about_a_letter_shows_no_value():
    inner = codec.encode(records.letter(1, value=base64.b64encode(codec.encode(records.codes_received(1))).decode()))
    letter = records.letter(2, topic=RAW.topic, value=base64.b64encode(inner).decode())

    assert rows.dead_letter_row(letter, RAW)["value"] is None


@pytest.mark.parametrize("key", [None, b"", b"other", records.order(2).encode()])
def test_a_record_must_be_keyed_by_its_order(key: bytes | None):
    with pytest.raises(Malformed):
        rows.checked_order(records.revealed(1), key)


@pytest.mark.parametrize("order_id", ["abc", "", records.order(1).upper(), records.order(1).replace("-", "")])
def test_an_order_id_must_be_a_uuid_in_its_usual_form(order_id: str):
    rows.checked_order(records.revealed(1), records.order(1).encode())
    with pytest.raises(Malformed):
        rows.checked_order(records.revealed(1).model_copy(update={"order_id": order_id}), order_id.encode())


def test_numbers_of_records_are_their_own_and_fit_a_browser():
    raws = [replace(RAW, partition=partition, offset=offset) for partition in range(12) for offset in range(50)]

    assert len({number(raw) for raw in raws}) == len(raws)
    assert number(replace(RAW, partition=4095, offset=2**41 - 1)) == 2**53 - 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"codes": [{"box": "b", "key_id": "k"}]}, {"codes": 1}),
        ({"a": [{"codes": []}]}, {"a": [{"codes": 0}]}),
        ({"codes": 3}, {"codes": 3}),
        ({"found": {"box": "b", "key_id": "k"}}, {"found": "[sealed]"}),
        ([{"box": "b"}], ["[sealed]"]),
        ({"a": 1, "codes": [], 'x"codes': [], 'y,"codes': []}, {"a": 1, "codes": 0, 'x"codes': [], 'y,"codes': []}),
        (["codes", []], ["codes", []]),
        ({"codes": '{"codes":[]'}, {"codes": '{"codes":[]'}),
        ({"box": 3}, {"box": 3}),
        ({"email": "p1:a", "all": ["p1:b", "p2:c"]}, {"email": "[sealed]", "all": ["[sealed]", "p2:c"]}),
        ({"a": 'p1:"\\', "b": 'p1:\\"x'}, {"a": "[sealed]", "b": "[sealed]"}),
        (
            {"p1:a": "p1:", "a": '"p1:', "b": '\\"p1:c"', "c": ',"p1:'},
            {"p1:a": "[sealed]", "a": '"p1:', "b": '\\"p1:c"', "c": ',"p1:'},
        ),
        ({"codes": [], "email": "p1:a"}, {"codes": 0, "email": "[sealed]"}),
        ("p1:a", "[sealed]"),
        (None, None),
    ],
)
def test_boxes_are_counted_wherever_they_are(value, expected):
    assert counted(value) == expected
    assert json.loads(counted_json(to_json(value).decode())) == expected


def test_other_sealed_texts_are_marks():
    assert counted_json('{"email":"p1:abc"}') == '{"email":"[sealed]"}'


def test_json_without_anything_sealed_is_as_it_was():
    text = '{"order":"box codes","amount":"1.50", "number":1.0}'
    assert counted_json(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"box":"SECRET+/=="}',
        '{"box" : "SECRET"',
        '{"box":"SECRET',
        r"{\"box\":\"SECRET\"}",
        r"{\\\"box\\\": \\\"SECRET\\\"}",
        '[{"key_id":"k","box":"SECRET"},{"box":"SECRET"}]',
    ],
)
def test_boxes_are_masked_in_any_text(text: str):
    assert "SECRET" not in masked(text)
    assert "[sealed]" in masked(text)


def test_text_without_boxes_is_as_it_was():
    text = codec.encode(records.revealed(1)).decode()

    assert masked(text) == text
    assert codec.decode(ORDER_EVENTS, masked(text).encode()) == records.revealed(1)
