"""The bounded exchange: strict JSON, waits, and what a size limit means."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from bitloot.http_client import retry_after
from fulfillment.kinguin.wire import Answer, Unreadable, parse

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "document"),
    [
        (b"", None),
        (b"  \n", None),
        (b"null", None),
        (b'{"price": 12.450000000000000001, "n": 7}', {"price": Decimal("12.450000000000000001"), "n": 7}),
        (b'{"price": 1e400}', {"price": Decimal("1e400")}),
        ('["\u00fc"]'.encode(), ["\u00fc"]),
    ],
)
def test_json_is_read_exactly(raw, document):
    assert parse(raw) == document


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>",
        b"{",
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b'"\xff"',
        b"\xff\xfe[\x00]\x00",
        b"[" * 10_000,
        b'{"a":' * 10_000,
        b"1" * 10_000,
        b"1e" + b"9" * 30,
        b"{} {}",
        b'{"a": 1}x',
    ],
)
def test_what_no_honest_sender_writes_is_unreadable(raw):
    assert parse(raw) is Unreadable.BODY


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        (" 120 ", 120),
        ("9" * 4000, 86_400),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("\u0661\u0662", None),
        ("Sat, 31 Jan 2026 12:02:00 GMT", 120),
        ("Sat, 31 Jan 2026 13:02:00 +0100", 120),
        ("Sat, 31 Jan 2026 12:02:00 -0000", 120),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("Fri, 99 Dec 9999 23:59:59 GMT", None),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
        ("Fri, 31 Dec 2026 23:59:59 -99999999999999999999", None),
    ],
)
def test_a_wait_is_read_in_both_spellings(header, seconds):
    assert retry_after(header, NOW) == seconds


def test_an_answer_does_not_show_its_document():
    assert "AAA-1" not in repr(Answer("GET", "/x", 200, {"codes": ["AAA-1"]}))
