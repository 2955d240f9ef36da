"""A scripted buyer API, and the market that talks to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import pytest

from bitloot.breaker import CircuitBreaker
from bitloot.code_hashes import CodeHasher, generate_key
from bitloot.rate_limit import Pace
from bitloot.sealing import KeyPair, Opener, Sealer, generate_key_pair
from fulfillment.kinguin.esa.api import BuyerApi
from fulfillment.kinguin.esa.market import BuyerMarket
from fulfillment.kinguin.esa.prices import PricePolicy
from fulfillment.kinguin.gateway import Gateway
from fulfillment.kinguin.market import market_over, open_gateway
from fulfillment.kinguin.ports import PurchaseMarket
from fulfillment.kinguin.settings import KinguinSettings
from tests.fakes.time import FakeTime
from tests.unit.kinguin.scripted import Kinguin, scripted_kinguin
from tests.unit.kinguin_esa.buyer import API_KEY

OpenGateway = Callable[..., AbstractAsyncContextManager[Gateway]]

HASH_KEY = generate_key("test")


@pytest.fixture(scope="session")
def key_pair() -> KeyPair:
    return generate_key_pair("test")


@pytest.fixture(scope="session")
def opener(key_pair: KeyPair) -> Opener:
    return Opener([key_pair.private])


@pytest.fixture
async def kinguin() -> AsyncIterator[Kinguin]:
    async with scripted_kinguin() as kinguin:
        yield kinguin


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))


@pytest.fixture
def make_settings(kinguin: Kinguin, key_pair: KeyPair) -> Callable[..., KinguinSettings]:
    def make(**changes: object) -> KinguinSettings:
        known: dict[str, object] = {
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "database_url": "postgresql://127.0.0.1:1/none",
            "kinguin_dialect": "esa",
            "kinguin_base_url": kinguin.esa_url,
            "kinguin_api_key": API_KEY,
            "sealing_public_key": key_pair.public,
            "code_hash_keys": HASH_KEY.get_secret_value(),
        }
        return KinguinSettings.model_validate(known | changes)

    return make


@pytest.fixture
def open_esa(make_settings: Callable[..., KinguinSettings]) -> OpenGateway:
    @asynccontextmanager
    async def open_it(
        pace: Pace | None = None, breaker: CircuitBreaker | None = None, **changes: object
    ) -> AsyncIterator[Gateway]:
        async with open_gateway(make_settings(**changes), pace=pace, breaker=breaker) as gateway:
            yield gateway

    return open_it


@pytest.fixture
async def gateway(open_esa: OpenGateway) -> AsyncIterator[Gateway]:
    async with open_esa() as gateway:
        yield gateway


@pytest.fixture
def api(gateway: Gateway) -> BuyerApi:
    return BuyerApi(gateway)


@pytest.fixture
def market(api: BuyerApi, key_pair: KeyPair, clock: FakeTime) -> PurchaseMarket:
    return BuyerMarket(api, Sealer(key_pair.public, CodeHasher([HASH_KEY])), PricePolicy(), clock=clock)


@pytest.fixture
async def hasty_market(
    open_esa: OpenGateway, make_settings: Callable[..., KinguinSettings]
) -> AsyncIterator[PurchaseMarket]:
    """The same with little patience, for what never answers."""
    async with open_esa(kinguin_connect_seconds=1.9, kinguin_call_seconds=2.0) as gateway:
        yield market_over(gateway, make_settings())
