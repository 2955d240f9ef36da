"""What the seller worker needs of Kinguin's seller side."""

from dataclasses import dataclass, field
from typing import Protocol

from bitloot.contracts.sales import SaleNews
from bitloot.ids import OfferId, ProductId, ReservationId


@dataclass(frozen=True, slots=True)
class Handover:
    """One code for one reservation. `request_id` and `external_id` are ours, the same in every try."""

    offer_id: OfferId
    reservation_id: ReservationId
    request_id: str
    external_id: str
    code: bytes = field(repr=False)
    media_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Kinguin has the code. `repeated`: it said that it had one for this reservation, or works on it."""

    repeated: bool
    stock_id: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """One of our offers as Kinguin shows it. Counts are None where it does not tell them."""

    offer_id: OfferId
    product_id: ProductId
    name: str
    status: str
    available: int | None  # uploaded
    buyable: int | None
    reserved: int | None  # bought and not delivered
    declared: int | None
    declared_text: int | None


class SaleDesk(Protocol):
    """Where sales are served. Methods raise as `fulfillment.kinguin.ports.PurchaseMarket` does."""

    async def hand_over(self, handover: Handover) -> HandedOver:
        """Give a code to a reservation. Raises `Refused` when it is unknown or was processed already."""
        ...

    async def news(self, reservation_id: ReservationId) -> tuple[SaleNews, ...]:
        """Return what was told about a reservation, the oldest first."""
        ...


class OfferDesk(Protocol):
    """Where offers are kept. Methods raise as above."""

    async def offers(self) -> tuple[Offer, ...]:
        """Return all our offers."""
        ...

    async def declare(self, offer_id: OfferId, count: int) -> None:
        """Declare that many keys, all of them texts. Raises `Refused`, `QUOTA_EXCEEDED` above what is granted."""
        ...
