"""Opens the market that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx

from bitloot.breaker import CircuitBreaker
from bitloot.code_hashes import hasher
from bitloot.http_client import open_client
from bitloot.rate_limit import Pace, Unpaced
from bitloot.sealing import Sealer
from fulfillment.kinguin import clock
from fulfillment.kinguin.call_market import CallMarket
from fulfillment.kinguin.credentials import ApiKey
from fulfillment.kinguin.esa.api import BuyerApi
from fulfillment.kinguin.esa.market import BuyerMarket
from fulfillment.kinguin.esa.prices import PricePolicy
from fulfillment.kinguin.gateway import Bounds, Gateway
from fulfillment.kinguin.ports import KeyMarket, PurchaseMarket
from fulfillment.kinguin.reservations import Reservations
from fulfillment.kinguin.settings import KinguinSettings
from fulfillment.kinguin.token import TokenSource

T = TypeVar("T")


@asynccontextmanager
async def open_market(
    settings: KinguinSettings, *, pace: Pace | None = None, breaker: CircuitBreaker | None = None
) -> AsyncIterator[KeyMarket]:
    """Open the market in the dialect of the settings."""
    async with open_gateway(settings, pace=pace, breaker=breaker) as gateway:
        yield CallMarket(market_over(gateway, settings))


@asynccontextmanager
async def open_gateway(
    settings: KinguinSettings, *, pace: Pace | None = None, breaker: CircuitBreaker | None = None
) -> AsyncIterator[Gateway]:
    """Open the way to Kinguin's API, with our credentials and within our limits."""
    bounds = Bounds(
        total=settings.kinguin_call_seconds,
        wait=settings.kinguin_wait_seconds,
        at_once=settings.kinguin_concurrency,
        pace=pace or Unpaced(),
        breaker=breaker or CircuitBreaker("kinguin"),
    )
    async with _open_client(settings) as client:
        if settings.kinguin_dialect == "esa":
            key = ApiKey(_given(settings.kinguin_api_key))
            yield Gateway(client, settings.kinguin_base_url, key, bounds=bounds, clock=clock.now)
            return
        tokens = TokenSource(
            client,
            _given(settings.kinguin_auth_url),
            _given(settings.kinguin_client_id),
            _given(settings.kinguin_client_secret),
            total=settings.kinguin_call_seconds,
        )
        try:
            yield Gateway(client, settings.kinguin_base_url, tokens, bounds=bounds, clock=clock.now)
        finally:
            await tokens.close()


def market_over(gateway: Gateway, settings: KinguinSettings) -> PurchaseMarket:
    """Return the market in the dialect of the settings."""
    sealer = Sealer(settings.sealing_public_key, hasher(settings.code_hash_keys))
    if settings.kinguin_dialect == "reservations":
        return Reservations(gateway, sealer)
    policy = PricePolicy(settings.kinguin_price_allowance, settings.kinguin_eur_rates, settings.kinguin_key_type)
    return BuyerMarket(BuyerApi(gateway), sealer, policy, clock=clock.now)


def _given(setting: T | None) -> T:
    """Return a setting that the dialect needs: `KinguinSettings` has seen to it that it is there."""
    if setting is None:
        raise TypeError("a setting of another dialect is used")
    return setting


def _open_client(settings: KinguinSettings) -> httpx.AsyncClient:
    total, connect = settings.kinguin_call_seconds, settings.kinguin_connect_seconds
    return open_client(
        at_once=settings.kinguin_concurrency + 1,  # one more than calls, for the token
        timeout=httpx.Timeout(connect=connect, pool=connect, read=total, write=total),
    )
