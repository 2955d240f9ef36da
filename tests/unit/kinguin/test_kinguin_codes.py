"""Which codes can be handed on, and that the others are never quoted."""

import base64

import pytest

from bitloot.errors import Cause, Refused
from fulfillment.kinguin.codes import MAX_CODE_BYTES, PlainCode, read_codes

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def test_an_image_is_decoded():
    serial = base64.b64encode(PNG).decode()
    codes = read_codes({"keys": [{"serial": serial, "type": "image/png"}]}, 1)
    assert codes == (PlainCode(PNG, "image/png"),)


def test_an_image_may_be_wrapped_into_lines():
    serial = base64.encodebytes(PNG).decode()
    assert read_codes({"keys": [{"serial": serial, "type": "image/png"}]}, 1) == (PlainCode(PNG, "image/png"),)


@pytest.mark.parametrize("kind", [None, "text/plain", "Text/Plain; charset=utf-8"])
def test_text_is_text(kind):
    assert read_codes({"keys": [{"serial": "AAA-1", "type": kind}]}, 1) == (PlainCode(b"AAA-1"),)


def test_a_code_is_left_as_it_is():
    assert read_codes({"codes": [" K\u00f6ln-1 "]}, 1) == (PlainCode(" K\u00f6ln-1 ".encode()),)


def test_the_largest_code_fits():
    assert read_codes({"codes": ["x" * MAX_CODE_BYTES]}, 1) is not None


def test_a_key_that_is_announced_is_waited_for():
    keys = [{"serial": "AAA-1", "status": "DELIVERED"}, {"serial": "", "status": "PROCESSING"}]
    assert read_codes({"keys": keys}, 2) is None


def test_more_keys_than_bought_are_refused_even_when_some_are_only_announced():
    refused({"keys": [{"serial": "AAA-1"}, {"id": 1, "status": "PENDING"}]}, 1)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "   ",
        None,
        17,
        True,
        ["SECRET-1"],
        {},
        {"id": 5},
        {"serial": ""},
        {"serial": 12345},
        {"serial": "SECRET-1", "type": "application/pdf"},
        {"serial": "SECRET-1", "type": 5},
        {"serial": "not base64!", "type": "image/png"},
        {"serial": "", "type": "image/png"},
        {"serial": base64.b64encode(bytes(MAX_CODE_BYTES + 1)).decode(), "type": "image/png"},
        "SECRET-1\x00",
        "SECRET\n1",
        "SECRET-1\u202e",
        "SECRET\u200b-1",
        "\ufeffSECRET-1",
        "SECRET-1\u2028",
        "SECRET-1\ud800",
        "SECRET-1" + "x" * MAX_CODE_BYTES,
        "\u20ac" * (MAX_CODE_BYTES // 2),
    ],
    ids=lambda bad: ascii(bad)[:40],
)
def test_a_code_that_nobody_should_be_handed_is_refused(bad):
    refused({"codes": ["GOOD-1", bad]}, 2)


@pytest.mark.parametrize(
    "members",
    [
        {"codes": ["SECRET-1", "SECRET-2", "SECRET-3"]},
        {"codes": ["SECRET-1", "SECRET-1"]},
        {"keys": [{"serial": "SECRET-1", "id": 1}, {"serial": "SECRET-1", "id": 2}]},
        {"codes": ["SECRET-1"], "status": "COMPLETED"},
        {"codes": "SECRET-1"},
        {"codes": {"SECRET-1": 1}},
        {"codes": ["SECRET-1", "SECRET-2"], "keys": ["SECRET-3", "SECRET-4"]},
        {"codes": [f"{number}{'x' * (200 << 10)}"[: 200 << 10] for number in range(2)] + ["y" * (150 << 10)]},
    ],
    ids=lambda members: repr(members)[:40],
)
def test_codes_that_do_not_fit_together_are_refused(members):
    refused(members, 3 if len(members.get("codes", ())) == 3 and "x" in str(members) else 2)


def test_plain_codes_do_not_show_themselves():
    assert "SECRET" not in repr(PlainCode(b"SECRET-1"))


def refused(members, quantity) -> None:
    with pytest.raises(Refused) as caught:
        read_codes(members, quantity)
    assert caught.value.cause is Cause.BAD_CODES
    assert "SECRET" not in repr(caught.value)
    assert caught.value.__context__ is None
