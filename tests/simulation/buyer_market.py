"""Kinguin's buyer API: its books and answers. The dialect in between is the real one."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fulfillment.kinguin.esa.api import BuyerApi
from fulfillment.kinguin.esa.market import BuyerMarket
from fulfillment.kinguin.esa.prices import PricePolicy
from fulfillment.kinguin.ports import PurchaseMarket
from tests.simulation.market import Kinguin, Market, Purchase
from tests.simulation.schedule import Supply

if TYPE_CHECKING:
    from tests.simulation.processes import Process

_STATUSES = {"given": "processing", "delivered": "completed", "canceled": "canceled", "reversed": "refunded"}
_PRICE = 4


class BuyerKinguin(Kinguin):
    """Orders of several products, bought the moment they are placed."""

    def site(self, method: str, path: str) -> str:
        match path.split("/")[1:]:
            case ["v2", "products", _]:
                return "give"  # it has no other
            case ["v2", "order"] if method == "POST":
                return "reserve"
            case ["v1", "order"]:
                return "lookup"
            case _:
                return "delivered"

    def order_of_call(self, path: str, about: Mapping[str, Any]) -> str | None:
        external: str | None = about.get("orderExternalId")
        if external is None and "/order/" in path:
            external = self.purchases[path.split("/")[3]].external_id
        return None if external is None else external[:36]

    def _answer(
        self, method: str, path: list[str], params: Mapping[str, str], body: Mapping[str, Any]
    ) -> tuple[int, Any]:
        match path:
            case [product] if method == "GET" and product.startswith("product-"):
                stock = {"price": _PRICE, "qty": 1000, "textQty": 1000}
                return 200, {"productId": product, "offers": [{"offerId": "offer", **stock}], **stock}
            case [] if method == "POST":
                return 201, self._place(body)
            case []:
                found = [p for p in self.purchases.values() if p.external_id == params["orderExternalId"]]
                return 200, {"results": [self._told(p) for p in found], "item_count": len(found)}
            case [order, "keys"]:
                return 200, self._keys(self.purchases[order])
            case [order, "keys", "return"]:
                return self._take_back(self.purchases[order])
            case [order]:
                return 200, self._told(self.purchases[order])
            case _:
                raise AssertionError(path)

    def answer(self, method: str, path: str, *about: Any) -> Any:
        return super().answer(method, path.removeprefix("/v1").removeprefix("/v2"), *about)

    def _place(self, body: Mapping[str, Any]) -> dict[str, Any]:
        external = body["orderExternalId"]
        plan = self.world.plan_of(external)
        lines = tuple((line["productId"], line["qty"]) for line in body["products"])
        products = Counter(product for product, _ in lines)
        assert max(products.values()) == 1
        assert len(lines) <= 10
        assert all(quantity <= 9 for _, quantity in lines)
        quantity = sum(each for _, each in lines)
        # What was canceled and bought anew comes whole; so does what is too small to come otherwise.
        anew = any(p.external_id != external and p.external_id[:36] == external[:36] for p in self.purchases.values())
        plain = anew or (plan.supply in {"short", "mended", "repeated", "parts"} and quantity == 1)
        supply: Supply = "whole" if plain else plan.supply
        purchase = Purchase(f"r{len(self.purchases) + 1}", external, quantity, supply, plan.codes_after, lines=lines)
        self.purchases[purchase.id] = purchase
        self._may_end(purchase, "reserve")
        self._give(purchase)
        return self._told(purchase)

    def _end(self, purchase: Purchase, how: str) -> None:
        if purchase.ended is None:
            purchase.ended = how
            self.world.notify(purchase, how)

    def status(self, purchase: Purchase) -> str:
        """Return the status word of an order."""
        now = self.world.loop.time()
        if purchase.ended is None and purchase.supply == "mended" and len(purchase.ready(now)) < purchase.quantity:
            return "processing"
        return _STATUSES[purchase.status(now)]

    def _told(self, purchase: Purchase) -> dict[str, Any]:
        words = iter(self._words(purchase))
        products = [
            {
                "productId": product,
                "qty": quantity,
                "keys": [{"id": f"{purchase.id}-{product}-{n}", "status": next(words)} for n in range(quantity)],
            }
            for product, quantity in purchase.lines
        ]
        return {
            "orderId": purchase.id,
            "orderExternalId": purchase.external_id,
            "status": self.status(purchase),
            "paymentPrice": _PRICE * purchase.quantity,
            "totalQty": purchase.quantity,
            "products": products,
        }

    def _words(self, purchase: Purchase) -> list[str]:
        """Return where each key stands."""
        if purchase.ended is not None:
            return ["CANCELED" if purchase.ended == "cancel" else "REFUNDED"] * purchase.quantity
        there = len(purchase.ready(self.world.loop.time()))
        rest = "CANCELED" if there and purchase.supply == "short" else "PROCESSING"
        return ["DELIVERED"] * there + [rest] * (purchase.quantity - there)

    def _take_back(self, purchase: Purchase) -> tuple[int, Any]:
        if purchase.claimed or purchase.ended is not None:
            return 422, {"kind": "NoKeysToReturn"}
        purchase.returned = True
        self._end(purchase, "reversed")
        return 200, [{"id": f"{purchase.id}-{n}", "status": "RETURNED"} for n in range(purchase.quantity)]

    def _keys(self, purchase: Purchase) -> list[dict[str, Any]]:
        products = [product for product, quantity in purchase.lines for _ in range(quantity)]
        codes = purchase.ready(self.world.loop.time())
        purchase.claimed |= bool(codes)
        return [
            {"id": f"{purchase.id}-{n}", "serial": code, "type": "text/plain", "productId": products[n]}
            for n, code in enumerate(codes)
        ]


class BuyerSide(Market):
    """The real dialect, or one with a planted bug."""

    def over(self, process: "Process", gateway: Any, sealing: Any) -> PurchaseMarket:
        return BuyerMarket(BuyerApi(gateway), sealing, PricePolicy(), clock=process.clock)
