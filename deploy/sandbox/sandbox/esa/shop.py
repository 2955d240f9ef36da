"""The calls of ESA: order, search, keys, return, balance. Its rules stand in the modules beside."""

import random
from collections.abc import Callable

from sandbox.background import Background
from sandbox.calls import Answer, Call, Endpoint, Provider
from sandbox.clock import Clock
from sandbox.dials import Panel
from sandbox.esa.account import Account
from sandbox.esa.catalog import Catalog
from sandbox.esa.deliveries import Deliveries
from sandbox.esa.errors import answer, error, located, refused, violation
from sandbox.esa.notices import Notices
from sandbox.esa.orders import Key, KeyStatus, Order, Orders, OrderStatus
from sandbox.esa.placing import Counter
from sandbox.esa.requests import IdName, moment, order_wish, page, whole, yes_or_no
from sandbox.esa.storefront import Storefront
from sandbox.javascript import Json
from sandbox.ledger import Ledger
from sandbox.webhooks import Webhooks

_BASE = "/kinguin-esa"


class Esa:
    """Kinguin's public buyer API, for one store."""

    def __init__(self, panel: Panel, ledger: Ledger, webhooks: Webhooks, background: Background, clock: Clock) -> None:
        self._panel = panel
        self._clock = clock
        self.account = Account(panel, clock)
        self.catalog = Catalog(panel, clock)
        self.orders = Orders()
        self.notices = Notices(panel, webhooks, clock)
        self.deliveries = Deliveries(panel, self.account, self.notices, background, clock)
        self._counter = Counter(panel, self.account, self.catalog, self.orders, ledger, clock)

    def provider(self) -> Provider:
        """Return all that answers for ESA."""
        goods = Storefront(self.account, self.catalog)
        v1, v2 = _BASE + "/v1", _BASE + "/v2"
        endpoints = (
            Endpoint("GET", v1 + "/balance", "balance", self.balance),
            Endpoint("POST", v1 + "/order", "place", self.place_by_number, _external_id),
            Endpoint("POST", v2 + "/order", "place", self.place, _external_id),
            Endpoint("GET", v1 + "/order", "search", self.search, self._searched),
            Endpoint("GET", v1 + "/order/{id}", "order", self.read, self._names),
            Endpoint("GET", v2 + "/order/{id}/keys", "keys", self.keys, self._names),
            Endpoint("POST", v2 + "/order/{id}/keys/return", "return", self.return_keys, self._names),
            Endpoint("GET", v1 + "/products", "products", goods.search),
            Endpoint("GET", v1 + "/products/{id}", "product", goods.by_number),
            Endpoint("GET", v2 + "/products/{id}", "product", goods.by_id),
            Endpoint("GET", v1 + "/regions", "regions", goods.regions),
            Endpoint("GET", v1 + "/platforms", "platforms", goods.platforms),
            Endpoint("GET", v1 + "/genres", "genres", goods.genres),
        )
        return Provider(
            "kinguin-esa", _BASE, endpoints, error, lambda call, refusal: located(call, refusal, self._clock)
        )

    async def balance(self, call: Call) -> Answer:
        """`GET /v1/balance` -> `{balance}`, EUR as a number."""
        self.account.authorize(call)
        return answer(200, {"balance": self.account.balance})

    async def place_by_number(self, call: Call) -> Answer:
        """`POST /v1/order`, products by `kinguinId`."""
        return self._place(call, "kinguinId")

    async def place(self, call: Call) -> Answer:
        """`POST /v2/order`, products by `productId` -> 201 and the order. A repeat is a second order."""
        return self._place(call, "productId")

    def _place(self, call: Call, id_name: IdName) -> Answer:
        self.account.authorize(call, guarded=True)
        order = self._counter.place(order_wish(call, id_name))
        placed = self._shown(order)
        self.deliveries.begin(order)
        for product in {line.product.product_id: line.product for line in order.lines}.values():
            if not product.visible:
                self.notices.product_update(product)
        return answer(201, placed)

    async def read(self, call: Call) -> Answer:
        """`GET /v1/order/{orderId}`."""
        self.account.authorize(call)
        return answer(200, self._shown(self._known(call)))

    async def search(self, call: Call) -> Answer:
        """`GET /v1/order` -> `{results, item_count}`, the newest first; new orders appear after `lookupDelay`."""
        self.account.authorize(call)
        part, test, query = page(call), self._test(call), call.request.query
        candidates = self.orders.candidates(query.get("orderId"), query.get("orderExternalId"))
        found = [each for each in candidates if test(each)]
        return answer(200, {"results": [self._shown(each) for each in part.of(found)], "item_count": len(found)})

    def _test(self, call: Call) -> Callable[[Order], bool]:
        """Return what an order must pass; raises the violation of a filter that cannot be understood."""
        query = call.request.query
        since, until = moment(call, "createdAtFrom"), moment(call, "createdAtTo")
        status, external_id, product_id = query.get("status"), query.get("orderExternalId"), query.get("productId")
        if status is not None and status not in tuple(OrderStatus):
            raise violation("status", "The value you selected is not a valid choice.", status[:100])
        number = whole(call, "kinguinId", 1) if "kinguinId" in query else None
        preorder = yes_or_no(call, "isPreorder")
        searchable = self._clock() - self._panel.dials.lookup_delay

        def test(order: Order) -> bool:
            products = [each.product for each in order.lines]
            return (
                order.created_at <= searchable
                and (since is None or order.created_at >= since)
                and (until is None or order.created_at <= until)
                and status in (None, order.status)
                and external_id in (None, order.external_id)
                and (product_id is None or any(each.product_id == product_id for each in products))
                and (number is None or any(each.kinguin_id == number for each in products))
                and preorder in (None, order.preorder_date is not None)
            )

        return test

    async def keys(self, call: Call) -> Answer:
        """`GET /v2/order/{orderId}/keys` -> an array of what is delivered, without a total. Who reads it claims it."""
        self.account.authorize(call, guarded=True)
        part = page(call)
        delivered = [each for each in self._known(call).keys if each.status is KeyStatus.DELIVERED]
        match self._panel.dials.key_pages:
            case "shuffled":
                random.Random(f"{self._panel.dials.seed}|{part.number}").shuffle(delivered)  # noqa: S311 - repeatable
            case "repeated":
                part = type(part)(1, part.limit)
        read: list[Key] = part.of(delivered)
        for key in read:
            key.claimed = True
        return answer(200, [each.shown() for each in read])

    async def return_keys(self, call: Call) -> Answer:
        """`POST /v2/order/{orderId}/keys/return` -> `[{id, status}]`, as they stand; the return follows."""
        self.account.authorize(call, guarded=True)
        order = self._known(call)
        self.deliveries.ask_return(order)
        return answer(200, [each.told() for each in order.keys])

    def _shown(self, order: Order) -> Json:
        return order.shown(payment_as_text=self._panel.dials.payment_price == "text")

    def _known(self, call: Call) -> Order:
        order_id = call.request.match_info["id"]
        order = self.orders.get(order_id)
        if order is None and order_id.isascii() and order_id.isdigit():
            # The numbers of old; orders have had letters for years.
            raise refused("OrderNotSupported", f'Order "{order_id[:100]}" is not supported.')
        if order is None:
            raise refused("OrderNotFound", f'Order "{order_id[:100]}" not found.')
        return order

    def _names(self, call: Call) -> tuple[str, ...]:
        order = self.orders.get(call.request.match_info["id"])
        return () if order is None else order.names

    def _searched(self, call: Call) -> tuple[str, ...]:
        query = call.request.query
        order = self.orders.get(query.get("orderId", ""))
        named = query.get("orderExternalId")
        return ((named,) if named else ()) + (() if order is None else order.names)


def _external_id(call: Call) -> tuple[str, ...]:
    external_id = call.member("orderExternalId")
    return (external_id,) if external_id else ()
