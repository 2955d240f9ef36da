"""What happens to our offers: customers reserve, pay, change their minds, get their keys, and complain."""

import asyncio
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from sandbox.background import Background
from sandbox.clock import Clock
from sandbox.dials import ControlModel, Panel, Share
from sandbox.ledger import Ledger
from sandbox.seller.envoy import Envoy
from sandbox.seller.offers import Offer, Stocked
from sandbox.seller.sale import EVENTS, OWED, Sale, Status


class Sell(ControlModel):
    """Body of `POST /_sell`."""

    offer_id: str
    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    # Only reserve; the rest is commanded.
    hold: bool = False
    # Shares: canceled before they are paid; what becomes of delivered keys.
    canceled: Share = 0.0
    returned: Share = 0.0
    refunded: Share = 0.0
    reversed: Share = 0.0
    # The dial when absent.
    seed: int | None = None

    def fates(self, seed: int) -> Iterator[str | None]:
        """Draw for each key how it ends: one of the shares' names, or None."""
        dice = random.Random(seed if self.seed is None else self.seed)  # noqa: S311 - repeatable on purpose
        shares = (
            ("cancel", self.canceled),
            ("returned", self.returned),
            ("refunded", self.refunded),
            ("reversed", self.reversed),
        )
        for _ in range(self.count):
            drawn, fate = dice.random(), None
            for name, share in shares:
                if drawn < share:
                    fate = name
                    break
                drawn -= share
            yield fate


class NoStockError(Exception):
    """Customers cannot buy so many."""


@dataclass(frozen=True, slots=True)
class Market:
    """The customers. Offers and sales live until the process ends."""

    panel: Panel
    ledger: Ledger
    envoy: Envoy
    background: Background
    clock: Clock
    offers: dict[str, Offer] = field(default_factory=dict)
    sales: dict[str, Sale] = field(default_factory=dict)

    def sell(self, wish: Sell) -> list[Sale]:
        """Let customers buy; KeyError for an unknown offer, NoStockError when it has too little to sell."""
        offer = self.offers[wish.offer_id]
        if offer.buyable < wish.count:
            raise NoStockError(f"the offer is {offer.status} and has {offer.buyable} keys to sell")
        return [self._reserve(offer, fate, hold=wish.hold) for fate in wish.fates(self.panel.dials.seed)]

    def _reserve(self, offer: Offer, fate: str | None, *, hold: bool) -> Sale:
        sale = Sale(offer.id, offer.product_id, offer.price, self.clock())
        self.sales[sale.reservation_id] = sale
        self.ledger.sales.append(sale)
        offer.reserved += 1
        sale.move(Status.BUYING, self.clock())
        self.envoy.tell("reserve", sale, offer)
        if fate != "cancel":
            sale.afterwards = fate
        if not hold:
            self.background.spawn(self._go_on(sale, "cancel" if fate == "cancel" else "give"))
        return sale

    async def _go_on(self, sale: Sale, event: str) -> None:
        await asyncio.sleep(self.panel.dials.pay_delay)
        if sale.status is Status.BUYING:
            self.happen(sale, event)

    def happen(self, sale: Sale, event: str) -> None:
        """Let `event` happen if the reservation's status allows it, else tell it once more; and out of turn too."""
        offer = self.offers[sale.offer_id]
        if event == "give" and sale.status is Status.BUYING:
            self._pay(sale, offer)
            return
        owed = sale.status in OWED and sale.code is None
        if (event == "cancel" and (owed or sale.status is Status.BUYING)) or (event == "reversed" and owed):
            offer.reserved -= 1
            sale.move(EVENTS[event], self.clock())
        elif event in ("returned", "refunded", "reversed") and sale.status is Status.DELIVERED:
            sale.move(EVENTS[event], self.clock())
        self.envoy.tell(event, sale, offer)

    def _pay(self, sale: Sale, offer: Offer) -> None:
        sale.move(Status.BOUGHT, self.clock())
        self.envoy.tell("give", sale, offer)
        if offer.uploaded:
            self._hand_over(sale, offer.uploaded.popleft())
            return
        sale.move(Status.OUT_OF_STOCK, self.clock())
        self.envoy.tell("outofstock", sale, offer)
        self.background.spawn(self._expire(sale, offer))

    async def _expire(self, sale: Sale, offer: Offer) -> None:
        await asyncio.sleep(self.panel.dials.dispatch_limit)
        if sale.status in OWED and sale.code is None:
            sale.late = True
            offer.reserved -= 1
            sale.move(Status.CANCELED, self.clock())
            self.envoy.tell("cancel", sale, offer)

    def take(self, offer: Offer, sale: Sale | None, code: str, external_id: str | None) -> Stocked:
        """Take a code: for the shelf, or out of the declared stock for this reservation."""
        stocked = Stocked(secrets.token_hex(12), code, external_id)
        if sale is None:
            offer.uploaded.append(stocked)
        else:
            offer.declared = max(0, offer.declared - 1)
            offer.declared_text = min(offer.declared_text, offer.declared)
            self._hand_over(sale, stocked)
        return stocked

    def _hand_over(self, sale: Sale, stocked: Stocked) -> None:
        """Bind a code to a reservation, for ever; the customer gets it a little later."""
        sale.code, sale.stock_id, sale.external_id = stocked.code, stocked.id, stocked.external_id
        self.offers[sale.offer_id].reserved -= 1
        self.background.spawn(self._deliver(sale))

    async def _deliver(self, sale: Sale) -> None:
        await asyncio.sleep(self.panel.dials.key_delay)
        sale.move(Status.DELIVERED, self.clock())
        self.envoy.tell("delivered", sale, self.offers[sale.offer_id])
        if sale.afterwards is not None:
            self.happen(sale, sale.afterwards)
