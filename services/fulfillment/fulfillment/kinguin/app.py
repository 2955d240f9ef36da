"""Puts the kinguin worker together: the only place that constructs its parts."""

import asyncio
from contextlib import AsyncExitStack

from bitloot import process
from bitloot.consumer import OrderedConsumer
from bitloot.contracts.topics import KINGUIN_CALLS
from bitloot.health import Health
from bitloot.health import serve as serve_health
from bitloot.incarnation import incarnation
from bitloot.kafka import Producer
from bitloot.ledger import EffectLedger, answers, open_pool
from fulfillment.kinguin.market import open_market
from fulfillment.kinguin.settings import KinguinSettings
from fulfillment.kinguin.worker import KinguinWorker

SERVICE = "kinguin"
GROUP = "kinguin"


async def serve(settings: KinguinSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set. Raises when the process has to end, so that it is started anew."""
    health = Health()
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(settings, client_id=SERVICE))
        producer.register(health)
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        health.register("postgres", answers(pool))
        market = await stack.enter_async_context(open_market(settings))
        ledger = EffectLedger(pool, incarnation(settings.service_instance))
        worker = KinguinWorker(market, ledger, producer, claim_time=settings.claim_time)
        consumer = OrderedConsumer(
            settings,
            group=GROUP,
            topics=[KINGUIN_CALLS],
            handle=worker.handle,
            dead_letters=producer,
            name=SERVICE,
            health=health,
            concurrency=settings.kinguin_concurrency,
        )
        await stack.enter_async_context(serve_health(health, settings.http_host, settings.http_port))
        await process.until(stop, consumer.run(), producer.watch())
