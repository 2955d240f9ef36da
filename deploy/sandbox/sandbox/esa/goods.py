"""What is for sale: products with their offers, and which offers fill an order line."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal

from sandbox.clock import rfc3339
from sandbox.javascript import Json

# From how many keys on the tiers of the wholesale price begin.
TIERS = (10, 50, 100, 500)
RETAIL_MOST, WHOLESALE_MOST = 9, 1000


@dataclass(slots=True)
class Offer:
    """One seller's keys of a product. Prices are EUR a key, quantities are keys."""

    id: str
    name: str
    price: Decimal
    qty: int
    # Of these, how many are text.
    text_qty: int
    # Physically there; Kinguin sells declared stock beside it.
    available_qty: int
    available_text_qty: int
    merchant: str = "KinguinHK"
    is_preorder: bool = False
    release_date: date | None = None
    # Prices by level; empty when wholesale is switched off.
    tiers: tuple[Decimal, ...] = ()

    def price_for(self, quantity: int) -> Decimal:
        """Return what one of `quantity` keys costs."""
        level = sum(quantity >= least for least in TIERS)
        return self.tiers[min(level, len(self.tiers)) - 1] if self.tiers and level else self.price

    def stock(self, *, text: bool) -> int:
        """Return how many keys can be ordered."""
        return self.text_qty if text else self.qty

    def sell_one(self, *, text: bool) -> None:
        """Take one key out."""
        self.qty -= 1
        self.text_qty -= text
        self.available_qty = min(self.available_qty, self.qty)
        self.available_text_qty = min(self.available_text_qty, self.text_qty)

    def shown(self) -> dict[str, Json]:
        """Return the offer as JSON."""
        tiers: Json = [{"level": level, "price": price} for level, price in enumerate(self.tiers, 1)]
        return {
            "name": self.name,
            "offerId": self.id,
            "price": self.price,
            "qty": self.qty,
            "textQty": self.text_qty,
            "availableQty": self.available_qty,
            "availableTextQty": self.available_text_qty,
            "merchantName": self.merchant,
            "isPreorder": self.is_preorder,
            "releaseDate": None if self.release_date is None else self.release_date.isoformat(),
            "wholesale": {"enabled": bool(self.tiers), "tiers": tiers},
        }


@dataclass(frozen=True, slots=True)
class Taken:
    """A part of an order line that one offer fills."""

    offer: Offer
    quantity: int
    price: Decimal


@dataclass(slots=True)
class Product:
    """A game in one edition, platform and region."""

    kinguin_id: int
    product_id: str
    name: str
    offers: list[Offer]
    updated_at: float
    platform: str = "PC Steam"
    genres: tuple[str, ...] = ("Action",)
    region_id: int = 3
    tags: tuple[str, ...] = ("base",)
    languages: tuple[str, ...] = ("English",)
    country_limitation: tuple[str, ...] = ()
    details: dict[str, Json] = field(default_factory=dict)

    @property
    def visible(self) -> tuple[Offer, ...]:
        """The offers with stock, the cheapest first."""
        return tuple(sorted((each for each in self.offers if each.qty > 0), key=lambda each: each.price))

    @property
    def cheapest(self) -> tuple[Offer, ...]:
        """The offers at the lowest price."""
        visible = self.visible
        return tuple(each for each in visible if each.price == visible[0].price)

    @property
    def is_preorder(self) -> bool:
        """Whether what would be bought is not out yet."""
        return any(each.is_preorder for each in self.cheapest)

    def pick(self, quantity: int, price: Decimal, *, text: bool, offer_id: str | None = None) -> Sequence[Taken] | None:
        """Return who fills a line at `price` a key or less, or None when nobody can.

        One offer if one has enough, the cheapest such; else several, which Kinguin's words ("offers") allow.
        """
        fitting = [
            each
            for each in self.visible
            if offer_id in (None, each.id) and each.stock(text=text) and each.price_for(quantity) <= price
        ]
        for each in fitting:
            if each.stock(text=text) >= quantity:
                return (Taken(each, quantity, each.price_for(quantity)),)
        taken, missing = [], quantity
        for each in fitting:
            part = min(missing, each.stock(text=text))
            if part and each.is_preorder == fitting[0].is_preorder:
                # A part buys at the plain price.
                taken.append(Taken(each, part, each.price))
                missing -= part
        return None if missing or any(each.price > price for each in taken) else taken

    def changed(self) -> dict[str, Json]:
        """Return what the webhook `product.update` says; no price, on purpose of Kinguin's."""
        return {
            "kinguinId": self.kinguin_id,
            "productId": self.product_id,
            "qty": sum(each.qty for each in self.cheapest),
            "textQty": sum(each.text_qty for each in self.visible),
            "cheapestOfferId": [each.id for each in self.cheapest],
            "updatedAt": rfc3339(self.updated_at, "milliseconds"),
        }

    def shown(self) -> dict[str, Json]:
        """Return the product as the catalogue does."""
        visible, cheapest = self.visible, self.cheapest
        released = next((each.release_date for each in cheapest if each.release_date), date(2018, 1, 25))
        return {
            **self.details,
            **self.changed(),
            "name": self.name,
            "originalName": self.name,
            "platform": self.platform,
            "genres": self.genres,
            "regionId": self.region_id,
            "tags": self.tags,
            "languages": self.languages,
            "countryLimitation": self.country_limitation,
            "releaseDate": released.isoformat(),
            "isPreorder": self.is_preorder,
            "price": cheapest[0].price if cheapest else None,
            "offers": [each.shown() for each in visible],
            "offersCount": len(visible),
            "totalQty": sum(each.qty for each in visible),
            "merchantName": sorted({each.merchant for each in cheapest}),
            "updatedAt": rfc3339(self.updated_at),
        }


def midnight(day: date) -> float:
    """Return when `day` begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
