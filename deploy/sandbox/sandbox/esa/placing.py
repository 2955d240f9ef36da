"""Placing an order: every rule that Kinguin documents, then the charge, then the promise of keys."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sandbox.clock import Clock
from sandbox.dials import Panel
from sandbox.esa.account import Account
from sandbox.esa.catalog import Catalog
from sandbox.esa.errors import refused, violation
from sandbox.esa.goods import RETAIL_MOST, Product, Taken
from sandbox.esa.orders import Key, Line, Order, Orders
from sandbox.esa.requests import LineWish, OrderWish
from sandbox.kinguin import new_key
from sandbox.ledger import Ledger, Purchase
from sandbox.pictures import encoded_picture


@dataclass(frozen=True, slots=True)
class _Choice:
    wish: LineWish
    product: Product
    taken: Sequence[Taken]


@dataclass(frozen=True, slots=True)
class Counter:
    """Where orders are placed. Nothing here waits: an order is placed at once or not at all."""

    panel: Panel
    account: Account
    catalog: Catalog
    orders: Orders
    ledger: Ledger
    clock: Clock

    def place(self, wish: OrderWish) -> Order:
        """Charge and keep the order; raises the refusal of the first rule that it breaks."""
        if wish.external_id and self.panel.dials.external_ids == "refused" and self.orders.named(wish.external_id):
            raise violation("orderExternalId", "This value is already used.", wish.external_id)
        choices = [self._choose(each) for each in wish.lines]
        _check_preorder(choices)
        if not self.panel.dials.billing_address:
            raise refused("OrderFailed", "There was a problem with placing order.")
        order = Order(self.orders.next_number(), wish.external_id, self.clock())
        self.account.charge(sum((t.price * t.quantity for each in choices for t in each.taken), Decimal(0)))
        for choice in choices:
            self._sell(order, choice)
        self.orders.add(order)
        return order

    def _choose(self, wish: LineWish) -> _Choice:
        known = wish.product
        product = self.catalog.find_number(known) if isinstance(known, int) else self.catalog.find(known)
        if product is None:
            raise _unavailable()
        offer = next((each for each in product.offers if each.id == wish.offer_id), None)
        if offer is not None and wish.quantity > RETAIL_MOST and not offer.tiers:
            raise violation(f"{wish.path}.qty", "This value should be less than or equal to 9.", wish.quantity)
        taken = product.pick(wish.quantity, wish.price, text=wish.text_only, offer_id=wish.offer_id)
        if not taken:
            raise _unavailable()
        return _Choice(wish, product, taken)

    def _sell(self, order: Order, choice: _Choice) -> None:
        wish, product = choice.wish, choice.product
        bought_as = product.product_id if isinstance(wish.product, int) else wish.product
        purchase = Purchase(
            order.id, order.names[0], bought_as, wish.quantity, self.clock(), dialect="esa", paid=Decimal(0)
        )
        self.ledger.purchases.append(purchase)
        for taken in choice.taken:
            purchase.paid = (purchase.paid or Decimal(0)) + taken.price * taken.quantity
            key_type = "text" if wish.text_only else None
            line = Line(product, taken.offer, taken.quantity, taken.price, wish.price, key_type, purchase)
            line.keys.extend(self._keys(line, order))
            order.lines.append(line)

    def _keys(self, line: Line, order: Order) -> list[Key]:
        place = f"{self.panel.dials.seed}|{order.names[0]}|{line.offer.id}"
        dice = random.Random(place)  # noqa: S311 - repeatable on purpose
        kinds = [self._kind(line, dice) for _ in range(line.quantity)]
        return [Key(line, kind, _serial(kind)) for kind in kinds]

    def _kind(self, line: Line, dice: random.Random) -> str:
        """Take one key out of the stock, by chance a text or a picture unless the order forces text."""
        dials, offer = self.panel.dials, line.offer
        pictures = offer.qty - offer.text_qty
        share = dials.image_keys or pictures / offer.qty
        as_picture = line.key_type is None and (not offer.text_qty or dice.random() < share)
        # The dial makes pictures of what is stocked as text, too.
        offer.sell_one(text=not as_picture or not pictures)
        return dice.choice(dials.image_types) if as_picture else "text/plain"


def _serial(media_type: str) -> str:
    key = new_key()
    return key if media_type == "text/plain" else encoded_picture(media_type, key)


def _check_preorder(choices: Sequence[_Choice]) -> None:
    preorders = [each for each in choices if each.taken[0].offer.is_preorder]
    if not preorders:
        return
    if len(choices) > 1:
        raise refused("Preorder", "Only one pre-order per order is allowed, and no other products.")
    if any(each.wish.text_only for each in preorders):
        raise refused("Preorder", 'Buying pre-order with specified "keyType" is not allowed.')


def _unavailable() -> Exception:
    return refused("ProductUnavailable", "Unable to find any offer matching order request criteria.")
