"""Reads a request's bytes, within limits of size and time."""

import asyncio

from aiohttp import web

from ingress.notification import NotAccepted, Reason

_SECONDS = 10.0  # a sender has its two kilobytes ready


async def read_body(request: web.Request, *, patience: float = _SECONDS) -> bytes:
    """Return the bytes as they came, in `patience` seconds. Raises `NotAccepted` 413, 415 or 408."""
    limit = request.client_max_size
    # A proxy may say it once more; of several, aiohttp undoes the last.
    if any(each.strip().lower() != "identity" for each in request.headers.getall("Content-Encoding", [])):
        raise NotAccepted(415, Reason.MEDIA_TYPE, "A compressed body is not accepted.")
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        if request.content.is_eof():  # it came with its head, as small ones do: nothing to wait for
            return _within(request.content.read_nowait(), limit)
        async with asyncio.timeout(patience):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(limit) from None
    except TimeoutError:
        raise NotAccepted(408, Reason.TOO_SLOW, f"The body did not come within {patience:g} s.") from None


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> NotAccepted:
    return NotAccepted(413, Reason.TOO_LARGE, f"The body has more than {limit} bytes.")
