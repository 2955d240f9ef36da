"""The HTTP client for NOWPayments."""

import httpx

from ingress.settings import BillingSettings


def open_client(settings: BillingSettings) -> httpx.AsyncClient:
    """Return a client with the base address and the key; enter it with `async with`."""
    return httpx.AsyncClient(
        base_url=f"{settings.nowpayments_base_url}/",
        headers={"x-api-key": settings.nowpayments_api_key.get_secret_value(), "user-agent": "BitLoot"},
        timeout=settings.nowpayments_seconds,
    )
