"""What a provider never says by its documentation and a client must survive: answers that are well formed and wrong."""

import json
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, cast

Distortion: TypeAlias = Literal[
    "short",
    "long",
    "duplicate",
    "empty_code",
    "huge_code",
    "control_code",
    "foreign_external_id",
    "unknown_status",
    "wrong_quantity",
    "html",
    "error_body",
    "redirect",
]

# An address that nobody may follow.
_ELSEWHERE = "http://elsewhere.invalid/"
_HUGE = 1_000_000
_Document: TypeAlias = "dict[str, object] | list[object]"
_Reply: TypeAlias = tuple[int, bytes, Mapping[str, str]]


def distorted(how: Distortion, status: int, body: bytes) -> _Reply:
    """Return status, body and further headers. An answer that has nothing to distort stays as it is."""
    whole = _WHOLE.get(how)
    if whole is not None:
        return whole
    if not 200 <= status < 300 or not body:
        return status, body, {}
    document = cast("_Document", json.loads(body))
    _CHANGES[how](document)
    return status, json.dumps(document, separators=(",", ":")).encode(), {}


_WHOLE: Mapping[str, _Reply] = {
    "html": (200, b"<!DOCTYPE html><html><body>We are back soon</body></html>", {}),
    "error_body": (200, b'{"kind":"Error","status":500,"detail":"Internal Server Error."}', {}),
    "redirect": (302, b"", {"Location": _ELSEWHERE}),
}


def _codes(document: _Document) -> list[object]:
    """Find the list of codes: the answer itself (ESA), or its `codes` or `keys` (reservations)."""
    if isinstance(document, list):
        return document
    found = document.get("codes", document.get("keys"))
    return found if isinstance(found, list) else []


def _short(document: _Document) -> None:
    del _codes(document)[-1:]


def _long(document: _Document) -> None:
    codes = _codes(document)
    for last in codes[-1:]:
        codes.append(
            {**last, "id": "f" * 24, "serial": "ONEMO-REKEY-TOOMU-CH234-56789"}
            if isinstance(last, dict)
            else "ONEMO-REKEY"
        )


def _duplicate(document: _Document) -> None:
    codes = _codes(document)
    if codes:
        codes[-1] = codes[0]


def _coded(code: str) -> Callable[[_Document], None]:
    def change(document: _Document) -> None:
        codes = _codes(document)
        for first in codes[:1]:
            codes[0] = {**first, "serial": code} if isinstance(first, dict) else code

    return change


def _orders(document: _Document) -> list[dict[str, object]]:
    """Find what describes an order or a reservation: the answer itself, or what a search found."""
    found = document if isinstance(document, list) else document.get("results", document.get("items", [document]))
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _foreign(document: _Document) -> None:
    for order in _orders(document):
        name = "orderId" if "reservationId" in order else "orderExternalId"
        order[name] = "00000000-0000-4000-8000-000000000000"


def _unknown_status(document: _Document) -> None:
    for order in _orders(document):
        if "status" in order:
            order["status"] = "teleported"


def _wrong_quantity(document: _Document) -> None:
    for order in _orders(document):
        products = order.get("products")
        for holder in (order, *(products if isinstance(products, list) else ())):
            for name in {"qty", "totalQty", "quantity"} & holder.keys():
                holder[name] += 1


_CHANGES: Mapping[str, Callable[[_Document], None]] = {
    "short": _short,
    "long": _long,
    "duplicate": _duplicate,
    "empty_code": _coded(""),
    "huge_code": _coded("A" * _HUGE),
    "control_code": _coded("AAAAA\x00\x1b[2J\r\nBBBBB"),
    "foreign_external_id": _foreign,
    "unknown_status": _unknown_status,
    "wrong_quantity": _wrong_quantity,
}
