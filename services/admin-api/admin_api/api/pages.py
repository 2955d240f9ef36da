"""What a browser gets: the desk, the documentation, and the OpenAPI document. Nothing comes from elsewhere."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

from admin_api import openapi
from admin_api.api.desk import add_desk, below

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "/docs": ("docs.html", "text/html"),
    "/static/docs.js": ("docs.js", "text/javascript"),
    "/static/pages.css": ("pages.css", "text/css"),
}


def add_pages(app: web.Application, base_path: str = "") -> None:
    """Serve the pages, which need no token: they hold nothing. `base_path`: below it, as their links say."""
    static = files("admin_api.api") / "static"
    for path, (name, content_type) in _FILES.items():
        text = (static / name).read_text(encoding="utf-8")
        page = below(text, base_path) if content_type == "text/html" else text
        app.router.add_get(path, _fixed(page, content_type))
    app.router.add_get("/openapi.json", _fixed(openapi.text(), "application/json"))
    add_desk(app, base_path=base_path)


def _fixed(text: str, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def page(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
        return web.Response(text=text, content_type=content_type, charset="utf-8", headers=headers)

    return page
