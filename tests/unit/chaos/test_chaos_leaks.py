"""The scan finds a code among thousands, and the first of them however they are spelled."""

import base64

import pytest

from chaos.leaks import Scanner
from sandbox.kinguin import new_key

CODES = [new_key() for _ in range(500)]


@pytest.mark.parametrize("number", [0, -1], ids=["first", "last"])  # codes are drawn: they cannot name a test
@pytest.mark.parametrize("content", ['{{"codes":["{}"]}}', "a {} b", "{}"], ids=["json", "within", "alone"])
def test_a_plain_code_is_found_wherever_it_stands(number, content):
    code = CODES[number]
    scanner = Scanner(CODES)
    scanner.look("here", content.format(code).encode())
    scanner.look("there", b"nothing")
    scanner.look("in small letters", content.format(code.lower()).encode())
    assert scanner.found == {(code, "here"), (code, "in small letters")}


def test_other_spellings_are_looked_for_too():
    scanner = Scanner(CODES)
    scanner.look("hex", CODES[0].encode().hex().encode())
    scanner.look("base64", base64.b64encode(b"xy" + CODES[1].encode()))
    assert scanner.found == {(CODES[0], "hex"), (CODES[1], "base64")}


def test_what_only_looks_like_a_code_is_none():
    scanner = Scanner(CODES)
    scanner.look("here", new_key().encode())
    assert scanner.found == set()
