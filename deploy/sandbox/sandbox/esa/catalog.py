"""The catalogue: products that the control plane set, and any other that somebody asks for."""

import hashlib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from sandbox.clock import Clock
from sandbox.dials import ControlModel, Panel
from sandbox.esa.goods import TIERS, Offer, Product

Price = Annotated[Decimal, Field(gt=0, le=1_000_000, decimal_places=2)]
Quantity = Annotated[int, Field(ge=0, le=10_000_000)]
Word = Annotated[str, Field(min_length=1, max_length=255)]

_LARGEST_NUMBER = 2**31 - 1
# More than any test buys.
_PLENTY = 10_000_000
# Each level of the wholesale price of an unasked product is so much cheaper than the one before.
_LEVEL_DISCOUNT = Decimal("0.05")


class OfferWish(ControlModel):
    """An offer in the body of `PUT /_products/{productId}`."""

    offer_id: Word | None = None
    name: Word | None = None
    price: Price
    qty: Quantity
    # All of `qty` when absent, as are the next two.
    text_qty: Quantity | None = None
    available_qty: Quantity | None = None
    available_text_qty: Quantity | None = None
    merchant_name: Word = "KinguinHK"
    is_preorder: bool = False
    release_date: date | None = None
    # Prices from 10, 50, 100 and 500 keys on; empty is no wholesale.
    tiers: tuple[Price, ...] = Field(default=(), max_length=len(TIERS))

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.text_qty is not None and self.text_qty > self.qty:
            raise ValueError("textQty is a part of qty")
        if self.is_preorder and self.release_date is None:
            raise ValueError("a pre-order has a releaseDate")
        return self

    def offer(self, product_id: str, name: str, position: int) -> Offer:
        """Return the offer; its id is the same for the same product and place."""
        text = self.qty if self.text_qty is None else self.text_qty
        return Offer(
            id=self.offer_id or _hex_id(f"{product_id}/{position}"),
            name=self.name or name,
            price=self.price,
            qty=self.qty,
            text_qty=text,
            available_qty=self.qty if self.available_qty is None else self.available_qty,
            available_text_qty=text if self.available_text_qty is None else self.available_text_qty,
            merchant=self.merchant_name,
            is_preorder=self.is_preorder,
            release_date=self.release_date,
            tiers=self.tiers,
        )


class ProductWish(ControlModel):
    """Body of `PUT /_products/{productId}`: the whole product, with all its offers."""

    name: Word | None = None
    kinguin_id: Annotated[int, Field(ge=1, le=_LARGEST_NUMBER)] | None = None
    offers: tuple[OfferWish, ...] = Field(default=(), max_length=100)
    platform: Word = "PC Steam"
    genres: tuple[Word, ...] = ("Action",)
    region_id: int = 3
    tags: tuple[Word, ...] = ("base",)
    languages: tuple[Word, ...] = ("English",)
    country_limitation: tuple[Word, ...] = ()


class Catalog:
    """Products by both of their ids."""

    def __init__(self, panel: Panel, clock: Clock) -> None:
        self._panel = panel
        self._clock = clock
        self._products: dict[str, Product] = {}
        self._by_number: dict[int, Product] = {}

    def __iter__(self) -> Iterator[Product]:
        return iter(tuple(self._products.values()))

    def put(self, product_id: str, wish: ProductWish) -> Product:
        """Replace the product, or make it."""
        known = self._products.get(product_id)
        name = wish.name or (known.name if known else f"Game {product_id}")
        number = wish.kinguin_id or (known.kinguin_id if known else _number(product_id))
        product = Product(
            kinguin_id=number,
            product_id=product_id,
            name=name,
            offers=[each.offer(product_id, name, position) for position, each in enumerate(wish.offers)],
            updated_at=self._clock(),
            platform=wish.platform,
            genres=wish.genres,
            region_id=wish.region_id,
            tags=wish.tags,
            languages=wish.languages,
            country_limitation=wish.country_limitation,
        )
        if known is not None:
            self._by_number.pop(known.kinguin_id, None)
        self._keep(product)
        return product

    def find(self, product_id: str) -> Product | None:
        """Return the product, or the one that anybody may ask for; None when it is not known."""
        found = self._products.get(product_id)
        if found is None and self._panel.dials.any_product and product_id:
            found = self._unasked(product_id, _number(product_id))
        return found

    def find_number(self, kinguin_id: int) -> Product | None:
        """Return the product with this number; an unasked one has the number as its product id too."""
        found = self._by_number.get(kinguin_id)
        if found is None and self._panel.dials.any_product and 1 <= kinguin_id <= _LARGEST_NUMBER:
            found = self._unasked(str(kinguin_id), kinguin_id)
        return found

    def _unasked(self, product_id: str, kinguin_id: int) -> Product:
        price = self._panel.dials.product_price
        tiers = tuple(
            max(Decimal("0.01"), round(price * (1 - _LEVEL_DISCOUNT * level), 2)) for level in range(1, len(TIERS) + 1)
        )
        wish = ProductWish(
            name=f"Game {product_id}"[:255],
            kinguin_id=kinguin_id,
            offers=(OfferWish(price=price, qty=_PLENTY, tiers=tiers),),
        )
        return self.put(product_id, wish)

    def _keep(self, product: Product) -> None:
        self._products[product.product_id] = product
        self._by_number[product.kinguin_id] = product


def _hex_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _number(product_id: str) -> int:
    """Numbers of unasked products do not meet in practice: 31 bits for some hundred products."""
    return 1 + int(hashlib.sha256(product_id.encode()).hexdigest()[:8], 16) % (_LARGEST_NUMBER - 1)
