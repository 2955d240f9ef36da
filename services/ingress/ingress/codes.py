"""Takes product codes out of a notification: sealed for delivery, gone from what is logged. Pure.

What is kept of a body is a short list of harmless fields; all else is replaced. A list of what to hide would
miss the field that nobody has documented.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from bitloot.canonical_json import JsonValue
from bitloot.contracts.sealed import SealedCode
from bitloot.sealing import Sealer
from ingress.fields import Document

SEALED = "[sealed]"

MAX_CODES = 1000
"""The largest quantity of an item. More would not fit one record; the worker fetches them."""

_LISTS = ("codes", "keys")
_IMAGES = {"image/jpeg", "image/png", "image/gif"}
_TEXT = "text/plain"
_LEAST = 4  # shorter texts are in too many others to be looked for
# The documented fields of both dialects, and nothing that could hold a code.
# fmt: off
_HARMLESS = frozenset((
    "availableStock", "buyableStock", "cheapestOfferId", "createdAt", "declaredStock", "event", "id", "isPreorder",
    "kinguinId", "name", "offerId", "orderExternalId", "orderId", "popularityBid", "price", "priceIWTR",
    "productId", "qty", "quantity", "requestedKeyType", "reservationId", "reservedStock", "status", "textQty",
    "totalPrice", "totalQty", "updatedAt",
))
# fmt: on
_FIELD_NAME = re.compile(r"[a-z]+([A-Z][a-z]+|_[a-z]+)*")


@dataclass(frozen=True, slots=True)
class Code:
    """A plain code, for as long as one function runs. `content` is bytes for an image."""

    content: str | bytes
    media_type: str
    as_sent: str

    def __repr__(self) -> str:
        """Show nothing: a traceback must not."""
        return "Code(...)"


def read_codes(document: Document) -> tuple[Code, ...] | None:
    """Return the codes of a body in their order; None when there are some that cannot be relied on.

    Then they are left out, and the worker fetches them as if none had come.
    """
    lists = [document[name] for name in _LISTS if document.get(name) is not None]
    if not lists:
        return ()
    entries = lists[0]
    if not isinstance(entries, list) or len(entries) > MAX_CODES or any(each != entries for each in lists):
        return None
    codes = [_read_code(entry) for entry in entries]
    read = tuple(code for code in codes if code is not None)
    return read if len(read) == len(codes) else None


def seal(codes: Sequence[Code], sealer: Sealer) -> tuple[SealedCode, ...]:
    """Seal codes, in their order."""
    return tuple(sealer.seal(code.content, code.media_type) for code in codes)


def fingerprint(codes: Sequence[Code], key: SecretStr) -> str:
    """Tell one list of codes from another without telling what it holds; empty for none.

    Boxes differ each time, so they cannot make the id of an event; a plain hash could be searched.
    """
    if not codes:
        return ""
    message = json.dumps([code.as_sent for code in codes]).encode()
    return hmac.digest(key.get_secret_value().encode(), b"codes\x00" + message, hashlib.sha256).hex()[:32]


def redacted(document: Document) -> str:
    """Return the body as JSON text without its codes, wherever in it they are."""
    found = tuple(_suspects(document))
    kept = {_name(name, found): _value(name, value, found) for name, value in document.items()}
    return json.dumps(kept, ensure_ascii=False, default=float)


def mentions_code(text: str, document: Document) -> bool:
    """Tell whether one of the body's codes is part of `text`, in any case of letters."""
    return _holds(text, tuple(_suspects(document)))


def _read_code(entry: JsonValue) -> Code | None:
    if isinstance(entry, str):
        return Code(entry, _TEXT, entry) if entry.strip() else None
    if not isinstance(entry, dict):
        return None
    match entry.get("serial"), entry.get("type"):
        case str(serial), None | "text/plain" if serial.strip():
            return Code(serial, _TEXT, serial)
        case str(serial), str(media_type) if serial and media_type in _IMAGES:
            return _read_image(serial, media_type)
        case _:
            return None


def _read_image(serial: str, media_type: str) -> Code | None:
    try:
        return Code(base64.b64decode(serial, validate=True), media_type, serial)
    except ValueError:
        return None


def _suspects(document: Document) -> set[str]:
    """Return every text of the lists of codes that is long enough to be one, whatever their shape; case folded."""
    found: set[str] = set()
    waiting: list[JsonValue] = [document.get(name) for name in _LISTS]
    while waiting:
        match waiting.pop():
            case str(text):
                found.add(text.strip())
            case bool() | None:
                pass
            case list(entries):
                waiting.extend(entries)
            case dict(members):
                # A type such as `text/plain` is no code, and may stand elsewhere too.
                waiting.extend(value for name, value in members.items() if name != "type")
                waiting.extend(members.keys() - {"serial", "type", "id", "name", "code", "key"})
            case number:
                found.add(str(number))
    return {text.casefold() for text in found if len(text) >= _LEAST}


def _name(name: str, suspects: Sequence[str]) -> str:
    harmless = name in _HARMLESS or name in _LISTS or (len(name) <= 40 and _FIELD_NAME.fullmatch(name))
    return name if harmless and not _holds(name, suspects) else SEALED


def _value(name: str, value: JsonValue, suspects: Sequence[str]) -> JsonValue:
    if name in _LISTS and isinstance(value, list):
        return [SEALED] * min(len(value), MAX_CODES)
    if name not in _HARMLESS:
        return SEALED
    return _harmless(value, suspects)


def _harmless(value: JsonValue, suspects: Sequence[str]) -> JsonValue:
    match value:
        case dict():
            return SEALED
        case list():
            return [SEALED if isinstance(each, list) else _harmless(each, suspects) for each in value[:100]]
        case _ if _holds(str(value), suspects):
            return SEALED
        case _:
            return value


def _holds(text: str, suspects: Sequence[str]) -> bool:
    folded = text.casefold()
    return any(each in folded for each in suspects)
