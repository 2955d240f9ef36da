"""What our HTTP clients have in common."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from bitloot.http_client.transport import AiohttpTransport

__all__ = ["AS_IT_IS", "open_client", "read_within", "retry_after"]

AS_IT_IS = {"Accept-Encoding": "identity"}
"""Asks for a body that is not packed: what is not cannot grow beyond its bound while it is unpacked."""


_LONGEST_WAIT_SECONDS: Final = 86_400.0


class _NoCookies(httpx.Cookies):
    """Keeps none: who asks is in each request, and looking for cookies is a seventh of what a call takes."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave an answer's cookies where they are."""


def open_client(*, at_once: int, **options: Any) -> httpx.AsyncClient:
    """Return a client for those who get our secrets: at most so many calls at once; enter it with `async with`.

    Redirects are not followed: they would lead our credentials elsewhere. Nor does the environment count: it could send
    them through a proxy, or replace them from a .netrc, and nobody would have decided that. Cookies are not kept.
    """
    transport = AiohttpTransport(at_once=at_once)
    client = httpx.AsyncClient(transport=transport, follow_redirects=False, trust_env=False, **options)
    client._cookies = _NoCookies()  # noqa: SLF001 - what is given to it, it copies into cookies of its own
    return client


async def read_within(response: httpx.Response, most: int) -> bytes | None:
    """Return the body, or None when it has more than `most` bytes or is packed in a way that we did not ask for.

    The response is one that is being streamed. Raises httpx's `RequestError` when its body ends early.
    """
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        return None
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Return a `Retry-After` (seconds or a date) in seconds from now, between 0 and a day; None without one."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_WAIT_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), _LONGEST_WAIT_SECONDS)
