"""A scripted Kinguin, and the adapter that talks to it."""

from collections.abc import AsyncIterator, Callable

import pytest

from bitloot.code_hashes import generate_key
from bitloot.sealing import KeyPair, Opener, generate_key_pair
from fulfillment.kinguin.market import open_market
from fulfillment.kinguin.ports import KeyMarket
from fulfillment.kinguin.settings import KinguinSettings
from tests.unit.kinguin.samples import look_up
from tests.unit.kinguin.scripted import SECRET, Kinguin, Says, scripted_kinguin

MakeSettings = Callable[..., KinguinSettings]

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
def make_settings(kinguin: Kinguin, key_pair: KeyPair) -> MakeSettings:
    def make(**changes: object) -> KinguinSettings:
        known: dict[str, object] = {
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "database_url": "postgresql://127.0.0.1:1/none",
            "kinguin_base_url": kinguin.base_url,
            "kinguin_auth_url": kinguin.auth_url,
            "kinguin_client_id": "bitloot",
            "kinguin_client_secret": SECRET,
            "sealing_public_key": key_pair.public,
            "code_hash_keys": HASH_KEY.get_secret_value(),
        }
        return KinguinSettings.model_validate(known | changes)

    return make


@pytest.fixture
async def market(make_settings: MakeSettings) -> AsyncIterator[KeyMarket]:
    async with open_market(make_settings()) as market:
        yield market


@pytest.fixture
async def hasty_market(kinguin: Kinguin, make_settings: MakeSettings) -> AsyncIterator[KeyMarket]:
    """The same with little patience, for what never answers; it has its token and a connection already."""
    async with open_market(make_settings(kinguin_connect_seconds=2.9, kinguin_call_seconds=3.0)) as market:
        kinguin.script("lookup", Says(200, {"items": []}))
        await market.look_up(look_up())
        yield market
