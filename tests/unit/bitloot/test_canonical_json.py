import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot.canonical_json import (
    MAX_DEPTH,
    MAX_SIZE,
    Hazard,
    JsonValue,
    ParsedJson,
    number_text,
    parse,
    plain_id,
)
from bitloot.errors import Cause, Malformed


def refused(raw: bytes) -> Malformed:
    with pytest.raises(Malformed) as error:
        parse(raw)
    # A decoder's own error holds the whole body.
    assert error.value.__cause__ is None
    assert error.value.__context__ is None or error.value.__suppress_context__
    return error.value


def test_numbers_are_exact_and_typed_by_their_spelling():
    value = parse(b'[1, 1.0, 0.10, 1e2, -5, 123456789012345678901234567890, "1"]').value

    assert value == [1, Decimal(1), Decimal("0.10"), Decimal(100), -5, 123456789012345678901234567890, "1"]
    assert [type(each) for each in value or ()] == [int, Decimal, Decimal, Decimal, int, int, str]  # type: ignore[union-attr]
    assert str(value[2]) == "0.10"  # type: ignore[index]


def test_value_and_canonical_come_from_one_reading():
    assert parse(b' {"b": [true, false, null, {}], "a": "\\u00e9"} ') == ParsedJson(
        {"a": "é", "b": [True, False, None, {}]}, '{"a":"é","b":[true,false,null,{}]}'.encode()
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"),
        (b"   ", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":1} x', "not JSON"),
        (b"01", "not JSON"),
        (b"1.", "not JSON"),
        (b".5", "not JSON"),
        (b"+1", "not JSON"),
        (b"0x10", "not JSON"),
        (b"1_000", "not JSON"),
        (b"NaN", "not JSON"),
        (b"-Infinity", "not JSON"),
        (b'{"a": Infinity}', "not JSON"),
        (b'"a\nb"', "not JSON"),
        (b'"\\x41"', "not JSON"),
        (b"\xa0{}", "not UTF-8"),
        ("\xa0{}".encode(), "not JSON"),
        ("\ufeff{}".encode(), "not JSON"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ("\u0661".encode(), "not JSON"),
    ],
)
def test_what_is_not_json_is_malformed(raw: bytes, words: str):
    error = refused(raw)

    assert error.cause is Cause.BAD_JSON
    assert error.detail.startswith(words)


@pytest.mark.parametrize("depth", [65, 900, 10_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_malformed(depth: int, opening: str, closing: str):
    raw = (opening * depth + "1" + closing * depth).encode()

    assert refused(raw).cause in {Cause.TOO_DEEP, Cause.TOO_LARGE}


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_allowed_nesting(opening: str, closing: str):
    raw = (opening * MAX_DEPTH + "1" + closing * MAX_DEPTH).encode()

    assert parse(raw).canonical == raw


def test_size_is_bounded():
    fits = b'"' + b"x" * (MAX_SIZE - 2) + b'"'

    assert parse(fits).canonical == fits
    assert refused(fits + b" ").cause is Cause.TOO_LARGE


@pytest.mark.parametrize("part", ["1", "[]", '{"a":[]}'])
def test_the_number_of_values_is_bounded(part: str):
    assert parse(f"[{','.join([part] * 2000)}]".encode()).hazards == frozenset()
    assert refused(f"[{','.join([part] * 20_000)}]".encode()).cause is Cause.TOO_LARGE


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?", fullmatch=True)
    | st.from_regex(r"-?0\.0{0,7}[0-9]{1,16}", fullmatch=True)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)  # as computed amounts come
)
def test_a_number_taken_as_it_is_written_is_what_javascript_makes_of_it(text: str):
    parsed = parse(text.encode())

    assert parsed.canonical.decode() == number_text(float(text))
    assert parsed.value == Decimal(text)
    assert (Hazard.INEXACT_NUMBER in parsed.hazards) is (Decimal(number_text(float(text))) != Decimal(text))


@given(st.dictionaries(st.text(st.sampled_from("/09:aZé\uffff\U0001f600"), max_size=3), st.just(1), max_size=6))
def test_members_are_in_the_order_of_javascript(members: dict[str, int]):
    def order(key: str) -> tuple[int, int, bytes]:
        index = key.isascii() and key.isdecimal() and str(int(key)) == key
        return (0, int(key), b"") if index else (1, 0, key.encode("utf-16-be"))

    assert list(json.loads(parse(json.dumps(members).encode()).canonical)) == sorted(members, key=order)


def test_long_numbers():
    assert parse(b"1" * 310).hazards == {Hazard.NUMBER_OUT_OF_RANGE}
    assert parse(b"1" * 300).hazards == {Hazard.INEXACT_NUMBER}
    assert refused(b"1" * 200_000).cause is Cause.BAD_JSON
    assert refused(b"0." + b"1" * 200_000).cause is Cause.BAD_JSON


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e400", None),
        ("-1e400", None),
        ("1e999999999999999999999", None),
        ("1e-400", Decimal(0)),
        ("1e-999999999999999999999", Decimal(0)),
    ],
)
def test_numbers_beyond_a_double_are_what_was_signed(text: str, value: JsonValue):
    parsed = parse(text.encode())

    assert parsed.value == value
    assert parsed.canonical == (b"null" if value is None else b"0")
    assert parsed.hazards == {Hazard.NUMBER_OUT_OF_RANGE}


@pytest.mark.parametrize("text", ["0", "-0", "0.00", "0e999999999999999999999", "-0.0E-5"])
def test_zero_has_no_hazard_and_no_sign(text: str):
    parsed = parse(text.encode())

    assert str(parsed.value) == "0"
    assert parsed.canonical == b"0"
    assert parsed.hazards == frozenset()


def test_hazards_are_named():
    parsed = parse(b'{"a":1,"a":2,"__proto__":{"b":3},"c":0.12345678901234567890,"d":"\\u0000","e":"\\udfff"}')

    assert parsed.value == {"a": 2, "c": Decimal("0.12345678901234567890"), "d": "\x00", "e": "\udfff"}
    assert parsed.duplicate_keys == ("a",)
    assert parsed.hazards == {
        Hazard.DUPLICATE_KEY,
        Hazard.PROTO_KEY,
        Hazard.INEXACT_NUMBER,
        Hazard.NUL_CHARACTER,
        Hazard.LONE_SURROGATE,
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (5745459419, "5745459419"),
        ("5745459419", "5745459419"),
        (2**53 - 1, "9007199254740991"),
        (2**53, None),
        ("12345678901234567890", "12345678901234567890"),
        (-1, None),
        (True, None),
        (None, None),
        (Decimal(5745459419), None),
        ("05", None),
        ("5e3", None),
        (" 5", None),
        ("5\n", None),
        ("\u0665", None),
        ("", None),
        ([1], None),
    ],
)
def test_plain_ids(value: JsonValue, text: str | None):
    assert plain_id(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_text_reads_back_as_the_same_double(double: float):
    text = number_text(double)

    assert float(text) == double
    assert json.loads(text, parse_int=float) == double
    assert ("e" in text) == (double != 0 and not 1e-6 <= abs(double) < 1e21)


@pytest.mark.parametrize("double", [math.nan, math.inf, -math.inf])
def test_number_text_of_what_is_no_number(double: float):
    assert number_text(double) == "null"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(json_values, st.sampled_from([None, 2]), st.booleans())
def test_spelling_does_not_change_the_canonical_text(value: object, indent: int | None, ascii_only: bool):  # noqa: FBT001
    plain = parse(json.dumps(value).encode())
    spelled = parse(json.dumps(value, indent=indent, ensure_ascii=ascii_only, sort_keys=True).encode())

    assert spelled.canonical == plain.canonical
    assert spelled.value == plain.value


@given(json_values)
def test_canonical_text_is_its_own(value: object):
    canonical = parse(json.dumps(value).encode()).canonical

    assert parse(canonical).canonical == canonical


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789.eE+-\\ub tnf', max_size=60).map(str.encode))
def test_whatever_comes_is_read_or_malformed(raw: bytes):
    try:
        parsed = parse(raw)
    except Malformed:
        return
    assert parse(parsed.canonical).canonical == parsed.canonical
