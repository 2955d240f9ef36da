"""Opens the market that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from bitloot.sealing import Sealer
from fulfillment.kinguin import clock
from fulfillment.kinguin.gateway import Gateway
from fulfillment.kinguin.ports import KeyMarket
from fulfillment.kinguin.reservations import Reservations
from fulfillment.kinguin.settings import KinguinSettings
from fulfillment.kinguin.token import TokenSource


@asynccontextmanager
async def open_market(settings: KinguinSettings) -> AsyncIterator[KeyMarket]:
    """Open the market in the dialect of the settings; a second dialect is a second case here."""
    match settings.kinguin_dialect:
        case "reservations":
            async with _open_client(settings) as client:
                tokens = TokenSource(
                    client,
                    settings.kinguin_auth_url,
                    settings.kinguin_client_id,
                    settings.kinguin_client_secret,
                    total=settings.kinguin_call_seconds,
                )
                gateway = Gateway(
                    client,
                    settings.kinguin_base_url,
                    tokens,
                    total=settings.kinguin_call_seconds,
                    clock=clock.now,
                )
                try:
                    yield Reservations(gateway, Sealer(settings.sealing_public_key))
                finally:
                    await tokens.close()


def _open_client(settings: KinguinSettings) -> httpx.AsyncClient:
    total, connect = settings.kinguin_call_seconds, settings.kinguin_connect_seconds
    return httpx.AsyncClient(
        timeout=httpx.Timeout(connect=connect, pool=connect, read=total, write=total),
        # One more than calls, for the token.
        limits=httpx.Limits(max_connections=settings.kinguin_concurrency + 1),
        follow_redirects=False,
        # The environment must not send our credentials through a proxy or replace them from a .netrc.
        trust_env=False,
    )
