"""What our HTTP clients have in common."""

from typing import Any

import httpx

from bitloot.http_client.transport import AiohttpTransport

__all__ = ["open_client"]


def open_client(*, at_once: int, **options: Any) -> httpx.AsyncClient:
    """Return a client for those who get our secrets: at most so many calls at once; enter it with `async with`.

    Redirects are not followed: they would lead our credentials elsewhere. Nor does the environment count: it could send
    them through a proxy, or replace them from a .netrc, and nobody would have decided that.
    """
    transport = AiohttpTransport(at_once=at_once)
    return httpx.AsyncClient(transport=transport, follow_redirects=False, trust_env=False, **options)
