"""The sandbox's Kinguin, and our adapter that talks to it."""

from collections.abc import AsyncIterator, Callable

import pytest

from bitloot.sealing import KeyPair, Opener, generate_key_pair
from fulfillment.kinguin.market import open_market
from fulfillment.kinguin.ports import KeyMarket
from fulfillment.kinguin.settings import KinguinSettings
from tests.fakes.sandbox import RunningSandbox, running_sandbox

MakeSettings = Callable[..., KinguinSettings]


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
def make_settings(sandbox: RunningSandbox, key_pair: KeyPair) -> MakeSettings:
    def make(**changes: object) -> KinguinSettings:
        known: dict[str, object] = {
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "database_url": "postgresql://127.0.0.1:1/none",
            "kinguin_base_url": f"{sandbox.url}/kinguin",
            "kinguin_auth_url": f"{sandbox.url}/kinguin-id",
            "kinguin_client_id": sandbox.settings.kinguin_client_id,
            "kinguin_client_secret": sandbox.settings.kinguin_client_secret,
            "sealing_public_key": key_pair.public,
        }
        return KinguinSettings.model_validate(known | changes)

    return make


@pytest.fixture
async def market(make_settings: MakeSettings) -> AsyncIterator[KeyMarket]:
    async with open_market(make_settings()) as market:
        yield market
