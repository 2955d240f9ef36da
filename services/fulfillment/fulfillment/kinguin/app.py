"""Puts the kinguin worker together: the only place that constructs its parts."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Final

import asyncpg

from bitloot import process
from bitloot.breaker import CircuitBreaker
from bitloot.consumer import OrderedConsumer
from bitloot.contracts.topics import KINGUIN_CALLS
from bitloot.health import Health
from bitloot.health import serve as serve_health
from bitloot.incarnation import incarnation
from bitloot.kafka import Producer
from bitloot.keyring import Keyring
from bitloot.layout import Layout
from bitloot.ledger import EffectLedger, open_pool
from bitloot.rate_limit import Rate, RateLimit, SharedRow
from bitloot.schema import migrated
from bitloot.witness import PostgresWitness
from fulfillment.kinguin.call_market import CallMarket
from fulfillment.kinguin.esa.api import BuyerApi
from fulfillment.kinguin.esa.balance import BalancePolicy, BalanceWatch
from fulfillment.kinguin.gateway import Gateway
from fulfillment.kinguin.market import market_over, open_gateway
from fulfillment.kinguin.settings import KinguinSettings
from fulfillment.kinguin.worker import KinguinWorker

SERVICE: Final = "kinguin"
GROUP = "kinguin"


async def serve(settings: KinguinSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set. Raises when the process has to end, so that it is started anew."""
    health = Health()
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(settings, client_id=SERVICE))
        producer.register(health)
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        health.register("postgres", migrated(pool))
        Layout(settings, SERVICE).register(health)
        keyring = Keyring.of_sealer(pool, "orders", settings.sealing_public_key)
        keyring.register(health)
        breaker = CircuitBreaker("kinguin")
        breaker.register(health)
        limit = RateLimit(SharedRow(pool, settings.account, Rate(settings.kinguin_calls_per_minute, per=60.0)))
        gateway = await stack.enter_async_context(open_gateway(settings, pace=limit, breaker=breaker))
        market = CallMarket(market_over(gateway, settings))
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
            witness=PostgresWitness(pool),
        )
        await stack.enter_async_context(serve_health(health, settings.http_host, settings.health_port))
        await process.until(stop, _buy(keyring, consumer), producer.watch(), *_watches(settings, gateway, pool))


async def _buy(keyring: Keyring, consumer: OrderedConsumer) -> None:
    """Spend no money before what is bought can be opened."""
    await keyring.agreed()
    await consumer.run()


def _watches(
    settings: KinguinSettings, gateway: Gateway, pool: asyncpg.Pool
) -> tuple[Coroutine[None, None, None], ...]:
    """Return what runs beside the consumer: only the buyer API tells a balance."""
    if settings.kinguin_dialect != "esa":
        return ()
    policy = BalancePolicy(settings.kinguin_balance_seconds, settings.kinguin_balance_alert)
    return (BalanceWatch(BuyerApi(gateway).balance, pool, settings.account, policy).run(),)
