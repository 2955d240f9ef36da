"""The sandbox's seller side, our way to it, and a stock."""

from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from bitloot.breaker import CircuitBreaker
from bitloot.ledger import open_pool
from bitloot.rate_limit import Unpaced
from bitloot.sealing import KeyPair, Opener, Sealer, generate_key_pair
from fulfillment.selling.desk import Limits, open_desk
from fulfillment.selling.sales_manager import SalesManager
from fulfillment.selling.settings import SellerSettings
from fulfillment.selling.stock import Stock
from tests.fakes.sandbox import RunningSandbox, WebhookReceiver, running_sandbox, webhook_receiver

AddCodes = Callable[..., object]


@pytest.fixture(scope="session")
def key_pair() -> KeyPair:
    return generate_key_pair("stock-test")


@pytest.fixture(scope="session")
def opener(key_pair: KeyPair) -> Opener:
    return Opener([key_pair.private])


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def sandbox(receiver: WebhookReceiver) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(receiver.url) as sandbox:
        await sandbox.set(keyDelay=0, webhookAttempts=1)
        yield sandbox


@pytest.fixture
def settings(sandbox: RunningSandbox, key_pair: KeyPair) -> SellerSettings:
    seller = f"{sandbox.url}/kinguin-seller"
    return SellerSettings(
        kafka_bootstrap_servers="127.0.0.1:1",
        database_url="postgresql://127.0.0.1:1/none",
        kinguin_seller_base_url=f"{seller}/sales-manager-api/api/v1",
        kinguin_envoy_base_url=f"{seller}/envoy2/api/v1",
        kinguin_seller_auth_url=f"{sandbox.url}/kinguin-id",
        kinguin_seller_client_id=sandbox.settings.kinguin_client_id,
        kinguin_seller_client_secret=sandbox.settings.kinguin_client_secret,
        stock_sealing_private_keys=(key_pair.private,),
        seller_call_seconds=5,
    )


@pytest.fixture
async def manager(settings: SellerSettings) -> AsyncIterator[SalesManager]:
    async with open_desk(settings, Limits(Unpaced(), Unpaced(), CircuitBreaker("kinguin-seller"))) as manager:
        yield manager


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database) as pool:
        yield pool


@pytest.fixture
def stock(pool: asyncpg.Pool) -> Stock:
    return Stock(pool)


@pytest.fixture
def add_codes(pool: asyncpg.Pool, key_pair: KeyPair) -> AddCodes:
    sealer = Sealer(key_pair.public)

    async def add(*codes: str, product: str = "game-1") -> None:
        await pool.executemany(
            "insert into stock_codes (product_id, code_hash, sealed, import_id) values ($1, $2, $3, 'test')",
            [(product, code.encode(), sealer.seal(code).model_dump()) for code in codes],
        )

    return add
