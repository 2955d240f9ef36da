"""Puts the payments worker together: the only place that constructs its parts."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from bitloot import process
from bitloot.breaker import CircuitBreaker
from bitloot.consumer import OrderedConsumer
from bitloot.contracts.topics import PAYMENT_CALLS
from bitloot.health import Health
from bitloot.health import serve as serve_health
from bitloot.incarnation import incarnation
from bitloot.kafka import Producer
from bitloot.layout import Layout
from bitloot.ledger import EffectLedger, open_pool
from bitloot.rate_limit import Rate, RateLimit, SharedRow
from bitloot.schema import migrated
from bitloot.witness import PostgresWitness
from ingress.billing import Billing
from ingress.client import open_client
from ingress.gateway import Bounds, Gateway
from ingress.payments.settings import PaymentsSettings
from ingress.payments.worker import PaymentsWorker

SERVICE: Final = "payments"
GROUP = "payments"


async def serve(settings: PaymentsSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set. Raises when the process has to end, so that it is started anew."""
    health = Health()
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(settings, client_id=SERVICE))
        producer.register(health)
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        health.register("postgres", migrated(pool))
        Layout(settings, SERVICE).register(health)
        breaker = CircuitBreaker("nowpayments")
        breaker.register(health)
        limit = RateLimit(SharedRow(pool, settings.account, Rate(settings.nowpayments_calls_per_minute, per=60.0)))
        client = await stack.enter_async_context(open_client(settings))
        bounds = Bounds(settings.nowpayments_seconds, settings.nowpayments_wait_seconds, limit, breaker)
        worker = PaymentsWorker(
            Billing(Gateway(client, bounds, settings.login), settings.addresses),
            EffectLedger(pool, incarnation(settings.service_instance)),
            producer,
            claim_time=settings.claim_time,
        )
        consumer = OrderedConsumer(
            settings,
            group=GROUP,
            topics=[PAYMENT_CALLS],
            handle=worker.handle,
            dead_letters=producer,
            name=SERVICE,
            health=health,
            concurrency=settings.payments_concurrency,
            witness=PostgresWitness(pool),
        )
        await stack.enter_async_context(serve_health(health, settings.http_host, settings.health_port))
        await process.until(stop, consumer.run(), producer.watch())
