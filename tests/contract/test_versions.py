"""What the last release wrote is read by the code of now, and what the code of now writes only adds to it."""

import copy
import json
from typing import Any

import pytest

from bitloot.contracts.codec import decode, encode
from bitloot.contracts.topics import ORDER_EVENTS, TOPICS
from fulfillment.codec import order_from_bytes, order_to_bytes
from fulfillment.order import pending
from fulfillment.step import step
from tests.contract.baseline import breaks, read, schemas

BY_NAME = {topic.name: topic for topic in TOPICS}
EXAMPLES = read("examples")
SCHEMAS = read("schemas")
ROWS = read("rows")
HINT = "docs/adr/0028; before a release: python -m tests.contract.baseline"


def value(name: str) -> bytes:
    return json.dumps(EXAMPLES[name]).encode()


def lost(before: Any, now: Any) -> bool:
    """Tell whether something of a document is missing or another in a later form of it."""
    if isinstance(before, dict) and isinstance(now, dict):
        return any(name not in now or lost(each, now[name]) for name, each in before.items())
    if isinstance(before, list) and isinstance(now, list):
        return len(before) != len(now) or any(map(lost, before, now))
    return bool(before != now)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_record_of_the_last_release_is_read_whole(name: str):
    topic = BY_NAME[name.partition("/")[0]]
    assert not lost(EXAMPLES[name], json.loads(encode(decode(topic, value(name))))), HINT


@pytest.mark.parametrize("name", sorted(name for name in EXAMPLES if name.startswith(f"{ORDER_EVENTS.name}/")))
def test_an_event_of_the_last_release_is_taken_by_an_order_of_any_station(name: str):
    event = decode(ORDER_EVENTS, value(name))
    for row in (None, *(bytes.fromhex(each) for each in ROWS.values())):
        if row is not None:
            event = event.model_copy(update={"order_id": order_from_bytes(row).order_id})
        result = step(row, event)
        assert result.after.order_id == event.order_id


@pytest.mark.parametrize("station", sorted(ROWS))
def test_a_row_of_the_last_release_is_an_order_that_goes_on(station: str):
    row = bytes.fromhex(ROWS[station])
    order = order_from_bytes(row)
    assert order_from_bytes(order_to_bytes(order)) == order
    assert bool(pending(order)) == (station != "settled")
    assert not lost(json.loads(row[16:]), json.loads(order_to_bytes(order)[16:])), HINT


def test_no_topic_is_gone():
    assert SCHEMAS.keys() <= BY_NAME.keys()


@pytest.mark.parametrize("topic", sorted(SCHEMAS))
def test_schemas_only_grow(topic: str):
    assert breaks(SCHEMAS[topic], schemas()[topic]) == [], HINT


def test_what_would_break_is_found():
    before = SCHEMAS[ORDER_EVENTS.name]
    after = copy.deepcopy(before)
    placed = after["$defs"]["OrderPlaced"]
    del placed["properties"]["email"]
    placed["required"].append("coupon")
    placed["properties"]["coupon"] = {"type": "string"}
    placed["properties"]["currency"] = {"type": "integer"}
    status = after["$defs"]["PaymentStatus"]
    status["enum"] = status["enum"][1:]
    del after["$defs"]["TimerFired"]
    assert breaks(before, after) == [
        "OrderPlaced.coupon is required now",
        "OrderPlaced.currency takes less",
        "OrderPlaced.email is gone",
        "PaymentStatus.a value is gone",
        "TimerFired is gone",
    ]
    grown = copy.deepcopy(before)
    grown["$defs"]["OrderPlaced"]["properties"]["coupon"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    grown["$defs"]["PaymentStatus"]["enum"].append("disputed")
    assert breaks(before, grown) == []
