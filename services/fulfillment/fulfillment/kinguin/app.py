"""Puts the kinguin worker together: the only place that constructs its parts."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg

from bitloot import metrics
from bitloot.consumer import OrderedConsumer
from bitloot.contracts.topics import KINGUIN_CALLS
from bitloot.health import Check, Health
from bitloot.health import serve as serve_health
from bitloot.incarnation import incarnation
from bitloot.kafka import Producer
from bitloot.ledger import EffectLedger, open_pool, translated
from fulfillment.kinguin.market import open_market
from fulfillment.kinguin.settings import KinguinSettings
from fulfillment.kinguin.worker import KinguinWorker

SERVICE = "kinguin"
GROUP = "kinguin"


async def serve(settings: KinguinSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set. Raises when the process has to end, so that it is started anew."""
    metrics.announce(SERVICE)
    health = Health()
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(settings, client_id=SERVICE))
        producer.register(health)
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        health.register("postgres", _answers(pool))
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
        await _until(stop, consumer, producer)


async def _until(stop: asyncio.Event, consumer: OrderedConsumer, producer: Producer) -> None:
    """Run the consumer until `stop` is set, or until it or the producer has failed for good."""
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(consumer.run())
        watching = tasks.create_task(producer.watch())
        stopping = tasks.create_task(stop.wait())
        await asyncio.wait({working, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, watching, stopping):
            task.cancel()


def _answers(pool: asyncpg.Pool) -> Check:
    async def check() -> None:
        with translated():
            await pool.fetchval("select 1")

    return check
