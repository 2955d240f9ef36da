"""A key that somebody buys from us on Kinguin: one reservation, with every code that was handed over for it."""

import secrets
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.clock import iso


class Status(StrEnum):
    """Where a reservation stands, in Kinguin's words."""

    BUYING = "BUYING"  # reserved, not paid
    BOUGHT = "BOUGHT"  # paid
    OUT_OF_STOCK = "OUT_OF_STOCK"  # paid, and a key is wanted now
    DELIVERED = "DELIVERED"
    CANCELED = "CANCELED"
    RETURNED = "RETURNED"  # unseen, and back in stock
    REFUNDED = "REFUNDED"  # after a complaint
    REVERSED = "REVERSED"  # the payment was taken back
    PROCESSING_PREORDER = "PROCESSING_PREORDER"


# The events that tell of a reservation, and what each says of its status.
EVENTS = {
    "reserve": Status.BUYING,
    "give": Status.BOUGHT,
    "outofstock": Status.OUT_OF_STOCK,
    "delivered": Status.DELIVERED,
    "cancel": Status.CANCELED,
    "returned": Status.RETURNED,
    "refunded": Status.REFUNDED,
    "reversed": Status.REVERSED,
    "processingpreorder": Status.PROCESSING_PREORDER,
}
# Paid, without a key so far.
OWED = frozenset({Status.BOUGHT, Status.OUT_OF_STOCK})


@dataclass(frozen=True, slots=True)
class Handover:
    """One request that carried a code."""

    at: float
    code: str
    media_type: str
    request_id: str | None
    external_id: str | None
    # What it was answered: 201 when the code was taken.
    status: int

    def shown(self) -> dict[str, object]:
        """Return the request as JSON."""
        return {
            "time": iso(self.at),
            "code": self.code,
            "mimeType": self.media_type,
            "requestId": self.request_id,
            "externalId": self.external_id,
            "status": self.status,
        }


@dataclass(slots=True)
class Sale:
    """One key sold, from the reservation on. A record of the ledger."""

    offer_id: str
    product_id: str
    # What the seller receives, in eurocents.
    price: int
    created_at: float
    reservation_id: str = field(default_factory=lambda: secrets.token_hex(12))
    status: Status = Status.BUYING
    history: list[tuple[float, Status]] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    # The code that the customer gets, and under which name Kinguin keeps it.
    code: str | None = None
    stock_id: str | None = None
    external_id: str | None = None
    # Canceled for want of a key: Kinguin takes a fee.
    late: bool = False
    # What happens after the delivery, if anything does.
    afterwards: str | None = None

    @property
    def order_ids(self) -> tuple[str, ...]:
        """What the ledger files it under."""
        return (self.reservation_id,)

    def move(self, status: Status, now: float) -> None:
        """Go on to `status`."""
        self.status = status
        self.history.append((now, status))

    def shown(self) -> dict[str, object]:
        """Return the sale as JSON with its codes: they are what tests compare."""
        return {
            "reservationId": self.reservation_id,
            "offerId": self.offer_id,
            "productId": self.product_id,
            "price": self.price,
            "status": self.status,
            "code": self.code,
            "externalId": self.external_id,
            "late": self.late,
            "handovers": [each.shown() for each in self.handovers],
            "history": [{"time": iso(at), "status": status} for at, status in self.history],
        }
