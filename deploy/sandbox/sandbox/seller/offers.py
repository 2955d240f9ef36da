"""Our offers on Kinguin: price, status, declared and uploaded stock."""

import secrets
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sandbox.clock import iso

# Kinguin's part of what the customer pays.
_COMMISSION_PERCENT = 10
_COMMISSION_CENTS = 35
# Of changes of the price, a day.
FREE_PRICE_CHANGES = 3

Count = Annotated[int, Field(ge=0, le=1_000_000)]
Id = Annotated[str, Field(min_length=1, max_length=255)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True)


class Money(_Body):
    """An amount in eurocents."""

    amount: Annotated[int, Field(ge=0, le=1_000_000)]
    currency: Literal["EUR"]


class OfferBody(_Body):
    """`POST /offers`; `price` is what we want to receive."""

    product_id: Id
    price: Money
    name: Id | None = None
    status: Literal["ACTIVE", "INACTIVE"] = "ACTIVE"
    declared_stock: Count = 0
    declared_text_stock: Count = 0


class OfferPatch(_Body):
    """`PATCH /offers/{id}`; what is absent stays."""

    price: Money | None = None
    status: Literal["ACTIVE", "INACTIVE"] | None = None
    declared_stock: Count | None = None
    declared_text_stock: Count | None = None


class OfferStatus(StrEnum):
    """Whether customers see the offer."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


@dataclass(frozen=True, slots=True)
class Stocked:
    """A code that lies with Kinguin."""

    id: str
    code: str
    external_id: str | None


@dataclass(slots=True)
class Offer:
    """What we sell of one product."""

    product_id: str
    name: str
    # Eurocents that we receive.
    price: int
    created_at: float
    status: OfferStatus = OfferStatus.ACTIVE
    declared: int = 0
    declared_text: int = 0
    # Reserved or bought, not delivered.
    reserved: int = 0
    uploaded: deque[Stocked] = field(default_factory=deque)
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    updated_at: float = 0.0
    price_changes: list[float] = field(default_factory=list)

    @property
    def customer_price(self) -> int:
        """What the customer pays, in eurocents."""
        return self.price + self.price * _COMMISSION_PERCENT // 100 + _COMMISSION_CENTS

    @property
    def buyable(self) -> int:
        """How many keys customers can buy now."""
        return max(0, len(self.uploaded) + self.declared - self.reserved) if self.status is OfferStatus.ACTIVE else 0

    def stock(self) -> dict[str, object]:
        """Return the four counts."""
        return {
            "availableStock": len(self.uploaded),
            "buyableStock": self.buyable,
            "declaredStock": self.declared,
            "reservedStock": self.reserved,
        }

    def prices(self) -> dict[str, object]:
        """Return both prices and the rule between them."""
        return {
            "price": {"amount": self.customer_price, "currency": "EUR"},
            "priceIWTR": {"amount": self.price, "currency": "EUR"},
            "commissionRule": {
                "ruleName": "DEFAULT",
                "fixedAmount": _COMMISSION_CENTS,
                "percentValue": _COMMISSION_PERCENT,
            },
        }

    def shown(self) -> dict[str, object]:
        """Return the offer as the sales manager shows it."""
        return {
            "id": self.id,
            "productId": self.product_id,
            "name": self.name,
            "status": self.status,
            **self.prices(),
            **self.stock(),
            "declaredTextStock": self.declared_text,
            "createdAt": iso(self.created_at),
            "updatedAt": iso(self.updated_at or self.created_at),
        }
