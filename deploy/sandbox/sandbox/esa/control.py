"""The control plane of ESA: the balance, what is for sale, and what becomes of an order."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import Field, ValidationError

from sandbox.dials import ControlModel
from sandbox.esa.catalog import ProductWish
from sandbox.esa.orders import Order
from sandbox.esa.shop import Esa
from sandbox.javascript import Json, stringify
from sandbox.problems import Problem, invalid, json_object

# Between the smallest coin and more than anybody has.
Euros = Annotated[Decimal, Field(ge=0, le=1_000_000_000, decimal_places=2)]
M = TypeVar("M", bound=ControlModel)


class _Balance(ControlModel):
    balance: Euros


class _TopUp(ControlModel):
    add: Euros


class _Tell(ControlModel):
    """What to tell about an order instead of the truth; `updatedAt` as written."""

    status: str | None = None
    updated_at: str | None = None


@dataclass(frozen=True, slots=True)
class EsaControl:
    """What tests and people steer ESA with."""

    esa: Esa

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints; README.md has their shapes."""
        return [
            web.get("/_balance", self.read_balance),
            web.put("/_balance", self.set_balance),
            web.post("/_balance", self.top_up),
            web.get("/_products/{id}", self.read_product),
            web.put("/_products/{id}", self.put_product),
            web.delete("/_products/{id}", self.delete_product),
            web.get("/_esa", self.read_endpoint),
            web.post("/_esa/enable", self.enable),
            web.post("/_esa/probe", self.probe),
            web.post("/_esa/{id}/{event}", self.order_event),
        ]

    async def read_balance(self, _: web.Request) -> web.Response:
        """Return `{balance}`, EUR."""
        return _json({"balance": self.esa.account.balance})

    async def set_balance(self, request: web.Request) -> web.Response:
        """Set the balance to so many EUR."""
        self.esa.account.balance = (await _body(_Balance, request)).balance
        return await self.read_balance(request)

    async def top_up(self, request: web.Request) -> web.Response:
        """Add so many EUR, as a bank transfer does."""
        self.esa.account.balance += (await _body(_TopUp, request)).add
        return await self.read_balance(request)

    async def read_product(self, request: web.Request) -> web.Response:
        """Return the product with what is left of it, also when it is out of stock."""
        product = self.esa.catalog.find(request.match_info["id"])
        if product is None:
            raise Problem(404, "no such product")
        return _json(product.shown())

    async def put_product(self, request: web.Request) -> web.Response:
        """Replace the product and all its offers, and say so by `product.update`: prices and stock change so."""
        return self._put(request, await _body(ProductWish, request))

    async def delete_product(self, request: web.Request) -> web.Response:
        """Take all offers away: from now on it is a 404, and cannot be ordered."""
        self._put(request, ProductWish())
        return web.Response(status=204)

    def _put(self, request: web.Request, wish: ProductWish) -> web.Response:
        product = self.esa.catalog.put(request.match_info["id"], wish)
        self.esa.notices.product_update(product)
        return _json(product.shown())

    async def order_event(self, request: web.Request) -> web.Response:
        """Deliver, cancel or refund an order now, or tell its status (or what the body says) once more."""
        order, event = self._order(request.match_info["id"]), request.match_info["event"]
        if event == "status":
            told = await _body(_Tell, request)
            self.esa.notices.order_status(order, told.status, told.updated_at)
        elif event in ("deliver", "cancel", "refund"):
            deliveries = self.esa.deliveries
            {"deliver": deliveries.deliver, "cancel": deliveries.cancel, "refund": deliveries.refund}[event](order)
        else:
            raise Problem(404, "no such event: deliver, cancel, refund or status")
        return _json(order.shown(payment_as_text=False))

    async def read_endpoint(self, _: web.Request) -> web.Response:
        """Return whether webhooks are sent: `{disabled, failures}`."""
        notices = self.esa.notices
        return _json({"disabled": notices.disabled, "failures": notices.failures})

    async def enable(self, request: web.Request) -> web.Response:
        """Switch the endpoint on again, as somebody does in the dashboard."""
        self.esa.notices.failures = 0
        return await self.read_endpoint(request)

    async def probe(self, _: web.Request) -> web.Response:
        """Press "test URL" in the dashboard, and return the ingress's answer."""
        outcome = await self.esa.notices.probe()
        return _json({"status": outcome.status, "body": outcome.body, "error": outcome.error})

    def _order(self, name: str) -> Order:
        """Find an order by its id, or the newest with this external id."""
        order = self.esa.orders.get(name) or next(reversed(self.esa.orders.named(name)), None)
        if order is None:
            raise Problem(404, "no such order")
        return order


async def _body(model: type[M], request: web.Request) -> M:
    try:
        return model.model_validate(await json_object(request))
    except ValidationError as error:
        raise invalid(error) from error


def _json(content: Json) -> web.Response:
    return web.Response(text=stringify(content), content_type="application/json")
