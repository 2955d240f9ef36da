"""The control plane of the seller's side: customers that buy, pay, cancel and complain."""

from dataclasses import dataclass

from aiohttp import web
from pydantic import ValidationError

from sandbox.faults import EVENTS as ALL_EVENTS
from sandbox.problems import Problem, invalid, json_object
from sandbox.seller.market import Market, NoStockError, Sell
from sandbox.seller.sale import EVENTS


@dataclass(frozen=True, slots=True)
class SellerControl:
    """What tests and people play the customers with."""

    market: Market

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints; README.md has their shapes."""
        return [
            web.post("/_sell", self.sell),
            web.post("/_sell/{id}/{event}", self.happen),
            web.post("/_envoy/{event}", self.send),
            web.delete("/_envoy", self.unsubscribe),
        ]

    async def sell(self, request: web.Request) -> web.Response:
        """Let customers buy keys of one of our offers, and return their reservations."""
        try:
            sales = self.market.sell(Sell.model_validate(await json_object(request)))
        except ValidationError as error:
            raise invalid(error) from error
        except KeyError as error:
            raise Problem(404, "no such offer") from error
        except NoStockError as error:
            raise Problem(409, str(error)) from error
        return web.json_response([each.shown() for each in sales])

    async def happen(self, request: web.Request) -> web.Response:
        """Let an event of a reservation happen, or tell it once more."""
        event, sale = request.match_info["event"], self.market.sales.get(request.match_info["id"])
        if event not in EVENTS:
            raise Problem(404, f"no such event: one of {', '.join(EVENTS)}")
        if sale is None:
            raise Problem(404, "no such reservation")
        self.market.happen(sale, event)
        return web.json_response(sale.shown())

    async def send(self, request: web.Request) -> web.Response:
        """Send any of Envoy's events with the body as it is, such as `offerblocked`."""
        event = request.match_info["event"]
        if event not in ALL_EVENTS["kinguin-seller"]:
            raise Problem(404, f"no such event: one of {', '.join(sorted(ALL_EVENTS['kinguin-seller']))}")
        return web.json_response({"sent": self.market.envoy.send(event, await json_object(request))})

    async def unsubscribe(self, _: web.Request) -> web.Response:
        """Forget the subscription: webhooks go to the ingress again."""
        self.market.envoy.subscription = None
        return web.Response(status=204)
