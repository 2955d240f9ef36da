"""A market as the calls of single items ask it, over one that sells purchases of several lines."""

from typing import Final

from bitloot.contracts.effects import BuyKey, FetchCodes, GiveReservation, LookUpPurchase
from bitloot.contracts.events import FoundReservation
from bitloot.contracts.sealed import SealedCode
from bitloot.ids import ProductId
from fulfillment.kinguin.ports import Placed, PurchaseMarket, Undelivered
from fulfillment.purchases import ANY_PRODUCT, Line, Purchase

_NO_CURRENCY: Final = ""  # what was agreed on is of no interest any more once it is bought


class ItemMarket:
    """A `KeyMarket`: each item is a purchase with one line."""

    def __init__(self, market: PurchaseMarket) -> None:
        self._market = market

    async def buy(self, call: BuyKey) -> Placed:
        """See `KeyMarket.buy`."""
        line = Line(call.item_id, call.product_id, call.quantity, call.unit_price, call.currency)
        return await self._market.buy(Purchase(call.external_id, (line,)))

    async def give(self, call: GiveReservation) -> None:
        """See `KeyMarket.give`."""
        await self._market.give(call.reservation_id)

    async def look_up(self, call: LookUpPurchase) -> tuple[FoundReservation, ...]:
        """See `KeyMarket.look_up`."""
        return await self._market.look_up(call.external_id)

    async def fetch(self, call: FetchCodes) -> tuple[SealedCode, ...] | Undelivered:
        """See `KeyMarket.fetch`."""
        line = Line(call.item_id, ProductId(ANY_PRODUCT), call.quantity, None, _NO_CURRENCY)
        fetched = await self._market.fetch(Purchase(call.external_id, (line,)), call.reservation_id)
        return fetched if isinstance(fetched, Undelivered) else fetched.lines[0].codes
