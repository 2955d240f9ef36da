"""Which keys belong to which line, and what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bitloot.errors import Cause, Refused, Transient
from fulfillment.kinguin.answers import Standing
from fulfillment.kinguin.codes import PlainCode, check_together
from fulfillment.kinguin.esa.orders import KinguinOrder
from fulfillment.kinguin.ports import LineProgress, Undelivered
from fulfillment.purchases import ANY_PRODUCT, Line, Purchase


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it was downloaded. `offer_id` is empty where it is not told."""

    key_id: str
    product_id: str
    offer_id: str
    code: PlainCode


def refuse_ended(order: KinguinOrder, purchase: Purchase) -> None:
    """Raise `Refused` when keys that were bought will never come: the order's status decides, then each key's."""
    ended = {Standing.CANCELED: Cause.CANCELED, Standing.REFUNDED: Cause.REFUNDED}
    if order.standing in ended:
        there = sum(line.delivered for line in progress(order, purchase))
        detail = f"order {order.order_id} is {order.status}; {there} of its keys had been delivered"
        raise Refused(ended[order.standing], detail)
    for standing, cause in ended.items():
        lost = [
            f"{line.keys.count(standing)} of {line.quantity} keys of product {line.product_id}"
            for line in order.lines
            if standing in line.keys
        ]
        if lost:
            raise Refused(cause, f"order {order.order_id}: {standing} are {', '.join(lost)}")


def undelivered(order: KinguinOrder, purchase: Purchase, now: datetime) -> Undelivered:
    """Say how far an order is whose keys are not all there; a pre-order is not asked for before its release."""
    waits_for = order.released_at if order.released_at is not None and order.released_at > now else None
    return Undelivered(order.status, waits_for, progress(order, purchase))


def progress(order: KinguinOrder, purchase: Purchase) -> tuple[LineProgress, ...]:
    """Return how many keys of each line are there."""
    return tuple(
        LineProgress(
            line.item_id,
            sum(told.keys.count(Standing.DELIVERED) for told in order.lines if _is_of(line, told.product_id)),
            line.quantity,
        )
        for line in purchase.lines
    )


def assign(keys: Sequence[Key], purchase: Purchase) -> tuple[tuple[Line, tuple[PlainCode, ...]], ...]:
    """Return the codes of each line: exactly as many as were bought, all different.

    Raises `Transient` for too few, which may be on their way, and `Refused` for others than were bought.
    """
    bought = sum(line.quantity for line in purchase.lines)
    if len(keys) < bought:
        raise Transient(Cause.QUANTITY_MISMATCH, f"the order is complete, but has {len(keys)} keys instead of {bought}")
    assigned = tuple((line, tuple(key.code for key in keys if _belongs(key, line))) for line in purchase.lines)
    for number, (line, codes) in enumerate(assigned, start=1):
        if len(codes) != line.quantity:
            raise Refused(Cause.QUANTITY_MISMATCH, f"{len(codes)} keys came for {line.quantity} of line {number}")
    if len(keys) > bought:
        raise Refused(Cause.QUANTITY_MISMATCH, f"{len(keys)} keys came for {bought}")
    check_together([key.code for key in keys])
    return assigned


def _belongs(key: Key, line: Line) -> bool:
    if not _is_of(line, key.product_id):
        return False
    return line.offer_id is None or key.offer_id in {"", line.offer_id}


def _is_of(line: Line, product_id: str) -> bool:
    return line.product_id in {ANY_PRODUCT, product_id}
