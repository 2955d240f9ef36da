"""A market over Kinguin's buyer API."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bitloot import log
from bitloot.contracts.events import FoundReservation
from bitloot.errors import Cause, Refused
from bitloot.ids import ProductId, ReservationId
from bitloot.sealing import Sealer
from fulfillment.kinguin.answers import Standing, shown_status
from fulfillment.kinguin.clock import Clock
from fulfillment.kinguin.esa.api import BuyerApi
from fulfillment.kinguin.esa.delivery import assign, judge, undelivered
from fulfillment.kinguin.esa.prices import PricePolicy
from fulfillment.kinguin.ports import Delivered, DeliveredLine, Placed, Undelivered
from fulfillment.purchases import LIMITS, Purchase, split

_PRICED_OUT: Final = frozenset({Cause.OUT_OF_STOCK, Cause.PRICE_CHANGED})

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Quote:
    """What we offer for each product, in EUR for one key, and which of them must be texts."""

    prices: Mapping[ProductId, Decimal]
    text_only: frozenset[ProductId]

    def total(self, purchase: Purchase) -> Decimal:
        return sum((self.prices[line.product_id] * line.quantity for line in purchase.lines), Decimal(0))


class BuyerMarket:
    """A `PurchaseMarket` in which an order is bought the moment it is placed."""

    def __init__(self, api: BuyerApi, sealer: Sealer, policy: PricePolicy, *, clock: Clock) -> None:
        self._api = api
        self._sealer = sealer
        self._policy = policy
        self._clock = clock

    async def buy(self, purchase: Purchase) -> Placed:
        """See `PurchaseMarket.buy`. When the offer has just gone, prices are read once more, within the cap."""
        _check_size(purchase)
        quote = await self._quote(purchase)
        try:
            order = await self._api.place_order(purchase, quote.prices, text_only=quote.text_only)
        except Refused as error:
            if error.cause not in _PRICED_OUT:
                raise
            _log.info("kinguin.priced_again", external_id=purchase.external_id, cause=error.cause)
            quote = await self._quote(purchase)
            order = await self._api.place_order(purchase, quote.prices, text_only=quote.text_only)
        placed = Placed(
            order.order_id,
            # Even one that was canceled at once: its status is told by whoever asks for the codes.
            given=True,
            provider_status=order.status,
            asked=quote.total(purchase),
            paid=order.paid,
        )
        if placed.overpaid:
            _log.warning(
                "kinguin.overpaid", reservation_id=order.order_id, asked=str(placed.asked), paid=str(placed.paid)
            )
        return placed

    async def give(self, reservation_id: ReservationId) -> None:
        """See `PurchaseMarket.give`: there is nothing that is placed and not bought."""

    async def look_up(self, external_id: str) -> tuple[FoundReservation, ...]:
        """See `PurchaseMarket.look_up`."""
        return tuple(
            FoundReservation(
                reservation_id=order.order_id,
                # A refunded one has been bought: it is no reason to buy again, a human must decide.
                given=order.standing is not Standing.CANCELED,
                canceled=order.standing is Standing.CANCELED,
                provider_status=order.status,
            )
            for order in await self._api.search(external_id)
        )

    async def fetch(self, purchase: Purchase, reservation_id: ReservationId) -> Delivered | Undelivered:
        """See `PurchaseMarket.fetch`. Statuses decide; no key is downloaded before all that will come are there."""
        order = await self._api.order(reservation_id, purchase)
        never = judge(order, purchase)
        if never is None:
            return undelivered(order, purchase, self._clock())
        keys = await self._api.keys(reservation_id, sum(line.quantity for line in purchase.lines))
        return Delivered(
            tuple(
                DeliveredLine(line.item_id, tuple(self._sealer.seal(code.content, code.media_type) for code in codes))
                for line, codes in assign(keys, order, purchase, never)
            ),
            never,
        )

    async def return_keys(self, reservation_id: ReservationId) -> tuple[str, ...]:
        """See `PurchaseMarket.return_keys`."""
        return tuple(shown_status(each.status) for each in await self._api.return_keys(reservation_id))

    async def _quote(self, purchase: Purchase) -> _Quote:
        """Read all products side by side. Raises what the first line that cannot be bought raises."""
        for line in purchase.lines:
            self._policy.cap(line)
        answers = await asyncio.gather(
            *(self._api.product(line.product_id) for line in purchase.lines), return_exceptions=True
        )
        prices: dict[ProductId, Decimal] = {}
        text_only = set()
        for line, product in zip(purchase.lines, answers, strict=True):
            if isinstance(product, BaseException):
                raise product
            if product.is_preorder and len(purchase.lines) > 1:
                detail = f"product {line.product_id} is a pre-order, which Kinguin sells in an order of its own"
                raise Refused(Cause.SOLD_ALONE, detail)
            if self._policy.key_type == "text" and not product.is_preorder:
                text_only.add(line.product_id)
            prices[line.product_id] = self._policy.offer_for(line, product)
        return _Quote(prices, frozenset(text_only))


def _check_size(purchase: Purchase) -> None:
    parts = split(purchase.lines, LIMITS["esa"])
    if len(parts) != 1 or len(parts[0]) != len(purchase.lines):
        keys = sum(line.quantity for line in purchase.lines)
        raise Refused(
            Cause.REJECTED, f"{len(purchase.lines)} lines with {keys} keys are too many for one Kinguin order"
        )
