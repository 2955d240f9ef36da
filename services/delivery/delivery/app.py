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
from bitloot.rate_limit import RateLimit, SharedRow
from bitloot.schema import migrated
from bitloot.sealing import Opener
from bitloot.witness import PostgresWitness
from delivery import r2, resend, smtp
from delivery.clock import Clock, now
from delivery.emails import PostgresEmails
from delivery.pace import Pace, SharedPace, shared_rate
from delivery.retention import Sweeper
from delivery.sending import Confirmations, Mailer, MailPorts, PageLinks
from delivery.settings import WorkerSettings
from delivery.worker import DeliveryWorker, WorkerPorts

SERVICE: Final = "delivery"
GROUP = "delivery"
CONFIRM_WITHIN = timedelta(days=1)
"""How long a new mail address may be confirmed."""
LIMIT = "emails"
"""The name of the rate that all workers share."""


@asynccontextmanager
async def open_ports(settings: WorkerSettings, producer: Producer, pool: asyncpg.Pool) -> AsyncIterator[WorkerPorts]:
    """Open the real parts; closed in reverse."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(r2.open_client())
        storage = r2.R2(client, settings.bucket(), link_age=settings.link_lifetime, clock=now)
        pace = Pace(settings.emails_per_second)
        shared = RateLimit(SharedRow(pool, LIMIT, shared_rate(settings.emails_per_second)))
        mailer = await stack.enter_async_context(open_mailer(settings, pace, shared))
        emails = PostgresEmails(pool, former_sender=settings.email_from)
        yield WorkerPorts(
            opener=Opener(settings.sealing_private_keys),
            store=storage,
            sweeping=storage,
            mail=MailPorts(
                emails=emails,
                mailer=mailer,
                links=storage,
                page_of=page_links(settings, now),
                confirmation_of=confirmations(settings, now),
                orders=emails,
                clock=now,
                sender=settings.email_from,
                direct_link=settings.email_direct_link,
            ),
            pace=SharedPace(pace, shared),
            ledger=EffectLedger(pool, incarnation(settings.service_instance)),
            producer=producer,
            clock=now,
        )


@asynccontextmanager
async def open_mailer(settings: WorkerSettings, pace: Pace, shared: RateLimit) -> AsyncIterator[Mailer]:
    """Open the way to the mail provider that is set."""
    if settings.smtp_url is not None and settings.email_provider == "smtp":
        yield smtp.Smtp(smtp.server_of(settings.smtp_url))
    elif settings.resend_api_key is not None:
        async with resend.open_client(settings.resend_base_url, settings.resend_api_key) as client:
            yield resend.Resend(client, pace=pace, shared=shared)
    else:  # pragma: no cover - the settings see to it
        raise RuntimeError("no mail provider is set")


def page_links(settings: WorkerSettings, clock: Clock) -> PageLinks:
    """Return what makes links to order pages."""

    def page_of(order: OrderId, generation: int) -> str:
        expires_at = clock() + timedelta(days=settings.order_link_days)
        token = links.mint(order, generation, expires_at, settings.order_link_secrets)
        return f"{settings.public_url}/o/{token}"

    return page_of


def confirmations(settings: WorkerSettings, clock: Clock) -> Confirmations:
    """Return what makes links that confirm a mail address."""

    def confirmation_of(order: OrderId, generation: int, email: str) -> str:
        link = links.OrderLink(order, generation, clock() + CONFIRM_WITHIN)
        return f"{settings.public_url}/o/email/{links.mint_confirmation(link, email, settings.order_link_secrets)}"

    return confirmation_of


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
        chores = [consumer.run(), producer.watch()]
        if settings.keys_retention is not None:
            chores.append(Sweeper(pool, ports.sweeping, settings.keys_retention).run())
        await stack.enter_async_context(serve_health(health, settings.http_host, settings.health_port))
        await process.until(stop, *chores)
