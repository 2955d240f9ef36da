"""Renders the page and its error pages, and serves its script, style and icon."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from importlib.resources import files
from typing import Final

import segno
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from bitloot.errors import Transient
from bitloot.problem import Problem
from delivery.order_page.status import PublicStatus

_FILES: Final = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_YEAR = 31_536_000  # seconds

_ERRORS: Final = {
    404: (
        "We cannot find this order",
        "The address is not complete, or not one of ours. Open the link in your mail once more, or copy all of it.",
    ),
    409: ("Not ready yet", "Your keys are not here yet. Go back to your order: the page tells when they are."),
    410: (
        "This link has expired",
        "For your safety, links to orders do not work for ever. Have a new one sent to your mail address.",
    ),
    413: ("That is too much", "Only a mail address fits in here."),
    422: ("This is no mail address", "Look for a typing error, and try again."),
    429: ("One moment, please", "That was often in a short time. Wait a minute, then try again."),
    503: (
        "We will be right back",
        "Something of ours does not answer. Your order is safe. Try again in a moment.",
    ),
}
_REVOKED = (
    "This link no longer works",
    (
        "The links to this order were replaced, because its mail address was changed or somebody asked for it. "
        "Open the link in the newest mail, or have a new one sent to your mail address."
    ),
)
_OTHER_ERROR = ("Something went wrong", "That did not work. Your order is safe. Try again in a moment.")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """Templates and files of the page, read once."""

    def __init__(self, support_email: str | None) -> None:
        """Take the address that buyers may write to, if there is one."""
        folder = files("delivery").joinpath("order_page", "static")
        self._bodies = {name: folder.joinpath(name).read_bytes() for name in _FILES}
        versions = {name: hashlib.sha256(body).hexdigest()[:12] for name, body in self._bodies.items()}
        environment = Environment(
            loader=PackageLoader("delivery", "order_page/templates"),
            autoescape=select_autoescape(("html",)),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {"iso": datetime.isoformat, "clock": _clock}
        environment.globals["asset"] = lambda root, name: f"{root}static/{name}?v={versions[name]}"
        environment.globals["support_email"] = support_email
        self._order = environment.get_template("order.html")
        self._error = environment.get_template("error.html")
        self._lost = environment.get_template("lost.html")
        self._confirm = environment.get_template("confirm.html")

    def order(self, status: PublicStatus, token: str, action: str) -> web.Response:
        """Return the page of an order; `action` names the next click of its forms."""
        code = _code(status.pay.uri) if status.pay else ""
        return _html(self._order.render(root="", token=token, order=status, action=action, code=code))

    def lost(self) -> web.Response:
        """Return the page for those who have lost their link."""
        return _html(self._lost.render(root=""))

    def confirm(self, token: str, email: str) -> web.Response:
        """Return the page that asks for the click which confirms a mail address."""
        return _html(self._confirm.render(root="../", token=token, email=email))

    def done(self, headline: str, message: str, *, root: str, back: str | None) -> web.Response:
        """Return a page that says that a wish was taken."""
        facts = {"root": root, "back": back, "headline": headline, "message": message, "tone": "ready", "lost": False}
        return _html(self._error.render(facts))

    def error(self, problem: Problem, *, root: str, back: str | None) -> web.Response:
        """Return a page that says what went wrong; `back` leads to the order, where there is one."""
        revoked = problem.status == 410 and problem.document["type"] != "about:blank"
        headline, message = _REVOKED if revoked else _ERRORS.get(problem.status, _OTHER_ERROR)
        facts = {"root": root, "back": back, "headline": headline, "message": message, "tone": "ended"}
        response = _html(self._error.render(facts | {"lost": problem.status in {404, 410}}))
        response.set_status(problem.status)
        response.headers.update(problem.headers)
        return response

    async def file(self, request: web.Request) -> web.Response:
        """Answer with a file. Its address changes with its content, so it may be kept for ever."""
        name = request.match_info["name"]
        if name not in _FILES:
            raise web.HTTPNotFound
        return web.Response(
            body=self._bodies[name],
            content_type=_FILES[name],
            charset="utf-8",
            headers={"Cache-Control": f"public, max-age={_YEAR}, immutable"},
        )


def _html(body: str) -> web.Response:
    return web.Response(text=body, content_type="text/html", charset="utf-8")


def _code(text: str) -> Markup:
    """Return a text as a QR code, drawn in SVG: dark on light in both color schemes, or no camera reads it."""
    drawn = segno.make(text, error="m").svg_inline(
        omitsize=True, border=3, dark="#10132b", light="#ffffff", svgclass="code"
    )
    return Markup(drawn)  # noqa: S704 - segno draws it, and the text itself is not in it


def _clock(at: datetime) -> str:
    """Return a time for those without the script, which shows it in the buyer's own time zone."""
    return f"{at:%-d %b %Y, %H:%M} UTC"


def error_pages(
    pages: Pages, wants_html: Callable[[web.Request], bool]
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return a middleware that shows errors as pages to those who look at pages; others get problem documents."""

    @web.middleware
    async def show(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            if not _is_page(request, wants_html):
                raise
            return _page(request, problem)
        except Transient as error:
            if not _is_page(request, wants_html):
                raise
            return _page(request, Problem(503, headers={"Retry-After": str(round(error.retry_after or 5))}))

    def _page(request: web.Request, problem: Problem) -> web.Response:
        # Addresses in the page are relative, so that it works under any path prefix.
        path = request.path.partition("/o/")[2]
        below, token = "/" in path, request.match_info.get("token")
        back = f"../{token}" if below and not path.startswith("email/") and problem.status not in {404, 410} else None
        return pages.error(problem, root="../" if below else "", back=back)

    return show


def _is_page(request: web.Request, wants_html: Callable[[web.Request], bool]) -> bool:
    return "/o/" in request.path and "name" not in request.match_info and wants_html(request)
