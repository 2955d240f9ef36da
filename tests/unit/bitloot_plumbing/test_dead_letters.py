"""What becomes of a record that nobody can handle, and how many there may be."""

import base64
import hashlib
from dataclasses import dataclass, field

import pytest

from bitloot.contracts.codec import MAX_RECORD_BYTES, encode
from bitloot.contracts.topics import DEAD_LETTERS
from bitloot.dead_letters import MAX_VALUE_BYTES, Allowance, dead_letter, put_aside
from bitloot.errors import Cause, Malformed
from tests.fakes.producer import FakeProducer


@dataclass
class Taken:
    topic: str = "orders.events.v1"
    partition: int = 3
    offset: int = 42
    key: bytes | None = b"a"
    value: bytes | None = b"{}"
    headers: list = field(default_factory=lambda: [("traceparent", b"00-1"), ("odd", b"\xff")])


def raised(error: Exception) -> Exception:
    """Return the error with a stack, as if it had been caught."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_it_holds_all_that_a_replay_needs():
    letter = dead_letter("fulfillment", Taken(), Malformed(Cause.BAD_RECORD, "record: union_tag_not_found"))
    assert letter.event_id == "dead/fulfillment/orders.events.v1/3/42"
    assert (letter.topic, letter.partition, letter.offset) == ("orders.events.v1", 3, 42)
    assert (base64.b64decode(letter.key), base64.b64decode(letter.value)) == (b"a", b"{}")
    assert letter.headers == {"traceparent": "00-1", "odd": "\\xff"}
    assert letter.reason == "bad_record"
    assert letter.error == "bad_record: record: union_tag_not_found"
    assert letter.stack == ""


def test_a_bug_has_its_stack():
    letter = dead_letter("sink", Taken(), raised(KeyError("missing")))
    assert letter.reason == "defect"
    assert "in raised\n" in letter.stack
    assert letter.stack.endswith("KeyError: 'missing'\n")


def test_what_looks_like_a_secret_is_taken_out():
    letter = dead_letter("sink", Taken(), raised(ValueError("Authorization: Bearer abcdef.ghi")))
    assert "abcdef" not in letter.error + letter.stack


def test_an_error_that_quotes_half_a_character_can_be_put_aside():
    """Pydantic refuses to write it: the letter would fail, and its record stop the partition for ever."""
    letter = dead_letter("sink", Taken(), raised(ValueError("half \ud800" * 3000)))
    assert letter.error.startswith("half \\ud800half")
    assert len(letter.error) <= 2000
    assert b"half" in encode(letter)


@pytest.mark.parametrize("headers", [None, {"a": b"b"}, [("a", None)]])
def test_faust_and_aiokafka_have_their_own_headers(headers):
    letter = dead_letter("sink", Taken(headers=headers, key=None, value=None), KeyError())
    assert set(letter.headers) == set(dict(headers or {}))
    assert (letter.key, letter.value, letter.value_length) == (None, None, 0)


def test_the_largest_one_still_fits_on_the_topic():
    value = bytes(range(256)) * 4000
    headers = [(f"{n}" + "\x00" * 5000, b"\x00" * 5000) for n in range(100)]
    taken = Taken(key=value, value=value, headers=headers)
    letter = dead_letter("sink", taken, raised(ValueError("\x00" * 100_000)))
    assert letter.value_cut
    assert base64.b64decode(letter.value) == value[:MAX_VALUE_BYTES]
    assert (letter.value_length, letter.value_sha256) == (len(value), hashlib.sha256(value).hexdigest())
    assert len(encode(letter)) < MAX_RECORD_BYTES


async def test_it_is_sent_under_the_key_it_had():
    producer = FakeProducer()
    await put_aside(producer, "sink", Taken(key=b"order\xff"), KeyError("x"))
    (sent,) = producer.sent
    assert (sent.topic, sent.key) == (DEAD_LETTERS, "order�")


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_an_allowance_is_used_up_and_comes_back_with_time():
    clock = Clock()
    allowance = Allowance(3, clock)
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
    assert allowance.exhausted
    clock.now += 19
    assert not allowance.take()
    clock.now += 2
    assert not allowance.exhausted
    assert allowance.take()
    assert not allowance.take()
    clock.now += 3600
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
