"""JSON read once, for acting on it and for checking what NOWPayments signed.

NOWPayments signs what JavaScript makes of a body: `JSON.parse`, keys sorted at every depth (arrays stay
arrays), `JSON.stringify`. That text differs from Python's for many numbers, for non-ASCII text and for some
keys. `parse` yields both the value (numbers exact, from the raw text) and that canonical text, and names
whatever the signature does not cover, so that a caller can refuse it.
"""

import json
import math
import re
from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from json.encoder import encode_basestring
from typing import NoReturn, TypeAlias, cast

from bitloot.errors import Cause, Malformed

JsonValue: TypeAlias = "bool | int | Decimal | str | list[JsonValue] | dict[str, JsonValue] | None"

MAX_SIZE = 256 * 1024  # bytes; notifications have one or two thousand
MAX_DEPTH = 64  # notifications have two levels

# Notifications have about 25. A body of 256 KiB could hold 130,000 and would stop the loop for half a second.
_MAX_PARTS = 10_000
_MAX_NUMBER = 1000  # characters; the longest exact double has 767 digits
_MAX_SAFE_INTEGER = 2**53 - 1  # above it, JavaScript takes neighbors for the same number
_MAX_INDEX = 2**32 - 2  # keys up to here are array indices for JavaScript
_INTEGER = re.compile(r"-?[0-9]+")
_MAX_DIGITS = 15
# Numbers of up to 15 digits are doubles of their own (C's DBL_DIG), and written so they are already what JavaScript
# makes of them: no exponent, no zero at the end, none so small or large that it would get an exponent.
_AS_WRITTEN = re.compile(
    r"(?=-?[0-9.]{1,16}\Z)(?!-?[0-9]{16})(?:-?[1-9][0-9]*|0|(-?(?:[1-9][0-9]*|0)\.(?!0{6})[0-9]*[1-9]))"
)
# Longer ones, such as computed amounts, often are what the shortest digits of their double are. Python writes these as
# JavaScript does, but for whole doubles, for which it adds ".0", and for those that it gives an exponent.
_AS_REPR = re.compile(r"-?[0-9]+\.[0-9]*[1-9]")
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_PLAIN_ID = re.compile(r"0|[1-9][0-9]{0,19}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Hazard(StrEnum):
    """What honest senders do not write, and what two readers may understand differently."""

    DUPLICATE_KEY = "duplicate_key"  # the last one counts, and only it is signed
    PROTO_KEY = "proto_key"  # a `__proto__` member: not signed, and left out of the value
    INEXACT_NUMBER = "inexact_number"  # more digits than a double: the signature covers the rounded one
    NUMBER_OUT_OF_RANGE = "number_out_of_range"  # beyond a double: signed, and given, as null or as zero
    LONE_SURROGATE = "lone_surrogate"  # half a character: cannot be written as UTF-8
    NUL_CHARACTER = "nul_character"  # PostgreSQL cannot store it


@dataclass(frozen=True, slots=True)
class ParsedJson:
    """A body, read.

    `value` has int for plain integers, else Decimal; `canonical` is what NOWPayments signs, in UTF-8;
    `duplicate_keys` are the keys that came twice in one object.
    """

    value: JsonValue
    canonical: bytes
    duplicate_keys: tuple[str, ...] = ()
    hazards: frozenset[Hazard] = frozenset()


def parse(raw: bytes, *, max_size: int = MAX_SIZE, max_depth: int = MAX_DEPTH) -> ParsedJson:
    """Read a body as JavaScript would.

    Raises `Malformed` for anything but JSON in strict UTF-8 (no byte order mark, no NaN), for more than
    `max_size` bytes or 10,000 values, and for nesting deeper than `max_depth`.
    """
    if len(raw) > max_size:
        raise Malformed(Cause.TOO_LARGE, f"more than {max_size} bytes")
    if sum(map(raw.count, (b",", b"[", b"{"))) > _MAX_PARTS:
        raise Malformed(Cause.TOO_LARGE, f"more than {_MAX_PARTS} values")
    # The causes are not chained: a decoder's error holds the whole body.
    try:
        tree = _DECODER.decode(raw.decode())
    except UnicodeDecodeError as error:
        raise Malformed(Cause.BAD_JSON, f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Malformed(Cause.BAD_JSON, f"not JSON at character {error.pos}") from None
    except RecursionError:
        raise Malformed(Cause.TOO_DEEP, f"nested deeper than {max_depth}") from None
    reader = _Reader(max_depth)
    value, canonical = reader.read(tree, 0)
    return ParsedJson(value, canonical.encode(), tuple(reader.duplicates), frozenset(reader.hazards))


def plain_id(value: JsonValue) -> str | None:
    """Return an identifier written in plain digits, as number or text; None for any other spelling.

    `5.745459419e9` has the same signature as `5745459419` but is not the same text, and integers above
    2^53 share theirs with their neighbors: neither may name a payment.
    """
    if isinstance(value, str):
        return value if _PLAIN_ID.fullmatch(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 <= value <= _MAX_SAFE_INTEGER else None
    return None


def number_text(double: float) -> str:
    """Write a double as `JSON.stringify` does (ECMA-262, Number::toString).

    The shortest digits that read back as the same double, which are Python's too, but with an exponent
    only below 1e-6 and from 1e21 on.
    """
    if not math.isfinite(double):
        return "null"
    if double == 0:
        return "0"
    sign, raw_digits, exponent = Decimal(repr(double)).as_tuple()
    digits = "".join(map(str, raw_digits))
    point = len(digits) + cast("int", exponent)  # digits before the decimal point
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        whole, fraction = digits[:point].ljust(point, "0"), digits[point:]
        text = f"{whole}.{fraction}" if fraction else whole
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        text = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
        text += f"e{point - 1:+d}"
    return f"-{text}" if sign else text


class _Number(str):
    """A number's raw text."""

    __slots__ = ()


class _Digits(_Number):
    """The raw text of a number without a point and an exponent; JSON has no zeros before it."""

    __slots__ = ()


class _Object(list[tuple[str, object]]):
    """An object's members as they came, repeated keys included."""

    __slots__ = ()


def _refuse_constant(_name: str) -> NoReturn:
    raise json.JSONDecodeError("NaN and Infinity are not JSON", "", 0)


_DECODER = json.JSONDecoder(
    parse_int=_Digits, parse_float=_Number, parse_constant=_refuse_constant, object_pairs_hook=_Object
)


_WORDS = {True: "true", False: "false", None: "null"}


class _Reader:
    """Walks what the decoder read; gives each part's value and canonical text."""

    def __init__(self, max_depth: int) -> None:
        self.hazards: set[Hazard] = set()
        self.duplicates: list[str] = []
        self._max_depth = max_depth

    def read(self, node: object, depth: int) -> tuple[JsonValue, str]:
        kind = type(node)
        if kind is str:
            return cast("str", node), self._string(cast("str", node))
        if kind is _Number or kind is _Digits:
            return self._number(cast("_Number", node))
        if kind is bool or node is None:
            return cast("bool | None", node), _WORDS[cast("bool | None", node)]
        if depth >= self._max_depth:
            raise Malformed(Cause.TOO_DEEP, f"nested deeper than {self._max_depth}")
        if kind is _Object:
            return self._object(cast("_Object", node), depth + 1)
        parts = [self.read(each, depth + 1) for each in cast("list[object]", node)]
        return [value for value, _ in parts], f"[{','.join([text for _, text in parts])}]"

    def _object(self, pairs: _Object, depth: int) -> tuple[JsonValue, str]:
        last = dict(pairs)
        if len(last) < len(pairs):
            self._note_duplicates(pairs)
        if last.pop("__proto__", self) is not self:
            # The vendor's sorting assigns it, which sets a prototype and adds no member.
            self.hazards.add(Hazard.PROTO_KEY)
        members: dict[str, JsonValue] = {}
        texts = []
        for key in _in_order(last):
            node = last[key]
            # What most members are is read here: a call for each would cost more than all else.
            if node is None:
                members[key], text = None, "null"
            elif type(node) is str and (text := encode_basestring(node)).isascii() and "\\" not in text:
                members[key] = node
            elif type(node) is _Digits and len(node) <= _MAX_DIGITS and node != "-0":
                members[key], text = int(node), node
            else:
                members[key], text = self.read(node, depth)
            name = encode_basestring(key)
            texts.append(f"{name}:{text}" if name.isascii() and "\\" not in name else f"{self._string(key)}:{text}")
        return members, f"{{{','.join(texts)}}}"

    def _note_duplicates(self, pairs: _Object) -> None:
        self.hazards.add(Hazard.DUPLICATE_KEY)
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen and key not in self.duplicates:
                self.duplicates.append(key)
            seen.add(key)

    def _string(self, text: str) -> str:
        quoted = encode_basestring(text)
        if "\\" in quoted and "\x00" in text:
            self.hazards.add(Hazard.NUL_CHARACTER)
        if quoted.isascii() or not _LONE_SURROGATE.search(quoted):
            return quoted
        self.hazards.add(Hazard.LONE_SURROGATE)
        return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)

    def _number(self, text: _Number) -> tuple[JsonValue, str]:
        if found := _AS_WRITTEN.fullmatch(text):
            return (int(text) if found[1] is None else Decimal(text)), text
        if len(text) > _MAX_NUMBER:
            raise Malformed(Cause.BAD_JSON, f"a number of more than {_MAX_NUMBER} characters")
        double = float(text)
        if text == repr(double) and _AS_REPR.fullmatch(text):
            return Decimal(text), text
        rendered = number_text(double)
        plain = _INTEGER.fullmatch(text) is not None
        if not math.isfinite(double):
            self.hazards.add(Hazard.NUMBER_OUT_OF_RANGE)
            return None, rendered
        if double == 0:
            # Also keeps exponents bounded: Decimal("1e-999999999") takes a gigabyte to write out.
            if re.search("[1-9]", re.split("[eE]", text)[0]):
                self.hazards.add(Hazard.NUMBER_OUT_OF_RANGE)
            return 0 if plain else Decimal(0), rendered
        value = int(text) if plain else Decimal(text)
        if Decimal(rendered) != value:
            self.hazards.add(Hazard.INEXACT_NUMBER)
        return value, rendered


def _in_order(members: Collection[str]) -> list[str]:
    """Sort keys as JavaScript enumerates them. Where no key begins with a digit, ASCII is in order by itself."""
    if "".join(members).isascii():
        keys = sorted(members)
        if bisect_left(keys, "0") == bisect_left(keys, ":"):
            return keys
    return sorted(members, key=_member_order)


def _member_order(key: str) -> tuple[int, int, bytes]:
    """Order keys as JavaScript enumerates sorted ones: array indices by number, then by UTF-16 unit."""
    if _INDEX.fullmatch(key) and int(key) <= _MAX_INDEX:
        return 0, int(key), b""
    return 1, 0, key.encode("utf-16-be", "surrogatepass")
