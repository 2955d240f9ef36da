"""A market as our calls ask it, over one that sells purchases."""

from bitloot.contracts.effects import BuyKey, FetchCodes, GiveReservation, LookUpPurchase, PurchaseLine, ReturnKeys
from bitloot.contracts.events import FoundReservation
from fulfillment.kinguin.ports import Delivered, Placed, PurchaseMarket, Undelivered
from fulfillment.purchases import WHOLESALE_FROM, Line, Purchase


class CallMarket:
    """A `KeyMarket`: reads what a call wants as a purchase."""

    def __init__(self, market: PurchaseMarket) -> None:
        self._market = market

    async def buy(self, call: BuyKey) -> Placed:
        """See `KeyMarket.buy`."""
        return await self._market.buy(_purchase(call))

    async def give(self, call: GiveReservation) -> None:
        """See `KeyMarket.give`."""
        await self._market.give(call.reservation_id)

    async def look_up(self, call: LookUpPurchase) -> tuple[FoundReservation, ...]:
        """See `KeyMarket.look_up`."""
        return await self._market.look_up(call.external_id)

    async def fetch(self, call: FetchCodes) -> Delivered | Undelivered:
        """See `KeyMarket.fetch`."""
        return await self._market.fetch(_purchase(call), call.reservation_id)

    async def return_keys(self, call: ReturnKeys) -> tuple[str, ...]:
        """See `KeyMarket.return_keys`."""
        return await self._market.return_keys(call.reservation_id)


def _purchase(call: BuyKey | FetchCodes) -> Purchase:
    return Purchase(call.external_id, tuple(_line(line, call.currency) for line in call.lines))


def _line(line: PurchaseLine, currency: str) -> Line:
    is_wholesale = line.offer_id is not None and line.quantity >= WHOLESALE_FROM
    return Line(
        line.item_id, line.product_id, line.quantity, line.unit_price, currency, line.offer_id, wholesale=is_wholesale
    )
