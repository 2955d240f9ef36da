"""Opens the way to Kinguin's seller side, with our credentials and within its limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import httpx

from bitloot.breaker import CircuitBreaker
from bitloot.http_client import open_client
from bitloot.rate_limit import Pace
from fulfillment.kinguin import clock
from fulfillment.kinguin.gateway import Bounds, Gateway
from fulfillment.kinguin.token import TokenSource
from fulfillment.selling.sales_manager import SalesManager
from fulfillment.selling.settings import SellerSettings

_CONNECT_SECONDS = 3.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What keeps calls within limits: Kinguin counts reads and changes apart."""

    reads: Pace
    writes: Pace
    breaker: CircuitBreaker


@asynccontextmanager
async def open_desk(settings: SellerSettings, limits: Limits) -> AsyncIterator[SalesManager]:
    """Connect with the seller account of the settings, which must be whole."""
    seconds = settings.seller_call_seconds
    async with open_client(
        at_once=3 * settings.seller_concurrency + 1,  # three ways with their own slots, and the token
        timeout=httpx.Timeout(connect=_CONNECT_SECONDS, pool=_CONNECT_SECONDS, read=seconds, write=seconds),
    ) as client:
        tokens = TokenSource(
            client,
            _given(settings.kinguin_seller_auth_url),
            _given(settings.kinguin_seller_client_id),
            _given(settings.kinguin_seller_client_secret),
            total=seconds,
        )

        def gateway(base_url: str | None, pace: Pace) -> Gateway:
            bounds = Bounds(
                total=seconds,
                wait=settings.seller_wait_seconds,
                at_once=settings.seller_concurrency,
                pace=pace,
                breaker=limits.breaker,
            )
            return Gateway(client, _given(base_url), tokens, bounds=bounds, clock=clock.now)

        base = settings.kinguin_seller_base_url
        try:
            yield SalesManager(
                reads=gateway(base, limits.reads),
                writes=gateway(base, limits.writes),
                envoy=gateway(settings.kinguin_envoy_base_url, limits.reads),
            )
        finally:
            await tokens.close()


def _given(setting: T | None) -> T:
    """Return a setting that selling needs: `SellerSettings` has seen to it that it is there."""
    if setting is None:
        raise TypeError("selling is not set up")
    return setting
