"""Puts the order page together: the only place that constructs its parts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from bitloot import links, log
from bitloot.errors import Transient
from bitloot.health import Health
from bitloot.http import create_app, serve_until
from bitloot.kafka import Producer
from bitloot.layout import Layout
from bitloot.ledger import open_pool
from bitloot.links import OrderLink
from bitloot.personal import PostgresBuyers
from bitloot.schema import migrated
from bitloot.settings import Secrets
from delivery import r2
from delivery.clock import Clock, now
from delivery.order_page.asking import Asking
from delivery.order_page.headers import security_headers
from delivery.order_page.html import Pages, error_pages
from delivery.order_page.orders import PostgresAttempts, PostgresLostRequests, PostgresOrders
from delivery.order_page.rate import RevealRate
from delivery.order_page.views import OrderPage, PagePorts, wants_html
from delivery.order_page.watch import Watch
from delivery.settings import OrderPageSettings

SERVICE: Final = "order-page"
TIDY_SECONDS: Final = 3600.0
CATCH_UP_SECONDS: Final = 30.0

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """The ports on real parts, and what watches over them."""

    ports: PagePorts
    health: Health
    producer: Producer
    attempts: PostgresAttempts


@asynccontextmanager
async def open_ports(settings: OrderPageSettings) -> AsyncIterator[Opened]:
    """Open the real parts; closed in reverse."""
    health = Health()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        client = await stack.enter_async_context(r2.open_client())
        producer = await stack.enter_async_context(Producer(settings, client_id=SERVICE))
        orders, attempts = PostgresOrders(pool), PostgresAttempts(pool)
        producer.register(health)
        health.register("postgres", migrated(pool))
        Layout(settings, SERVICE).register(health, advisory=True)
        ports = PagePorts(
            orders=orders,
            links=r2.R2(client, settings.bucket(), link_age=settings.link_lifetime, clock=now),
            events=producer,
            opens=partial(opened, secrets=settings.order_link_secrets, clock=now),
            confirms=partial(confirmed, secrets=settings.order_link_secrets, clock=now),
            asking=Asking(
                events=producer,
                attempts=attempts,
                orders=orders,
                requests=PostgresLostRequests(pool),
                buyers=PostgresBuyers(pool),
                secrets=settings.order_link_secrets,
                clock=now,
            ),
            watch=Watch(orders),
            clock=now,
        )
        yield Opened(ports, health, producer, attempts)


def opened(token: str, *, secrets: Secrets, clock: Clock) -> OrderLink:
    """Return what a token opens. Raises `BadLink` or `ExpiredLink`."""
    return links.verify(token, secrets, clock())


def confirmed(token: str, *, secrets: Secrets, clock: Clock) -> tuple[OrderLink, str]:
    """Return what a confirmation confirms. Raises `BadLink` or `ExpiredLink`."""
    return links.verify_confirmation(token, secrets, clock())


def build(settings: OrderPageSettings, ports: PagePorts, health: Health) -> web.Application:
    """Return the application on whatever ports it is given."""
    pages = Pages(settings.support_email)
    app = create_app(health, probes=settings.probe_port is None)
    app.middlewares.append(error_pages(pages, wants_html))
    app.on_response_prepare.append(security_headers(settings.r2_endpoint_url))
    OrderPage(ports, pages, RevealRate(settings.reveals_per_minute), settings.proxy_networks).add_routes(app)
    return app


async def serve(settings: OrderPageSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raises when the producer has failed for good, to be started again."""
    async with open_ports(settings) as opened, asyncio.TaskGroup() as tasks:
        chores = [
            opened.producer.watch(),
            opened.ports.watch.run(),
            every(TIDY_SECONDS, opened.attempts.forget, "order_page.not_tidied"),
            every(CATCH_UP_SECONDS, opened.ports.asking.catch_up, "order_page.not_caught_up"),
        ]
        running = [tasks.create_task(chore) for chore in chores]
        app = build(settings, opened.ports, opened.health)
        await serve_until(
            stop,
            app,
            settings.http_host,
            settings.http_port,
            probe_port=settings.probe_port,
            base_path=settings.base_path,
        )
        for chore in running:
            chore.cancel()


async def every(seconds: float, act: Callable[[], Awaitable[None]], failure: str) -> None:
    """Act now and again, for ever; what cannot be done at the moment is logged as `failure` and done the next time."""
    while True:
        try:
            await act()
        except Transient as error:
            _log.warning(failure, cause=error.cause, detail=error.detail)
        await asyncio.sleep(seconds)
