"""Headers that keep the page to itself, beside those that every service of ours sends."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def origin(url: str) -> str:
    """Return scheme, host and port of an address, as a content security policy names a source."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def security_headers(storage_url: str) -> Signal:
    """Return a signal that adds the headers to every answer; `storage_url` is where keys are read from."""
    storage = origin(storage_url)
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' {storage}",  # keys that are pictures
        "connect-src": f"'self' {storage}",  # the script reads the keys there
        "form-action": f"'self' {storage}",  # without the script, the form is redirected there
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "X-Robots-Tag": "noindex, nofollow, noarchive",
    }

    async def add(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)

    return add
