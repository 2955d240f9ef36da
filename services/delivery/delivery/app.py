"""Puts the delivery worker together: the only place that constructs its parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final

import asyncpg

from bitloot import links, process
from bitloot.consumer import OrderedConsumer
from bitloot.contracts.topics import DELIVERIES
from bitloot.health import Health
from bitloot.health import serve as serve_health
from bitloot.ids import OrderId
from bitloot.incarnation import incarnation
from bitloot.kafka import Producer
from bitloot.keyring import Keyring
from bitloot.layout import Layout
from bitloot.ledger import EffectLedger, open_pool
from bitloot.schema import migrated
from bitloot.sealing import Opener
from bitloot.witness import PostgresWitness
from delivery import r2, resend
from delivery.clock import Clock, now
from delivery.emails import PostgresEmails
from delivery.pace import Pace
from delivery.sending import MailPorts, PageLinks
from delivery.settings import WorkerSettings
from delivery.worker import DeliveryWorker, WorkerPorts

SERVICE: Final = "delivery"
GROUP = "delivery"
FIRST_GENERATION = 1
"""The generation of an order's page links, the same as the ingress gives out; raising it revokes the earlier ones."""


@asynccontextmanager
async def open_ports(settings: WorkerSettings, producer: Producer, pool: asyncpg.Pool) -> AsyncIterator[WorkerPorts]:
    """Open the real parts; closed in reverse."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            r2.open_client(settings.r2_endpoint_url, settings.r2_access_key_id, settings.r2_secret_access_key)
        )
        mail_client = await stack.enter_async_context(
            resend.open_client(settings.resend_base_url, settings.resend_api_key)
        )
        storage = r2.R2(client, settings.r2_bucket, link_age=settings.link_age, clock=now)
        pace = Pace(settings.resend_per_second)
        yield WorkerPorts(
            opener=Opener(settings.sealing_private_keys),
            store=storage,
            mail=MailPorts(
                emails=PostgresEmails(pool, former_sender=settings.email_from),
                mailer=resend.Resend(mail_client, pace=pace),
                links=storage,
                page_of=page_links(settings, now),
                clock=now,
                sender=settings.email_from,
            ),
            pace=pace,
            ledger=EffectLedger(pool, incarnation(settings.service_instance)),
            producer=producer,
            clock=now,
        )


def page_links(settings: WorkerSettings, clock: Clock) -> PageLinks:
    """Return what makes links to order pages."""

    def page_of(order: OrderId) -> str:
        expires_at = clock() + timedelta(days=settings.order_link_days)
        token = links.mint(order, FIRST_GENERATION, expires_at, settings.order_link_secrets)
        return f"{settings.public_url}/o/{token}"

    return page_of


async def serve(settings: WorkerSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set. Raises when the process has to end, so that it is started anew."""
    health = Health()
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(settings, client_id=SERVICE))
        producer.register(health)
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        health.register("postgres", migrated(pool))
        Layout(settings, SERVICE).register(health)
        ports = await stack.enter_async_context(open_ports(settings, producer, pool))
        Keyring.of_opener(pool, "orders", Opener(settings.sealing_private_keys)).register(health)
        consumer = OrderedConsumer(
            settings,
            group=GROUP,
            topics=[DELIVERIES],
            handle=DeliveryWorker(ports).handle,
            dead_letters=producer,
            name=SERVICE,
            health=health,
            concurrency=settings.delivery_concurrency,
            witness=PostgresWitness(pool),
        )
        await stack.enter_async_context(serve_health(health, settings.http_host, settings.health_port))
        await process.until(stop, consumer.run(), producer.watch())
