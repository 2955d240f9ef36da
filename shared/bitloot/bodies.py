"""Reads a request's bytes, within limits of size and time."""

import asyncio
from typing import Final, Literal

from aiohttp import web

from bitloot.problem import Problem

PATIENCE_SECONDS: Final = 10.0
"""Whoever sends a body has its few kilobytes ready."""


class NotRead(Problem):
    """The body is not taken: `why` is for metrics, and nothing of the body is in it."""

    def __init__(self, status: int, why: Literal["media_type", "too_large", "too_slow"], detail: str) -> None:
        super().__init__(status, detail)
        self.why = why
        self.detail = detail


async def read_body(request: web.Request, *, most: int | None = None, patience: float = PATIENCE_SECONDS) -> bytes:
    """Return the bytes as they came, in `patience` seconds. Raises `NotRead` 413, 415 or 408.

    `most` bytes are taken, or as many as the application takes of any body.
    """
    limit = request.client_max_size if most is None else min(most, request.client_max_size)
    # A proxy may say it once more; of several, aiohttp undoes the last.
    if any(each.strip().lower() != "identity" for each in request.headers.getall("Content-Encoding", [])):
        raise NotRead(415, "media_type", "A compressed body is not accepted.")
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        if request.content.is_eof():  # it came with its head, as small ones do: nothing to wait for
            return _within(request.content.read_nowait(), limit)
        async with asyncio.timeout(patience):
            return _within(await request.read(), limit)
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(limit) from None
    except TimeoutError:
        raise NotRead(408, "too_slow", f"The body did not come within {patience:g} s.") from None


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> NotRead:
    return NotRead(413, "too_large", f"The body has more than {limit} bytes.")
