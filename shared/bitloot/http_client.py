"""What our HTTP clients have in common."""

from typing import Any, Final

import httpx

_KEPT: Final = 10


def _connections(at_once: int) -> httpx.Limits:
    """Return limits for so many connections at once, of which only a few are kept while nothing goes over them.

    httpcore asks the system about each idle connection before and after every call (`has_expired`): with 64 of them
    that was half of what the kinguin worker did. What is opened anew is opened only where more calls than that come
    together.
    """
    return httpx.Limits(max_connections=at_once, max_keepalive_connections=min(at_once, _KEPT))


def open_client(*, at_once: int, **options: Any) -> httpx.AsyncClient:
    """Return a client for those who get our secrets: at most so many calls at once; enter it with `async with`.

    Redirects are not followed: they would lead our credentials elsewhere. Nor does the environment count: it could send
    them through a proxy, or replace them from a .netrc, and nobody would have decided that.
    """
    return httpx.AsyncClient(limits=_connections(at_once), follow_redirects=False, trust_env=False, **options)
