"""How the items of an order become purchases: groups of lines that Kinguin takes as one order each.

Pure, and the same items always give the same purchases in the same order, so that their external ids can be counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from bitloot.ids import ItemId, ProductId

WHOLESALE_FROM: Final = 10
"""The smallest quantity that Kinguin calls wholesale."""


@dataclass(frozen=True, slots=True)
class Line:
    """`quantity` keys of a product, for one item of an order or for a part of it.

    `unit_price` is what the buyer paid for one, in `currency`. `offer_id` buys from one offer only. `wholesale` says
    that this offer sells large quantities, `alone` that Kinguin sells the product in an order of its own: a pre-order.
    """

    item_id: ItemId
    product_id: ProductId
    quantity: int
    unit_price: Decimal
    currency: str
    offer_id: str | None = None
    wholesale: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Purchase:
    """Lines that are bought together, under one external id of ours."""

    external_id: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one Kinguin order may hold: keys of one line, lines, and keys in all; `wholesale` keys of one such line."""

    per_line: int
    lines: int
    total: int
    wholesale: int = 0


LIMITS: Final[Mapping[str, Limits]] = {
    # Contract "Kinguin", section 1, "Placing an order".
    "esa": Limits(per_line=9, lines=10, total=90, wholesale=1000),
    # A reservation is of one product; an item has 1,000 keys at most.
    "reservations": Limits(per_line=1000, lines=1, total=1000),
}
"""By dialect."""


def split(lines: Iterable[Line], limits: Limits) -> tuple[tuple[Line, ...], ...]:
    """Return the lines of each purchase that has to be made, in a fixed order.

    A line that is too large is cut into parts of the same item. Each part goes into the first purchase that has room
    and no line of its product yet. Wholesale lines and those that must be alone have purchases of their own: one such
    line would keep all others from being returned.
    """
    purchases: list[list[Line]] = []
    for part in (part for line in lines for part in _parts(line, limits)):
        home = next((each for each in purchases if _fits(part, each, limits)), None)
        if home is None:
            purchases.append([part])
        else:
            home.append(part)
    return tuple(map(tuple, purchases))


def _parts(line: Line, limits: Limits) -> Iterator[Line]:
    if line.quantity < 1:
        raise ValueError("a line has one key at least")
    left = line.quantity
    while left > 0:
        is_wholesale = _sells_wholesale(line, limits) and left >= WHOLESALE_FROM
        size = min(left, limits.wholesale if is_wholesale else min(limits.per_line, limits.total))
        yield replace(line, quantity=size, wholesale=is_wholesale)
        left -= size


def _sells_wholesale(line: Line, limits: Limits) -> bool:
    return line.wholesale and line.offer_id is not None and limits.wholesale >= WHOLESALE_FROM


def _fits(part: Line, purchase: list[Line], limits: Limits) -> bool:
    if any(line.alone or line.wholesale for line in (part, purchase[0])):
        return False
    return (
        len(purchase) < limits.lines
        and sum(line.quantity for line in purchase) + part.quantity <= limits.total
        and all(line.product_id != part.product_id for line in purchase)
    )
