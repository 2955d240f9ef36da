"""Reads a request's bytes, within limits of size and time."""

from aiohttp import web

from bitloot import bodies
from ingress.notification import NotAccepted, Reason


async def read_body(request: web.Request, *, patience: float = bodies.PATIENCE_SECONDS) -> bytes:
    """Return the bytes as they came, in `patience` seconds. Raises `NotAccepted` 413, 415 or 408."""
    try:
        return await bodies.read_body(request, patience=patience)
    except bodies.NotRead as refusal:
        raise NotAccepted(refusal.status, Reason(refusal.why), refusal.detail) from None
