"""Reads codes out of an answer. Plain codes exist only between here and the sealer, and never show themselves."""

import base64
import binascii
import contextlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bitloot.errors import Cause, Refused
from fulfillment.kinguin.answers import Standing, standing_of
from fulfillment.kinguin.wire import Json

MAX_CODE_BYTES: Final = 200 << 10
"""What Kinguin takes as the largest key; of an image, its decoded bytes."""

MAX_CODES_BYTES: Final = 512 << 10
"""All codes of one purchase: sealed and in base64 they still fit into one Kafka record."""

_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif"})
# Control characters, invisible format marks, half surrogate pairs, line and paragraph separators.
_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_SERIAL_NAMES: Final = ("serial", "code", "key")


@dataclass(frozen=True, slots=True)
class PlainCode:
    """A code that is not sealed yet."""

    content: bytes = field(repr=False)
    media_type: str = "text/plain"


def read_codes(members: dict[str, Json], quantity: int) -> tuple[PlainCode, ...] | None:
    """Return exactly `quantity` distinct codes in their order, or None when they are not all there yet.

    Fewer are only waited for as long as the market does not call the delivery complete. Raises `Refused`: with
    `CANCELED` or `REFUNDED` when a single key was, with `BAD_CODES` for codes that nobody should be handed.
    """
    entries = _entries(members)
    ready = [entry for entry in entries if not _is_pending(entry)]
    if len(entries) > quantity:
        raise _bad(f"{len(entries)} codes for a quantity of {quantity}")
    if len(ready) < quantity:
        complete = standing_of(members.get("status")) is Standing.DELIVERED and len(ready) == len(entries)
        if complete:
            raise _bad(f"{len(ready)} codes for a quantity of {quantity}, and the delivery is complete")
        return None
    codes = tuple(read_code(entry, f"code {number} of {quantity}") for number, entry in enumerate(ready, start=1))
    check_together(codes)
    return codes


def read_code(entry: Json, which: str) -> PlainCode:
    """Return one code: a text, or an object with a serial and a type. Raises `Refused`, naming it as `which`."""
    text, media_type = entry, "text/plain"
    if isinstance(entry, dict):
        text = next((entry[name] for name in _SERIAL_NAMES if entry.get(name) is not None), None)
        kind = entry.get("type") or "text/plain"
        media_type = kind.partition(";")[0].strip().lower() if isinstance(kind, str) else ""
    if not isinstance(text, str) or not text.strip():
        raise _bad(f"{which} is empty or not a text")
    if media_type in _IMAGES:
        return PlainCode(_image(text, which), media_type)
    if media_type != "text/plain":
        raise _bad(f"{which} is of a type that we cannot hand on")
    return PlainCode(_text(text, which))


def check_together(codes: Sequence[PlainCode]) -> None:
    """Raise `Refused` for codes that are there twice, or too large for one record."""
    if len({code.content for code in codes}) != len(codes):
        raise _bad("the same code is there twice")
    if sum(len(code.content) for code in codes) > MAX_CODES_BYTES:
        raise _bad("the codes are too large together")


def _entries(members: dict[str, Json]) -> list[Json]:
    lists = [members[name] for name in ("codes", "keys") if members.get(name) is not None]
    if any(not isinstance(each, list) for each in lists):
        raise _bad("the codes are not a list")
    filled = [each for each in lists if isinstance(each, list) and each]
    if len(filled) > 1 and filled[0] != filled[1]:
        raise _bad("codes and keys differ")
    if filled:
        return filled[0]
    single = members.get("code")
    return [] if single is None else [single]


def _is_pending(entry: Json) -> bool:
    """Tell whether a key is announced but not there. Raises `Refused` for one that will never come."""
    if not isinstance(entry, dict):
        return False
    match standing_of(entry.get("status")):
        case Standing.CANCELED:
            raise Refused(Cause.CANCELED, "a key of the purchase was canceled")
        case Standing.REFUNDED:
            raise Refused(Cause.REFUNDED, "a key of the purchase was returned or refunded")
        case Standing.DELIVERED:
            return False
        case _:
            return "status" in entry and not any(entry.get(name) for name in _SERIAL_NAMES)


def _text(text: str, which: str) -> bytes:
    if len(text) > MAX_CODE_BYTES:
        raise _bad(f"{which} is too large")
    if any(unicodedata.category(letter) in _FORBIDDEN for letter in text):
        raise _bad(f"{which} has control characters")
    return _sized(text.encode(), which)


def _image(text: str, which: str) -> bytes:
    content = b""
    with contextlib.suppress(binascii.Error, ValueError):  # raised below, away from an error that knows the text
        content = base64.b64decode("".join(text.split()), validate=True)
    if not content:
        raise _bad(f"{which} is not an image in base64")
    return _sized(content, which)


def _sized(content: bytes, which: str) -> bytes:
    if len(content) > MAX_CODE_BYTES:
        raise _bad(f"{which} is too large")
    return content


def _bad(reason: str) -> Refused:
    return Refused(Cause.BAD_CODES, reason)
