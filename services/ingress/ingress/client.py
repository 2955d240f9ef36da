"""The HTTP client for NOWPayments."""

import httpx

from bitloot import http_client
from ingress.settings import BillingSettings

_AT_ONCE = 100  # httpx's own default


def open_client(settings: BillingSettings) -> httpx.AsyncClient:
    """Return a client with the base address and the key; enter it with `async with`."""
    return http_client.open_client(
        at_once=_AT_ONCE,
        base_url=f"{settings.nowpayments_base_url}/",
        headers={"x-api-key": settings.nowpayments_api_key.get_secret_value(), "user-agent": "BitLoot"},
        timeout=settings.nowpayments_seconds,
    )
