"""The calls of a seller: offers, stock, and the subscription of Envoy."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from sandbox.calls import Answer, Call, Endpoint, Provider, Refusal
from sandbox.clock import Clock, iso
from sandbox.dials import Panel
from sandbox.kinguin import error
from sandbox.kinguin_id import Tokens
from sandbox.rate import RateLimit
from sandbox.seller.envoy import Subscription
from sandbox.seller.market import Market
from sandbox.seller.offers import FREE_PRICE_CHANGES, Offer, OfferBody, OfferPatch, OfferStatus
from sandbox.seller.sale import OWED, Handover, Sale

_BASE = "/kinguin-seller"
_SALES = _BASE + "/sales-manager-api/api/v1"
_ENVOY = _BASE + "/envoy2/api/v1"
_LARGEST_KEY = 200 * 1024
_MEDIA_TYPES = ("text/plain", "image/jpeg", "image/png", "image/gif")
_DAY = 24 * 3600
M = TypeVar("M", bound=BaseModel)


class StockBody(BaseModel):
    """`POST /offers/{id}/stock`: one key, for a reservation or for the shelf."""

    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True)

    body: Annotated[str, Field(min_length=1)]
    mime_type: str
    reservation_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    request_id: Annotated[str, Field(min_length=1, max_length=36)] | None = None
    external_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None


class SalesManager:
    """The seller's account."""

    def __init__(self, panel: Panel, market: Market, tokens: Tokens, clock: Clock) -> None:
        self._panel = panel
        self._market = market
        self._tokens = tokens
        self._clock = clock
        self._rate = RateLimit(clock)

    def provider(self) -> Provider:
        """Return all that answers for the seller's side."""
        offer, subscription = _SALES + "/offers/{id}", _ENVOY + "/subscription"
        endpoints = (
            Endpoint("POST", _SALES + "/offers", "create_offer", self.create_offer),
            Endpoint("GET", _SALES + "/offers", "offers", self.list_offers),
            Endpoint("GET", offer, "offer", self.read_offer),
            Endpoint("PATCH", offer, "change_offer", self.change_offer),
            Endpoint("POST", offer + "/stock", "stock", self.add_stock, _reservation),
            Endpoint("POST", subscription, "subscribe", self.subscribe, confidential=True),
            Endpoint("PUT", subscription, "subscribe", self.subscribe, confidential=True),
            Endpoint("GET", subscription, "subscription", self.subscription),
            Endpoint("GET", _ENVOY + "/requests", "history", self.history),
        )
        return Provider("kinguin-seller", _BASE, endpoints, error)

    async def create_offer(self, call: Call) -> Answer:
        """`POST /offers` -> 201."""
        self._authorize(call)
        body = _parsed(OfferBody, call)
        self._check_declared(body.declared_stock, body.declared_text_stock)
        offer = Offer(
            product_id=body.product_id,
            name=body.name or f"Game {body.product_id}",
            price=body.price.amount,
            created_at=self._clock(),
            status=OfferStatus(body.status),
            declared=body.declared_stock,
            declared_text=body.declared_text_stock,
        )
        self._market.offers[offer.id] = offer
        return Answer.of(201, offer.shown())

    async def list_offers(self, call: Call) -> Answer:
        """`GET /offers` -> `{items, total}`."""
        self._authorize(call)
        items = [each.shown() for each in self._market.offers.values()]
        return Answer.of(200, {"items": items, "total": len(items)})

    async def read_offer(self, call: Call) -> Answer:
        """`GET /offers/{id}`."""
        self._authorize(call)
        return Answer.of(200, self._offer(call).shown())

    async def change_offer(self, call: Call) -> Answer:
        """`PATCH /offers/{id}`; the fourth price of a day costs a fee."""
        self._authorize(call)
        offer, patch = self._offer(call), _parsed(OfferPatch, call)
        declared = offer.declared if patch.declared_stock is None else patch.declared_stock
        text = offer.declared_text if patch.declared_text_stock is None else patch.declared_text_stock
        self._check_declared(declared, text)
        offer.declared, offer.declared_text = declared, text
        if patch.status is not None:
            offer.status = OfferStatus(patch.status)
        now = offer.updated_at = self._clock()
        if patch.price is not None and patch.price.amount != offer.price:
            offer.price = patch.price.amount
            offer.price_changes = [*(each for each in offer.price_changes if each > now - _DAY), now]
        fee = len(offer.price_changes) > FREE_PRICE_CHANGES
        return Answer.of(200, {**offer.shown(), "paidPriceChange": fee})

    async def add_stock(self, call: Call) -> Answer:
        """`POST /offers/{id}/stock` -> 201: one code, once, for a paid reservation or for the shelf."""
        self._authorize(call)
        offer, body = self._offer(call), _parsed(StockBody, call)
        sale = None if body.reservation_id is None else self._market.sales.get(body.reservation_id)
        try:
            self._check_stock(offer, body, sale)
        except Refusal as refusal:
            self._record(sale, body, refusal.answer.status)
            raise
        self._record(sale, body, 201)
        stocked = self._market.take(offer, sale, body.body, body.external_id)
        return Answer.of(
            201,
            {
                "id": stocked.id,
                "offerId": offer.id,
                "productId": offer.product_id,
                "reservationId": body.reservation_id,
                "requestId": body.request_id,
                "externalId": body.external_id,
                "mimeType": body.mime_type,
                "createdAt": iso(self._clock()),
            },
        )

    def _check_stock(self, offer: Offer, body: StockBody, sale: Sale | None) -> None:
        if len(body.body.encode()) > _LARGEST_KEY:
            raise Refusal(error(400, detail="body: a key has at most 200 KiB"))
        if body.mime_type not in _MEDIA_TYPES:
            raise Refusal(error(400, detail=f"mimeType: one of {', '.join(_MEDIA_TYPES)}"))
        if body.reservation_id is None:
            return
        if sale is not None and sale.offer_id == offer.id and sale.status in OWED and sale.code is not None:
            raise Refusal(error(409, "ReservationConflict", "the reservation is being processed or has its stock"))
        if sale is None or sale.offer_id != offer.id or sale.status not in OWED:
            raise Refusal(error(400, "InvalidReservation", "the reservation is unknown or was processed already"))

    def _record(self, sale: Sale | None, body: StockBody, status: int) -> None:
        if sale is not None:
            sale.handovers.append(
                Handover(self._clock(), body.body, body.mime_type, body.request_id, body.external_id, status)
            )

    async def subscribe(self, call: Call) -> Answer:
        """`POST .../subscription` makes it, once; `PUT` changes it, for what is told from now on."""
        self._authorize(call)
        envoy = self._market.envoy
        if call.request.method == "POST" and envoy.subscription is not None:
            raise Refusal(error(409, "SubscriptionExists", "the subscription exists: change it"))
        if call.request.method == "PUT" and envoy.subscription is None:
            raise Refusal(error(404, detail="there is no subscription"))
        envoy.subscription = _parsed(Subscription, call)
        return Answer.of(201 if call.request.method == "POST" else 200, envoy.subscription.shown())

    async def subscription(self, call: Call) -> Answer:
        """`GET .../subscription`."""
        self._authorize(call)
        found = self._market.envoy.subscription
        if found is None:
            raise Refusal(error(404, detail="there is no subscription"))
        return Answer.of(200, found.shown())

    async def history(self, call: Call) -> Answer:
        """`GET .../requests?bodyId=` -> what was sent, the newest first."""
        self._authorize(call)
        return Answer.of(200, self._market.envoy.history(call.request.query.get("bodyId")))

    def _check_declared(self, declared: int, text: int) -> None:
        if declared > self._panel.dials.declared_stock_limit:
            raise Refusal(error(400, "MaxDeclaredStock", "Max declared stock has been exceeded"))
        if text > declared:
            raise Refusal(error(400, detail="declaredTextStock: at most declaredStock"))

    def _authorize(self, call: Call) -> None:
        if not self._tokens.lives(call.bearer()):
            raise Refusal(error(401, detail="the token is missing, unknown or has ended"))
        dials, reads = self._panel.dials, call.request.method == "GET"
        limit = dials.seller_read_limit if reads else dials.seller_write_limit
        if wait := self._rate.wait("reads" if reads else "writes", limit):
            raise Refusal(error(429, detail="too many requests").with_headers({"Retry-After": str(wait)}))

    def _offer(self, call: Call) -> Offer:
        offer = self._market.offers.get(call.request.match_info["id"])
        if offer is None:
            raise Refusal(error(404, "OfferNotFound", "no such offer"))
        return offer


def _parsed(model: type[M], call: Call) -> M:
    try:
        # As text, so that strict models take JSON's own types.
        return model.model_validate_json(call.raw)
    except ValidationError as fault:
        first = fault.errors(include_input=False)[0]
        place = "/".join(str(part) for part in first["loc"])
        raise Refusal(error(400, detail=f"{place}: {first['msg']}")) from fault


def _reservation(call: Call) -> tuple[str, ...]:
    found = call.member("reservationId")
    return (found,) if found else ()
