"""The page's HTTP: see it, hear of changes, reveal the keys, ask for mails.

Only POST does anything. Scanners of mail follow every link with GET and HEAD, so those read and nothing else.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from bitloot import log, trace
from bitloot.bodies import read_body
from bitloot.contracts.events import KeysRevealed
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.errors import BitLootError, Cause
from bitloot.ids import OrderId, content_id
from bitloot.links import OrderLink
from bitloot.problem import Problem
from bitloot.proxies import Networks, client_address
from delivery.clock import Clock
from delivery.mail import SignedLink
from delivery.order_page.asking import ERASED, Asking, Background, Events, address_of, client_prefix
from delivery.order_page.html import Pages
from delivery.order_page.rate import RevealRate
from delivery.order_page.status import OrderView, present, revealable
from delivery.order_page.watch import AWAY, Watch

REVOKED: Final = "urn:bitloot:problem:link-revoked"
"""The type of the problem that tells a revoked link from an expired one."""
SETTLED: Final = "The order closed so long ago that its address cannot be changed any more. Write to us."
STREAM_FOR: Final = timedelta(minutes=10)
"""After this a page opens a new stream: connections of pages that nobody looks at any more come to an end."""
HEARTBEAT: Final = 15.0  # seconds; proxies close what is silent for a minute
MAX_FORM: Final = 4096  # bytes
MAX_FIELDS: Final = 20

T = TypeVar("T")

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


Opens = Callable[[str], OrderLink]
"""Returns what a token opens. Raises `BitLootError` with BAD_LINK or LINK_EXPIRED."""
Confirms = Callable[[str], tuple[OrderLink, str]]
"""Returns what a confirmation confirms: an order's link and a mail address. Raises the same."""


@dataclass(frozen=True, slots=True)
class PagePorts:
    """What the page needs from outside."""

    orders: Orders
    links: LinkSigner
    events: Events
    opens: Opens
    confirms: Confirms
    asking: Asking
    watch: Watch
    clock: Clock


class _Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Revealed(_Answer):
    """The answer of `POST /o/{token}/reveal`: `url` opens the keys that are texts, each of `pictures` one more key."""

    url: str
    pictures: tuple[str, ...]
    expires_at: datetime


class Done(_Answer):
    """The answer to a wish that was taken."""

    headline: str
    message: str


SENT_AGAIN: Final = Done(headline="The mail is on its way", message="Look into your spam folder, too.")
CONFIRM: Final = Done(
    headline="Look into that mailbox",
    message="We have sent a mail to the new address. It becomes the order's address when you confirm it there.",
)
CONFIRMED: Final = Done(
    headline="Your address is confirmed",
    message="A mail with the new link to your order is on its way to it. Links from before no longer work.",
)
LOST: Final = Done(
    headline="Look into your mailbox",
    message="If this address has orders, a mail with new links to them is on its way. It may take a few minutes.",
)


class OrderPage:
    """The handlers of one process."""

    def __init__(self, ports: PagePorts, pages: Pages, rate: RevealRate, proxies: Networks = ()) -> None:
        """`proxies` are ours: they tell whom a request comes from."""
        self._ports = ports
        self._pages = pages
        self._rate = rate
        self._proxies = proxies
        self._background = Background()

    def add_routes(self, app: web.Application) -> None:
        """Serve the page, its parts and its files."""
        app.router.add_get("/o/static/{name}", self._pages.file)
        app.router.add_get("/o/lost", self.lost_page)
        app.router.add_post("/o/lost", self.lost)
        app.router.add_get("/o/email/{token}", self.confirm_page)
        app.router.add_post("/o/email/{token}", self.confirm)
        app.router.add_get("/o/{token}", self.page)
        app.router.add_get("/o/{token}/status", self.status)
        app.router.add_get("/o/{token}/events", self.stream)
        app.router.add_post("/o/{token}/reveal", self.reveal)
        app.router.add_post("/o/{token}/mail", self.mail)
        app.router.add_post("/o/{token}/email", self.new_address)
        app.on_shutdown.append(self._close)

    async def page(self, request: web.Request) -> web.Response:
        """Answer with the page, filled in, so that it says the same without its script."""
        order_id, order = await self._order(request)
        return self._pages.order(present(order_id, order), request.match_info["token"], uuid.uuid4().hex)

    async def status(self, request: web.Request) -> web.Response:
        """Answer with `PublicStatus`."""
        status = present(*await self._order(request))
        return web.json_response(text=status.model_dump_json(by_alias=True))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Tell the order's version whenever it changes, as server-sent events."""
        order_id, order = await self._order(request)
        if self._ports.watch.is_full:
            raise Problem(503, "Too many pages are open. This one asks by itself.", headers={"Retry-After": "60"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        if request.method == "HEAD":
            return response
        async with self._ports.watch.of(order_id) as queue:
            await response.prepare(request)
            await self._tell(response, queue, order.version if order else 0)
        return response

    async def _tell(self, response: web.StreamResponse, queue: "asyncio.Queue[int | None]", version: int) -> None:
        await response.write(b"retry: 5000\ndata: %d\n\n" % version)
        told, end = version, asyncio.get_running_loop().time() + STREAM_FOR.total_seconds()
        while asyncio.get_running_loop().time() < end:
            try:
                async with asyncio.timeout(HEARTBEAT):
                    while (newest := await queue.get()) == told:
                        pass
            except TimeoutError:
                await response.write(b": still here\n\n")
                continue
            if newest is None:
                return
            told = newest
            # Once it is back the version is told anew, whether or not it is another.
            await response.write(b"event: away\ndata:\n\n" if told == AWAY else b"data: %d\n\n" % told)

    async def reveal(self, request: web.Request) -> web.Response:
        """Record that the buyer looks, then answer with fresh links; a browser's form is sent on to the first."""
        order_id, order = await self._order(request, spend=True)
        trace.join(order_id)
        if order is None or order.object_key is None or not revealable(order):
            raise Problem(409, "There is nothing to reveal.")
        client = self._client(request)
        await self._ports.events.send(ORDER_EVENTS, order_id, self._revealed(order_id, client))
        pictures = [await self._ports.links.sign(each) for each in order.pictures]
        link = await self._ports.links.sign(order.object_key)
        _log.info("keys.revealed", order_id=order_id, client=client, link_expires_at=link.expires_at)
        if wants_html(request):
            raise web.HTTPSeeOther(link.url)
        return _json(Revealed(url=link.url, pictures=tuple(each.url for each in pictures), expires_at=link.expires_at))

    async def mail(self, request: web.Request) -> web.Response:
        """Have the mail sent once more."""
        order_id, order = await self._order(request)
        form = await _form(request)
        if order is None or order.placed_at is None:
            raise Problem(409, "There is nothing to send yet.")
        if order.email is None:
            raise Problem(409, ERASED)
        await self._ports.asking.mail(order_id, order.email, str(form.get("action", "")))
        return self._done(request, SENT_AGAIN)

    async def new_address(self, request: web.Request) -> web.Response:
        """Ask the owner of another mail address whether it is to be the order's."""
        order_id, order = await self._order(request)
        form = await _form(request)
        email = address_of(form.get("email"))
        if order is None or order.placed_at is None:
            raise Problem(409, "The order is not here yet.")
        _check_changes(order)
        await self._ports.asking.new_address(order_id, email, str(form.get("action", "")))
        return self._done(request, CONFIRM)

    async def confirm_page(self, request: web.Request) -> web.Response:
        """Ask for a click: scanners open this address as well."""
        _, email, _ = await self._confirmed(request)
        return self._pages.confirm(request.match_info["token"], email)

    async def confirm(self, request: web.Request) -> web.Response:
        """Make the address the order's."""
        link, email, order = await self._confirmed(request)
        _check_changes(order)
        await self._ports.asking.confirm(link, email, request.match_info["token"])
        return self._done(request, CONFIRMED)

    async def lost_page(self, _request: web.Request) -> web.Response:
        """Ask for a mail address."""
        return self._pages.lost()

    async def lost(self, request: web.Request) -> web.Response:
        """Answer the same for every address, before anybody has looked whether it has orders."""
        email = address_of((await _form(request)).get("email"))
        await self._ports.asking.allow_lost(self._client(request))
        request_id = await self._ports.asking.ask_for_lost(email)
        if request_id is not None and not self._background.is_full:  # else whoever catches up does it
            self._background.start(self._ports.asking.lost(request_id, email))
        return self._done(request, LOST)

    async def _order(self, request: web.Request, *, spend: bool = False) -> tuple[OrderId, OrderView | None]:
        """Return the order that the address opens; `spend`: one reveal of it is counted. Raises `Problem`."""
        link = _opened(self._ports.opens, request.match_info["token"])
        if spend:
            await self._spend(link)
        return link.order_id, await self._behind(link)

    async def _spend(self, link: OrderLink) -> None:
        """Count in this process first: a flood stops here and not at the database.

        Each generation of links by itself: with one that was revoked nobody uses up what its successor may.
        """
        counted = f"{link.order_id}/{link.generation}"
        wait = self._rate.take(counted) or await self._ports.asking.attempts.take(
            f"reveal/{counted}", self._rate.limit, timedelta(seconds=self._rate.window)
        )
        if wait:
            raise Problem(429, "Too many at once. Try again in a moment.", headers={"Retry-After": str(wait)})

    async def _behind(self, link: OrderLink) -> OrderView | None:
        """Return the order behind a link. Raises `Problem` when the link was revoked."""
        order = await self._ports.orders.find(link.order_id)
        if order is not None and link.generation < order.generation:
            raise Problem(410, "This link was replaced by another one.", type_uri=REVOKED)
        return order

    async def _confirmed(self, request: web.Request) -> tuple[OrderLink, str, OrderView | None]:
        link, email = _opened(self._ports.confirms, request.match_info["token"])
        return link, email, await self._behind(link)

    def _client(self, request: web.Request) -> str:
        """Return the network of the buyer's address."""
        forwarded = request.headers.getall("X-Forwarded-For", [])
        return client_prefix(client_address(request.remote or "", forwarded, self._proxies))

    def _revealed(self, order_id: OrderId, client: str) -> KeysRevealed:
        return KeysRevealed(
            event_id=content_id(order_id, "keys.revealed", uuid.uuid4().hex),
            occurred_at=self._ports.clock(),
            order_id=order_id,
            client=client,
        )

    def _done(self, request: web.Request, done: Done) -> web.Response:
        if not wants_html(request):
            return _json(done, 202)
        here = request.path.rstrip("/").rpartition("/")[2]
        back = f"../{request.match_info['token']}" if here in {"mail", "email"} else None
        root = "" if here == "lost" else "../"
        return self._pages.done(done.headline, done.message, root=root, back=back)

    async def _close(self, _app: web.Application) -> None:
        self._ports.watch.close()
        await self._background.end()


def _check_changes(order: OrderView | None) -> None:
    """Raise `Problem` for an order that takes no other address any more."""
    if order is not None and order.left:
        raise Problem(409, SETTLED)


def _opened(opens: Callable[[str], T], token: str) -> T:
    try:
        return opens(token)
    except BitLootError as error:
        if error.cause is Cause.LINK_EXPIRED:
            raise Problem(410, "This link has expired.") from error
        raise Problem(404, "There is no order at this address.") from error


async def _form(request: web.Request) -> Mapping[str, str]:
    """Return the fields of a small form, of several of a name the first. Raises `Problem`."""
    if request.content_type == "application/octet-stream":  # as without a type: there is no form
        return {}
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem(415, "Send a form.")
    body = await read_body(request, most=MAX_FORM)
    try:
        # In UTF-8, whatever its type says: https://url.spec.whatwg.org/#urlencoded-parsing
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise Problem(400, "The form cannot be read.") from None
    return dict(reversed(fields))


def _json(answer: BaseModel, status: int = 200) -> web.Response:
    return web.json_response(text=answer.model_dump_json(by_alias=True), status=status)


def wants_html(request: web.Request) -> bool:
    """Tell whether a browser navigates here, rather than a script asking."""
    return "text/html" in request.headers.get("Accept", "")
