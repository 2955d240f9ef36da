"""The buyer API's calls as typed functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from urllib.parse import quote

from bitloot.errors import Cause, Refused, Transient, Unknown
from bitloot.ids import ProductId, ReservationId
from fulfillment.kinguin.answers import array, bad, check_whole, document, refusal
from fulfillment.kinguin.codes import read_code
from fulfillment.kinguin.esa.delivery import Key
from fulfillment.kinguin.esa.orders import KinguinOrder, check_ours, read_found, read_order
from fulfillment.kinguin.esa.products import Product, read_product
from fulfillment.kinguin.esa.values import identity, listed, money
from fulfillment.kinguin.gateway import Gateway, describe
from fulfillment.kinguin.telemetry import measured
from fulfillment.kinguin.wire import Answer, Json
from fulfillment.purchases import Purchase

PAGE_SIZE: Final = 100
"""The most that the API puts on a page."""

_MAX_FOUND_PAGES: Final = 10  # of orders with one external id of ours: there should be one order


@dataclass(frozen=True, slots=True)
class ReturnedKey:
    """What Kinguin says of a key that was returned; the status may change later on its own."""

    key_id: str
    status: str


class BuyerApi:
    """Kinguin's buyer API. Methods raise as those of `PurchaseMarket`."""

    def __init__(self, gateway: Gateway, *, page_size: int = PAGE_SIZE) -> None:
        self._gateway = gateway
        self._page_size = page_size

    async def place_order(
        self, purchase: Purchase, prices: Mapping[ProductId, Decimal], *, text_only: frozenset[ProductId] = frozenset()
    ) -> KinguinOrder:
        """Buy all lines of a purchase, offering `prices` (EUR for one key, by product)."""
        products: list[Json] = []
        for line in purchase.lines:
            product: dict[str, Json] = {
                "productId": line.product_id,
                "qty": line.quantity,
                "price": prices[line.product_id],
            }
            if line.offer_id is not None:
                product["offerId"] = line.offer_id
            if line.product_id in text_only:
                product["keyType"] = "text"
            products.append(product)
        with measured("place_order"):
            body: Json = {"products": products, "orderExternalId": purchase.external_id}
            answer = await self._gateway.call("POST", "/v2/order", body=body)
            if _is_known_already(answer):
                raise Unknown(Cause.CONFLICT, f"{describe(answer)}: there is an order with our external id")
            # The products were on sale in the shop: where the market does not find one, no offer is left.
            order = read_order(answer, document(_accepted(answer, not_found=Cause.OUT_OF_STOCK)))
            check_ours(answer, order, purchase)
            return order

    async def order(self, order_id: ReservationId, purchase: Purchase) -> KinguinOrder:
        """Return an order of ours. One that is not found may be too young: that is `Transient`."""
        with measured("order"):
            answer = await self._gateway.call("GET", f"/v1/order/{quote(order_id, safe='')}")
            order = read_order(answer, document(_found_later(answer)))
            if order.order_id != order_id:
                raise bad(answer, "it is another order")
            check_ours(answer, order, purchase)
            return order

    async def search(self, external_id: str) -> tuple[KinguinOrder, ...]:
        """Return all orders with exactly this external id. How soon a new one is found is not promised."""
        found: dict[str, KinguinOrder] = {}
        with measured("search"):
            for page in range(1, _MAX_FOUND_PAGES + 1):
                params = self._page(page) | {"orderExternalId": external_id}
                answer = await self._gateway.call("GET", "/v1/order", params=params)
                members = document(_accepted(answer))
                results = listed(members.get("results"))
                if results is None:
                    raise bad(answer, "it has no list of results")
                for order in (read_found(answer, each) for each in results):
                    if not order.external_id.startswith(external_id):
                        # Longer ones may be found too; with any other the search did not do what it was asked for.
                        raise bad(answer, "an order's orderExternalId is not the one that was asked for")
                    if found.setdefault(order.order_id, order) is not order:
                        raise bad(answer, "an order is there twice")
                if len(results) < self._page_size:
                    check_whole(answer, members.get("item_count"), len(found))
                    return tuple(order for order in found.values() if order.external_id == external_id)
            raise bad(answer, "the orders do not end")

    async def keys(self, order_id: ReservationId, expected: int) -> tuple[Key, ...]:
        """Return the keys of an order, all different by id; pages are read until one is short."""
        keys: dict[str, Key] = {}
        with measured("keys"):
            path = f"/v2/order/{quote(order_id, safe='')}/keys"
            for page in range(1, expected // self._page_size + 3):
                answer = await self._gateway.call("GET", path, params=self._page(page))
                entries = array(_found_later(answer))
                for entry in entries:
                    key = _read_key(answer, entry, len(keys) + 1)
                    if keys.setdefault(key.key_id, key) is not key:
                        raise bad(answer, "a key is there twice, or a page repeats")
                if len(entries) < self._page_size:
                    return tuple(keys.values())
            raise Refused(Cause.QUANTITY_MISMATCH, f"more than {len(keys)} keys came for {expected}")

    async def return_keys(self, order_id: ReservationId) -> tuple[ReturnedKey, ...]:
        """Ask for the money back: once per order, within 24 hours, before a key was downloaded."""
        with measured("return_keys"):
            answer = await self._gateway.call("POST", f"/v2/order/{quote(order_id, safe='')}/keys/return")
            entries = listed(array(_accepted(answer)))
            if entries is None:
                raise bad(answer, "its entries are no keys")
            return tuple(_read_returned(answer, each) for each in entries)

    async def balance(self) -> Decimal:
        """Return what is left on our account, in EUR."""
        with measured("balance"):
            answer = await self._gateway.call("GET", "/v1/balance")
            balance = money(document(_accepted(answer)).get("balance"))
            if balance is None:
                raise bad(answer, "it tells no balance")
            return balance

    async def product(self, product_id: ProductId) -> Product:
        """Return a product with its offers. Raises `Refused(OUT_OF_STOCK)` when it is unknown or has none."""
        with measured("product"):
            answer = await self._gateway.call("GET", f"/v2/products/{quote(product_id, safe='')}")
            product = read_product(answer, document(_accepted(answer, not_found=Cause.OUT_OF_STOCK)))
            if product.product_id != product_id:
                raise bad(answer, "it is another product")
            return product

    def _page(self, page: int) -> dict[str, str]:
        return {"page": str(page), "limit": str(self._page_size)}


def _accepted(answer: Answer, *, not_found: Cause = Cause.NOT_FOUND) -> Answer:
    if answer.status >= 400:
        raise refusal(answer, not_found=not_found)
    return answer


def _is_known_already(answer: Answer) -> bool:
    """Tell whether an order was refused for its external id: whether it has to be unique is not documented."""
    members = answer.document if isinstance(answer.document, dict) else {}
    return answer.status >= 400 and members.get("propertyPath") == "orderExternalId"


def _found_later(answer: Answer) -> Answer:
    """Let through what was accepted; what is not found will be, or a few tries later a human must look."""
    try:
        return _accepted(answer)
    except Refused as error:
        if error.cause is not Cause.NOT_FOUND:
            raise
        raise Transient(error.cause, error.detail) from None


def _read_key(answer: Answer, entry: Json, number: int) -> Key:
    if not isinstance(entry, dict):
        raise bad(answer, f"key {number} is not an object")
    key_id, product_id = identity(entry.get("id")), identity(entry.get("productId"))
    if key_id is None or product_id is None:
        raise bad(answer, f"key {number} has no usable id or productId")
    if not isinstance(entry.get("serial"), str):
        raise Refused(Cause.BAD_CODES, f"key {number} has no serial")
    return Key(key_id, product_id, identity(entry.get("offerId")) or "", read_code(entry, f"key {number}"))


def _read_returned(answer: Answer, members: dict[str, Json]) -> ReturnedKey:
    key_id, status = identity(members.get("id")), members.get("status")
    if key_id is None or not isinstance(status, str):
        raise bad(answer, "a returned key has no id or status")
    return ReturnedKey(key_id, status[:40])
