"""A product as the catalogue tells it: what it costs now, and how many keys there are at that price."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from fulfillment.kinguin.answers import bad
from fulfillment.kinguin.esa.values import count, identity, listed, money
from fulfillment.kinguin.wire import Answer, Json

_TIERS: Final = {1: 10, 2: 50, 3: 100, 4: 500}
"""From which quantity each level of a wholesale price counts."""


@dataclass(frozen=True, slots=True)
class Stock:
    """Keys that are on sale: of any type, and texts among them."""

    any: int
    text: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A seller's offer; `tiers` are (from this quantity, EUR for one), empty where it sells no large quantities."""

    offer_id: str
    price: Decimal
    stock: Stock
    tiers: tuple[tuple[int, Decimal], ...] = ()


@dataclass(frozen=True, slots=True)
class Product:
    """A product. `price` (EUR) and `stock` are those of its cheapest offers together, None without any."""

    product_id: str
    price: Decimal | None
    stock: Stock
    offers: tuple[Offer, ...] = ()
    is_preorder: bool = False


def read_product(answer: Answer, members: dict[str, Json]) -> Product:
    """Read a product. Raises as `answers.bad`."""
    product_id = identity(members.get("productId"))
    if product_id is None:
        raise bad(answer, "the product has no usable productId")
    offers = listed(members.get("offers") or [])
    if offers is None:
        raise bad(answer, "the product's offers are not a list")
    return Product(
        product_id,
        money(members.get("price")) or None,
        _read_stock(members),
        tuple(offer for each in offers if (offer := _read_offer(each)) is not None),
        members.get("isPreorder") is True,
    )


def _read_offer(members: dict[str, Json]) -> Offer | None:
    """Return an offer, or None for one that cannot be bought from."""
    offer_id, price = identity(members.get("offerId")), money(members.get("price"))
    if offer_id is None or not price:
        return None
    return Offer(offer_id, price, _read_stock(members), _read_tiers(members.get("wholesale")))


def _read_stock(members: dict[str, Json]) -> Stock:
    return Stock(count(members.get("qty")) or 0, count(members.get("textQty")) or 0)


def _read_tiers(wholesale: Json) -> tuple[tuple[int, Decimal], ...]:
    if not isinstance(wholesale, dict) or wholesale.get("enabled") is not True:
        return ()
    tiers = []
    for each in listed(wholesale.get("tiers")) or []:
        begins, price = _TIERS.get(count(each.get("level")) or 0), money(each.get("price"))
        if begins is not None and price:
            tiers.append((begins, price))
    return tuple(sorted(tiers))
