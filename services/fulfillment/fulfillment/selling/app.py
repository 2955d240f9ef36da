"""Puts the seller worker together: the only place that constructs its parts."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

import asyncpg

from bitloot import log, process
from bitloot.breaker import CircuitBreaker
from bitloot.consumer import OrderedConsumer
from bitloot.contracts.topics import STOCK_CALLS
from bitloot.errors import BitLootError
from bitloot.health import Health
from bitloot.health import serve as serve_health
from bitloot.incarnation import incarnation
from bitloot.kafka import Producer
from bitloot.keyring import Keyring
from bitloot.layout import Layout
from bitloot.ledger import EffectLedger, open_pool
from bitloot.rate_limit import Rate, RateLimit, SharedRow
from bitloot.schema import migrated
from bitloot.sealing import Opener
from bitloot.witness import PostgresWitness
from fulfillment.selling.book import Sales
from fulfillment.selling.desk import Limits, open_desk
from fulfillment.selling.offer_watch import OfferWatch
from fulfillment.selling.sales_manager import SalesManager
from fulfillment.selling.settings import SellerSettings
from fulfillment.selling.stock import Stock
from fulfillment.selling.subscription import subscribe
from fulfillment.selling.worker import SellerWorker

SERVICE: Final = "seller"
GROUP = "seller"
_AGAIN_SECONDS = 10.0

_log = log.get(__name__)


async def serve(settings: SellerSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set. Raises when the process has to end, so that it is started anew."""
    health = Health()
    async with AsyncExitStack() as stack:
        if not settings.selling:
            _log.warning("selling.off", reason="KINGUIN_SELLER_BASE_URL is not set: nothing is sold on Kinguin")
            await stack.enter_async_context(serve_health(health, settings.http_host, settings.health_port))
            await stop.wait()
            return
        producer = await stack.enter_async_context(Producer(settings, client_id=SERVICE))
        producer.register(health)
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        health.register("postgres", migrated(pool))
        Layout(settings, SERVICE).register(health)
        opener = Opener(settings.stock_sealing_private_keys or ())
        Keyring.of_opener(pool, "stock", opener).register(health)
        breaker = CircuitBreaker("kinguin-seller")
        breaker.register(health)
        limits = Limits(
            reads=_limit(pool, f"{settings.account}:reads", settings.seller_reads_per_minute),
            writes=_limit(pool, f"{settings.account}:writes", settings.seller_writes_per_minute),
            breaker=breaker,
        )
        manager = await stack.enter_async_context(open_desk(settings, limits))
        worker = SellerWorker(
            manager,
            Stock(pool),
            opener,
            EffectLedger(pool, incarnation(settings.service_instance), Sales()),
            producer,
            claim_time=settings.claim_time,
        )
        consumer = OrderedConsumer(
            settings,
            group=GROUP,
            topics=[STOCK_CALLS],
            handle=worker.handle,
            dead_letters=producer,
            name=SERVICE,
            health=health,
            concurrency=settings.seller_concurrency,
            witness=PostgresWitness(pool),
        )
        watch = OfferWatch(
            manager,
            pool,
            settings.account,
            every=settings.offers_seconds,
            limit=settings.declared_stock_limit,
            changes=settings.offer_changes,
        )
        await stack.enter_async_context(serve_health(health, settings.http_host, settings.health_port))
        await process.until(stop, consumer.run(), producer.watch(), _watch(settings, manager, watch))


def _limit(pool: asyncpg.Pool, name: str, calls_per_minute: int) -> RateLimit:
    return RateLimit(SharedRow(pool, name, Rate(calls_per_minute, per=60.0)))


async def _watch(settings: SellerSettings, manager: SalesManager, watch: OfferWatch) -> None:
    """Subscribe, however long that takes, then keep offers in line."""
    wanted = settings.subscription
    while wanted is not None:
        try:
            await subscribe(manager, *wanted)
            break
        except BitLootError as error:
            _log.warning("selling.not_subscribed", cause=error.cause, detail=error.detail)
            await asyncio.sleep(_AGAIN_SECONDS)
    await watch.run()
