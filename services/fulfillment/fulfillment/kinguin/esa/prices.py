"""What we offer for a line: what it costs now, and never more than the order allows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from bitloot.errors import Cause, Refused
from fulfillment.kinguin.esa.products import Offer, Product, Stock
from fulfillment.purchases import WHOLESALE_FROM, Line

KeyType = Literal["any", "text"]


@dataclass(frozen=True, slots=True)
class PricePolicy:
    """How much a key may cost.

    `rates` tell what one unit of a currency is in EUR, which is 1; `allowance` is how many percent more than the
    buyer paid a key may cost.
    """

    allowance: Decimal = Decimal(0)
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    key_type: KeyType = "any"

    def offer_for(self, line: Line, product: Product) -> Decimal:
        """Return the price of one key, in EUR, to send with an order.

        Raises `Refused`: `OUT_OF_STOCK` when no offer has enough, `PRICE_CHANGED` when the cheapest that has is above
        the cap, `REJECTED` when the order's currency has no rate.
        """
        cap = self.cap(line)
        price = _price_of_offer(line, product) if line.offer_id is not None else self._cheapest(line, product)
        if price > cap:
            detail = (
                f"{line.quantity} of product {line.product_id} cost {price} EUR each, above the cap of {cap:.2f} EUR"
            )
            raise Refused(Cause.PRICE_CHANGED, detail)
        return price

    def cap(self, line: Line) -> Decimal:
        """Return the most that one key may cost, in EUR. Raises `Refused`."""
        currency = line.currency.lower()
        rate = Decimal(1) if currency == "eur" else self.rates.get(currency)
        if rate is None:
            detail = f"no rate from {currency or 'no currency'} to EUR is set (KINGUIN_EUR_RATES)"
            raise Refused(Cause.REJECTED, detail)
        return line.unit_price * rate * (1 + self.allowance / 100)

    def _cheapest(self, line: Line, product: Product) -> Decimal:
        """Return the price of the cheapest offer with enough keys, or of the cheapest offers together."""

        def has_enough(stock: Stock) -> bool:
            # The type of a pre-order's keys cannot be chosen.
            is_text = self.key_type == "text" and not product.is_preorder
            return (stock.text if is_text else stock.any) >= line.quantity

        prices = [offer.price for offer in product.offers if has_enough(offer.stock)]
        if product.price is not None and has_enough(product.stock):
            prices.append(product.price)
        if not prices:
            detail = f"no offer has {line.quantity} of product {line.product_id}"
            raise Refused(Cause.OUT_OF_STOCK, detail)
        return min(prices)


def _price_of_offer(line: Line, product: Product) -> Decimal:
    offer = next((each for each in product.offers if each.offer_id == line.offer_id), None)
    if offer is None or offer.stock.any < line.quantity:
        detail = f"the offer that was chosen has no {line.quantity} of product {line.product_id}"
        raise Refused(Cause.OUT_OF_STOCK, detail)
    return offer.price if line.quantity < WHOLESALE_FROM else _wholesale_price(line, offer)


def _wholesale_price(line: Line, offer: Offer) -> Decimal:
    reached = [price for begins, price in offer.tiers if begins <= line.quantity]
    if not reached:
        detail = f"the offer that was chosen does not sell {line.quantity} of product {line.product_id} at once"
        raise Refused(Cause.OUT_OF_STOCK, detail)
    return reached[-1]
