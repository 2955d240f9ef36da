"""Which keys belong to which line, and what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from bitloot.errors import Cause, Refused, Transient
from fulfillment.kinguin.answers import Standing
from fulfillment.kinguin.codes import PlainCode, check_together
from fulfillment.kinguin.esa.orders import KinguinOrder
from fulfillment.kinguin.ports import LineProgress, Undelivered
from fulfillment.purchases import Line, Purchase


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it was downloaded. `offer_id` is empty where it is not told."""

    key_id: str
    product_id: str
    offer_id: str
    code: PlainCode


Never = Literal["", "canceled", "refunded"]
"""Why keys that were bought will not come; empty where all may."""

_FARTHEST: Final = timedelta(days=36_525)  # a century
_ENDED: Final = {Standing.CANCELED: Cause.CANCELED, Standing.REFUNDED: Cause.REFUNDED}


def judge(order: KinguinOrder, purchase: Purchase) -> Never | None:
    """Return why some keys will never come while all others are there; empty when all are there, None to wait.

    The order's status decides, and within an order that has ended in part, each key's. Raises `Refused` when nothing
    of what was bought will come.
    """
    keys = [key for line in order.lines for key in line.keys]
    lost = [key for key in keys if key in _ENDED]
    delivered = keys.count(Standing.DELIVERED)
    all_ended = len(keys) == sum(line.quantity for line in purchase.lines) == len(lost) + delivered
    if lost and delivered and all_ended:
        return "canceled" if Standing.CANCELED in lost else "refunded"
    if order.standing in _ENDED or (lost and all_ended):
        cause = _ENDED[order.standing if order.standing in _ENDED else lost[0]]
        raise Refused(cause, f"order {order.order_id} is {order.status}; {delivered} of its keys had been delivered")
    return "" if order.standing is Standing.DELIVERED and not lost else None


def undelivered(order: KinguinOrder, purchase: Purchase, now: datetime) -> Undelivered:
    """Say how far an order is whose keys are not all there; a pre-order is not asked for before its release."""
    release = order.released_at
    # A game without a day yet may have one at the end of the calendar, after which there is nothing to reckon with.
    waits_for = min(release, now + _FARTHEST) if release is not None and release > now else None
    return Undelivered(order.status, waits_for, progress(order, purchase))


def progress(order: KinguinOrder, purchase: Purchase) -> tuple[LineProgress, ...]:
    """Return how many keys of each line are there."""
    return tuple(
        LineProgress(
            line.item_id,
            sum(told.keys.count(Standing.DELIVERED) for told in order.lines if told.product_id == line.product_id),
            line.quantity,
        )
        for line in purchase.lines
    )


def assign(
    keys: Sequence[Key], order: KinguinOrder, purchase: Purchase, never: Never
) -> tuple[tuple[Line, tuple[PlainCode, ...]], ...]:
    """Return the codes of each line, all different: as many as were bought, or as have come of them.

    Raises `Transient` for too few, which may be on their way, and `Refused` for others than were bought.
    """
    bought = [line.quantity for line in purchase.lines]
    wanted = [line.delivered for line in progress(order, purchase)] if never else bought
    if len(keys) < sum(wanted):
        detail = f"the order is {order.status}, but has {len(keys)} keys instead of {sum(wanted)}"
        raise Transient(Cause.QUANTITY_MISMATCH, detail)
    assigned = tuple((line, tuple(key.code for key in keys if _belongs(key, line))) for line in purchase.lines)
    for number, ((_, codes), count) in enumerate(zip(assigned, wanted, strict=True), start=1):
        if len(codes) != count:
            raise Refused(Cause.QUANTITY_MISMATCH, f"{len(codes)} keys came for {count} of line {number}")
    if len(keys) > sum(wanted):
        raise Refused(Cause.QUANTITY_MISMATCH, f"{len(keys)} keys came for {sum(wanted)}")
    check_together([key.code for key in keys])
    return assigned


def _belongs(key: Key, line: Line) -> bool:
    return key.product_id == line.product_id and (line.offer_id is None or key.offer_id in {"", line.offer_id})
