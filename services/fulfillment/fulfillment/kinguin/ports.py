"""What the kinguin worker needs of a market, whatever its dialect."""

from dataclasses import dataclass
from typing import Protocol

from bitloot.contracts.effects import BuyKey, FetchCodes, GiveReservation, LookUpPurchase
from bitloot.contracts.events import FoundReservation
from bitloot.contracts.sealed import SealedCode
from bitloot.ids import ReservationId


@dataclass(frozen=True, slots=True)
class Placed:
    """A reservation that the market made for us; `given` tells whether it is known to be bought as well."""

    reservation_id: ReservationId
    given: bool
    provider_status: str = ""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The market has the purchase, but not all of its codes yet."""

    provider_status: str = ""


class KeyMarket(Protocol):
    """A market of product keys.

    Every method raises `Transient` when it is known that nothing happened and it may work later, and `Refused`
    for a final no. `buy` and `give` raise `Unknown` when they may have happened. Details name statuses and ids,
    never content.
    """

    async def buy(self, call: BuyKey) -> Placed:
        """Reserve and give at once.

        A reservation that could not be given is returned, not raised: its id must not get lost.
        """
        ...

    async def give(self, call: GiveReservation) -> None:
        """Buy what a reservation holds; one that is bought already is fine."""
        ...

    async def look_up(self, call: LookUpPurchase) -> tuple[FoundReservation, ...]:
        """Return what the market has under exactly our external id.

        Raises `Refused` with cause `CANNOT_ASK` when the market offers no such question.
        """
        ...

    async def fetch(self, call: FetchCodes) -> tuple[SealedCode, ...] | Undelivered:
        """Return exactly `quantity` distinct codes, sealed, in the market's order, or that they are not there yet.

        Raises `Refused` when the purchase was canceled or refunded, or its codes cannot be handed on.
        """
        ...
