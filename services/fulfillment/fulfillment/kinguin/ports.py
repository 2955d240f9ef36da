"""What the kinguin worker needs of a market, whatever its dialect."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from bitloot.contracts.effects import BuyKey, FetchCodes, GiveReservation, LookUpPurchase, ReturnKeys
from bitloot.contracts.events import FoundReservation
from bitloot.contracts.sealed import SealedCode
from bitloot.ids import ItemId, ReservationId
from fulfillment.purchases import Purchase


@dataclass(frozen=True, slots=True)
class Placed:
    """A purchase that the market made for us; `given` tells whether it is known to be bought as well.

    `asked` is what we offered for all of it and `paid` what was really taken, where the market tells, in EUR.
    """

    reservation_id: ReservationId
    given: bool
    provider_status: str = ""
    asked: Decimal | None = None
    paid: Decimal | None = None

    @property
    def overpaid(self) -> Decimal:
        """By how much more was taken than was offered: zero, or a reason for an incident."""
        if self.asked is None or self.paid is None:
            return Decimal(0)
        return max(self.paid - self.asked, Decimal(0))


@dataclass(frozen=True, slots=True)
class LineProgress:
    """How many keys of a line are there, of those that were bought."""

    item_id: ItemId
    delivered: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The market has the purchase, but not all of its codes yet.

    `ask_again_at` is when there is no hope before, such as the release of a pre-order; `lines` tells what is there,
    where the market tells it.
    """

    provider_status: str = ""
    ask_again_at: datetime | None = None
    lines: tuple[LineProgress, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveredLine:
    """All codes of one line, sealed, in the market's order."""

    item_id: ItemId
    codes: tuple[SealedCode, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """All codes of a purchase, line by line in the purchase's order.

    With `never` some lines are short, and what they lack will not come: Kinguin has canceled or refunded it.
    """

    lines: tuple[DeliveredLine, ...]
    never: Literal["", "canceled", "refunded"] = ""


class PurchaseMarket(Protocol):
    """A market of product keys, in which a purchase has one or more lines.

    Every method raises `Transient` when it is known that nothing happened and it may work later, and `Refused`
    for a final no. `buy` and `give` raise `Unknown` when they may have happened. Details name statuses and ids,
    never content.
    """

    async def buy(self, purchase: Purchase) -> Placed:
        """Buy all lines under the purchase's external id.

        A purchase that was made but could not be given is returned, not raised: its id must not get lost.
        """
        ...

    async def give(self, reservation_id: ReservationId) -> None:
        """Buy what a reservation holds; one that is bought already is fine."""
        ...

    async def look_up(self, external_id: str) -> tuple[FoundReservation, ...]:
        """Return all that the market has under exactly our external id.

        Raises `Refused` with cause `CANNOT_ASK` when the market offers no such question.
        """
        ...

    async def fetch(self, purchase: Purchase, reservation_id: ReservationId) -> Delivered | Undelivered:
        """Return the codes of each line, or that they are not all there yet.

        They are exactly as many as were bought, or all that will ever come. Raises `Refused` when the purchase was
        canceled or refunded as a whole, or its codes cannot be handed on.
        """
        ...

    async def return_keys(self, reservation_id: ReservationId) -> tuple[str, ...]:
        """Ask the market to take all keys of a purchase back; return its word for each of them.

        Raises `Refused` where it does not, which is the market's right, or cannot.
        """
        ...


class KeyMarket(Protocol):
    """A market of product keys as our calls ask it. Its methods raise as those of `PurchaseMarket`."""

    async def buy(self, call: BuyKey) -> Placed:
        """See `PurchaseMarket.buy`."""
        ...

    async def give(self, call: GiveReservation) -> None:
        """See `PurchaseMarket.give`."""
        ...

    async def look_up(self, call: LookUpPurchase) -> tuple[FoundReservation, ...]:
        """See `PurchaseMarket.look_up`."""
        ...

    async def fetch(self, call: FetchCodes) -> Delivered | Undelivered:
        """See `PurchaseMarket.fetch`."""
        ...

    async def return_keys(self, call: ReturnKeys) -> tuple[str, ...]:
        """See `PurchaseMarket.return_keys`."""
        ...
