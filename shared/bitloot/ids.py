"""Typed ids, and the one place where deterministic ids are made.

An id made here never depends on the clock, on chance or on how often something was delivered:
the same facts give the same id in every process, for ever. Retries and replays rely on it.
"""

import hashlib
import hmac
import re
import uuid
from typing import NewType

OrderId = NewType("OrderId", str)
"""A UUID (version 8) in lower case whose last 42 bits check the others: see `is_order_id`."""
ItemId = NewType("ItemId", str)
"""`{order id}-{position}`, positions from 1."""
PurchaseId = NewType("PurchaseId", str)
"""`{order id}-{number}`, purchases from 1. Where each item is bought by itself, it has the number of its item."""
EffectId = NewType("EffectId", str)
"""`{order id or purchase id}/{effect kind}/{attempt}`, attempts from 1."""
EventId = NewType("EventId", str)
PaymentId = NewType("PaymentId", str)
ReservationId = NewType("ReservationId", str)
MessageId = NewType("MessageId", str)
"""`{order id}/{mail or notice}/{number}`: one mail, however often it is tried; also its Idempotency-Key."""
ProductId = NewType("ProductId", str)
OfferId = NewType("OfferId", str)
"""One of our offers on Kinguin."""
CodeId = NewType("CodeId", int)
"""The number of a code in the stock that we sell on Kinguin."""

_CHECKED_BITS = 80
_CHECK_BITS = 42
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_UUID_LENGTH = 36
_UNREADABLE = re.compile(r"[^\w.-]")
_SALES = uuid.UUID("5c0f5f5e-7a43-4b0a-8b57-8f2d53e6a1c9")


def _check(payload: int) -> int:
    digest = hashlib.sha256(b"bitloot order id" + payload.to_bytes(_CHECKED_BITS // 8, "big")).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _CHECK_BITS)


def order_id(idempotency_key: str, shop: str = "shop") -> OrderId:
    """Return the order id that belongs to a shop's `Idempotency-Key`.

    The ingress has no state, so the id itself makes a repeated `POST /orders` the same order. 80 bits
    are a hash of shop and key; 42 bits check them, so that an id of somebody else's making (a typing
    error, another shop on the same NOWPayments account) is told apart without asking a database.
    """
    digest = hashlib.sha256(f"{len(shop)}:{shop}:{idempotency_key}".encode()).digest()
    payload = int.from_bytes(digest[: _CHECKED_BITS // 8], "big")
    bits = payload << _CHECK_BITS | _check(payload)
    # RFC 9562, section 5.8: 48 bits, version 8, 12 bits, variant 0b10, 62 bits.
    high, middle, low = bits >> 74, bits >> 62 & 0xFFF, bits & (1 << 62) - 1
    return OrderId(str(uuid.UUID(int=high << 80 | 8 << 76 | middle << 64 | 0b10 << 62 | low)))


def is_order_id(text: object) -> bool:
    """Tell whether `text` is an order id that `order_id` can have made."""
    if not isinstance(text, str) or not _UUID.fullmatch(text):
        return False
    value = int(text.replace("-", ""), 16)
    bits = (value >> 80) << 74 | (value >> 64 & 0xFFF) << 62 | value & (1 << 62) - 1
    payload, check = bits >> _CHECK_BITS, bits & (1 << _CHECK_BITS) - 1
    return hmac.compare_digest(check.to_bytes(6, "big"), _check(payload).to_bytes(6, "big"))


def item_id(order: OrderId, position: int) -> ItemId:
    """Return the id of the item at `position`, counted from 1."""
    return ItemId(f"{order}-{position}")


def purchase_id(order: OrderId, number: int) -> PurchaseId:
    """Return the id of an order's purchase of that number, counted from 1."""
    return PurchaseId(f"{order}-{number}")


def external_id(purchase: PurchaseId, time: int) -> str:
    """Return what Kinguin is told as our id of a purchase that is made for the `time`-th time.

    It stays the same for every try, so that a look-up finds whatever any try has bought. Only a purchase that was
    ordered anew on purpose, after Kinguin had canceled it, has another one.
    """
    return purchase if time == 1 else f"{purchase}-p{time}"


def order_of(external: object) -> OrderId | None:
    """Return the order whose id an external id starts with, or None where it is none of ours."""
    if not isinstance(external, str) or not is_order_id(external[:_UUID_LENGTH]):
        return None
    return OrderId(external[:_UUID_LENGTH]) if external[_UUID_LENGTH : _UUID_LENGTH + 1] in {"", "-"} else None


def effect_id(owner: OrderId | PurchaseId, kind: str, attempt: int) -> EffectId:
    """Return the id of the `attempt`-th try of an effect of an order or of one of its purchases."""
    return EffectId(f"{owner}/{kind}/{attempt}")


def sale_effect_id(reservation: ReservationId, kind: str, attempt: int) -> EffectId:
    """Return the id of the `attempt`-th effect of a sale on Kinguin."""
    return EffectId(f"sale/{reservation}/{kind}/{attempt}")


def sale_request_id(reservation: ReservationId) -> str:
    """Return what Kinguin is told as the id of our request to hand over a sale's code: a UUID, for all tries."""
    return str(uuid.uuid5(_SALES, reservation))


def message_id(order: OrderId, number: int, series: str = "mail") -> MessageId:
    """Return the id of an order's `number`-th mail.

    The series `mail` is the one whose acceptance completes the order; all others are `notice`.
    """
    return MessageId(f"{order}/{series}/{number}")


def outcome_id(effect: EffectId, outcome: str) -> EventId:
    """Return the id of the event that reports an effect's outcome."""
    return EventId(f"{effect}/{outcome}")


def content_id(*facts: object) -> EventId:
    """Return an event id for facts from outside: readable first parts, then a hash of all of them.

    Two notifications with the same facts have the same id however their bytes differ.
    """
    digest = hashlib.sha256("\x1f".join(map(str, facts)).encode(errors="backslashreplace")).hexdigest()
    readable = "/".join([_UNREADABLE.sub("_", str(fact))[:64] for fact in facts[:3]])
    return EventId(f"{readable}/{digest[:16]}")
