"""The page's HTTP: see it, ask for its status, reveal the keys.

Only the POST reveals. Scanners of mail follow every link with GET and HEAD, so those read and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from bitloot import log, trace
from bitloot.contracts.base import Record
from bitloot.contracts.events import KeysRevealed
from bitloot.contracts.topics import ORDER_EVENTS, Topic
from bitloot.errors import BitLootError, Cause
from bitloot.ids import OrderId, content_id
from bitloot.problem import Problem
from delivery.clock import Clock
from delivery.mail import SignedLink
from delivery.order_page.html import Pages
from delivery.order_page.rate import RevealRate
from delivery.order_page.status import OrderView, present, revealable

_log = log.get(__name__)


class Orders(Protocol):
    """The read model."""

    async def find(self, order_id: OrderId) -> OrderView | None:
        """Return an order, or None where it is not there (yet). Raises `Transient`."""
        ...


class LinkSigner(Protocol):
    """Makes links to stored objects."""

    async def sign(self, object_key: str) -> SignedLink:
        """Return a fresh link to an object. Raises `Transient` or `Refused`."""
        ...


class Events(Protocol):
    """The producer."""

    async def send(self, topic: Topic, key: str, record: Record) -> None:
        """Return once the broker has acknowledged the record. Raises `Transient`."""
        ...


OrderOf = Callable[[str], OrderId]
"""Returns the order that a token opens. Raises `BitLootError` with BAD_LINK or LINK_EXPIRED."""


@dataclass(frozen=True, slots=True)
class PagePorts:
    """What the page needs from outside."""

    orders: Orders
    links: LinkSigner
    events: Events
    order_of: OrderOf
    clock: Clock


class Revealed(BaseModel):
    """The answer of `POST /o/{token}/reveal`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    url: str
    expires_at: datetime


class OrderPage:
    """The handlers of one process."""

    def __init__(self, ports: PagePorts, pages: Pages, rate: RevealRate) -> None:
        self._ports = ports
        self._pages = pages
        self._rate = rate

    def add_routes(self, app: web.Application) -> None:
        """Serve the page, its status, its reveal and its files."""
        app.router.add_get("/o/static/{name}", self._pages.file)
        app.router.add_get("/o/{token}", self.page)
        app.router.add_get("/o/{token}/status", self.status)
        app.router.add_post("/o/{token}/reveal", self.reveal)

    async def page(self, request: web.Request) -> web.Response:
        """Answer with the page, filled in, so that it says the same without its script."""
        order_id = self._order_id(request)
        order = await self._ports.orders.find(order_id)
        return self._pages.order(present(order_id, order), request.match_info["token"])

    async def status(self, request: web.Request) -> web.Response:
        """Answer with `PublicStatus`."""
        order_id = self._order_id(request)
        status = present(order_id, await self._ports.orders.find(order_id))
        return web.json_response(text=status.model_dump_json(by_alias=True))

    async def reveal(self, request: web.Request) -> web.Response:
        """Record that the buyer looks, then answer with a fresh link; a browser's form is sent on to it."""
        order_id = self._order_id(request)
        trace.join(order_id)
        if wait := self._rate.take(order_id):
            raise Problem(429, "Too many at once. Try again in a moment.", headers={"Retry-After": str(wait)})
        order = await self._ports.orders.find(order_id)
        if order is None or order.object_key is None or not revealable(order):
            raise Problem(409, "There is nothing to reveal yet.")
        await self._ports.events.send(ORDER_EVENTS, order_id, self._revealed(order_id))
        link = await self._ports.links.sign(order.object_key)
        _log.info("keys.revealed", order_id=order_id, link_expires_at=link.expires_at)
        if wants_html(request):
            raise web.HTTPSeeOther(link.url)
        return web.json_response(text=Revealed(url=link.url, expires_at=link.expires_at).model_dump_json(by_alias=True))

    def _order_id(self, request: web.Request) -> OrderId:
        try:
            return self._ports.order_of(request.match_info["token"])
        except BitLootError as error:
            if error.cause is Cause.LINK_EXPIRED:
                raise Problem(410, "This link has expired.") from error
            raise Problem(404, "There is no order at this address.") from error

    def _revealed(self, order_id: OrderId) -> KeysRevealed:
        """Return the fact that the keys were revealed, one for each minute.

        A double click, or a repeat after a lost answer, is one event with one id; who comes back later is
        seen again. Nothing more is at stake: only the first one sets `viewed_at`.
        """
        now = self._ports.clock()
        return KeysRevealed(
            event_id=content_id(order_id, "keys.revealed", f"{now:%Y-%m-%dT%H:%MZ}"),
            occurred_at=now,
            order_id=order_id,
        )


def wants_html(request: web.Request) -> bool:
    """Tell whether a browser navigates here, rather than a script asking."""
    return "text/html" in request.headers.get("Accept", "")
