"""What the look through every store finds in records, however they were written."""

import base64
import json

import pytest

from admin_api.erasure.proof import Needles, unwrapped

ADDRESS = b"jane@example.org"


def letter(value: bytes) -> bytes:
    """Return a dead letter's record, with its original in base64."""
    return json.dumps({"key": None, "value": base64.b64encode(value).decode()}, separators=(",", ":")).encode()


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_an_address_is_found_in_a_letter_about_a_letter(depth: int):
    record = b'{"email":"' + ADDRESS + b'"}'
    for _ in range(depth):
        record = letter(record)
    assert Needles([ADDRESS.decode()]).within(unwrapped(record))


@pytest.mark.parametrize("text", ["12345678901234567", "====================", "abcd=efghijklmnopqrstu", "A" * 21])
def test_what_only_looks_like_base64_stops_no_look(text: str):
    hostile = b'{"key":"' + text.encode() + b'","email":"' + ADDRESS + b'"}'
    for record in (hostile, letter(hostile)):
        assert Needles([ADDRESS.decode()]).within(unwrapped(record))
