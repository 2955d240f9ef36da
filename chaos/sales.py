"""What the shop will sell and what must become of it: pure, the same for the same seed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bitloot.ids import OrderId, item_id, order_id, purchase_id
from chaos.plan import Dialect, Rule

_UNIT_PRICE = 5
_SHARES = {"plain": 86, "sold_out": 5, "underpaid": 5, "unpaid": 4}


class Fate(StrEnum):
    """How an order is meant to end."""

    PLAIN = "plain"  # paid and for sale: delivered, or a human hears why not
    SOLD_OUT = "sold_out"  # paid, but Kinguin refuses its last item
    UNDERPAID = "underpaid"  # half of the money came
    UNPAID = "unpaid"  # no money came; whoever says so has forged it


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order."""

    product: str
    quantity: int


@dataclass(slots=True)
class Sale:
    """One order as the shop knows it.

    `accepted`: answered with 201. `paid`: the notification that ends the payment was answered with 200; never of an
    unpaid order.
    """

    order: OrderId
    key: str
    email: str
    lines: tuple[Line, ...]
    fate: Fate = Fate.PLAIN
    accepted: bool = False
    paid: bool = False
    problems: list[str] = field(default_factory=list)
    page: str = ""
    """The address of its order page."""

    @property
    def last_word(self) -> str:
        """The status that ends its payment."""
        return "partially_paid" if self.fate is Fate.UNDERPAID else "finished"

    @property
    def total(self) -> int:
        """The price in EUR."""
        return _UNIT_PRICE * sum(line.quantity for line in self.lines)

    @property
    def body(self) -> Mapping[str, object]:
        """The body of `POST /orders`."""
        items = [
            {
                "productId": line.product,
                "title": line.product,
                "quantity": line.quantity,
                "unitPrice": f"{_UNIT_PRICE}.00",
            }
            for line in self.lines
        ]
        return {"email": self.email, "currency": "eur", "items": items}


def sales(seed: int, count: int) -> tuple[Sale, ...]:
    """Return the orders of a run: 1 to 3 items of 1 to 3 keys."""
    dice = random.Random(f"{seed}/sales")  # noqa: S311 - repeatable on purpose
    return tuple(_sale(dice, seed, number) for number in range(count))


def _sale(dice: random.Random, seed: int, number: int) -> Sale:
    key = f"chaos-{seed}-{number}"
    lines = tuple(Line(f"game-{n}", dice.randint(1, 3)) for n in range(1, dice.randint(1, 3) + 1))
    (fate,) = dice.choices(list(_SHARES), list(_SHARES.values()))
    return Sale(order_id(key), key, f"buyer-{number}@example.com", lines, Fate(fate))


def sold_out(wanted: Sequence[Sale], dialect: Dialect = "reservations") -> tuple[Rule, ...]:
    """Return the standing rules by which Kinguin has nothing left of what must be refused."""
    refused = [sale for sale in wanted if sale.fate is Fate.SOLD_OUT]
    if dialect == "esa":  # all items are one Kinguin order
        placing: Rule = {"provider": "kinguin-esa", "call": "place", "kind": "error", "status": 404}
        return tuple(
            {**placing, "code": "ProductUnavailable", "orderId": purchase_id(sale.order, 1)} for sale in refused
        )
    refusal: Rule = {"provider": "kinguin", "call": "reserve", "kind": "error", "status": 404, "code": "OutOfStock"}
    return tuple({**refusal, "orderId": item_id(sale.order, len(sale.lines))} for sale in refused)
