"""The sandbox's buyer API, and our market that talks to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from bitloot.rate_limit import Pace
from bitloot.sealing import KeyPair, Opener, generate_key_pair
from fulfillment.kinguin.market import market_over, open_gateway
from fulfillment.kinguin.ports import PurchaseMarket
from fulfillment.kinguin.settings import KinguinSettings
from tests.fakes.sandbox import RunningSandbox, running_sandbox

OpenMarket = Callable[..., AbstractAsyncContextManager[PurchaseMarket]]


@pytest.fixture(scope="session")
def key_pair() -> KeyPair:
    return generate_key_pair("test")


@pytest.fixture(scope="session")
def opener(key_pair: KeyPair) -> Opener:
    return Opener([key_pair.private])


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox() as sandbox:
        await sandbox.set(keyDelay=0, webhookAttempts=1)
        yield sandbox


@pytest.fixture
def make_settings(sandbox: RunningSandbox, key_pair: KeyPair) -> Callable[..., KinguinSettings]:
    def make(**changes: object) -> KinguinSettings:
        known: dict[str, object] = {
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "database_url": "postgresql://127.0.0.1:1/none",
            "kinguin_dialect": "esa",
            "kinguin_base_url": f"{sandbox.url}/kinguin-esa",
            "kinguin_api_key": sandbox.settings.kinguin_api_key,
            "sealing_public_key": key_pair.public,
        }
        return KinguinSettings.model_validate(known | changes)

    return make


@pytest.fixture
def open_esa(make_settings: Callable[..., KinguinSettings]) -> OpenMarket:
    @asynccontextmanager
    async def open_it(pace: Pace | None = None, **changes: object) -> AsyncIterator[PurchaseMarket]:
        settings = make_settings(**changes)
        async with open_gateway(settings, pace=pace) as gateway:
            yield market_over(gateway, settings)

    return open_it


@pytest.fixture
async def market(open_esa: OpenMarket) -> AsyncIterator[PurchaseMarket]:
    async with open_esa() as market:
        yield market
