"""The composition root of the admin API."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from aiohttp import web

from admin_api import condition
from admin_api.access.gate import Gate
from admin_api.access.oidc import Provider
from admin_api.api.intake import Intake
from admin_api.api.live import Live
from admin_api.api.originals import KafkaOriginals
from admin_api.api.pages import add_pages
from admin_api.api.ports import Ports
from admin_api.api.replayer import Replayer
from admin_api.api.routes import ROUTES
from admin_api.api.routing import add_routes
from admin_api.api.settings_page import told
from admin_api.api.watching import Watch
from admin_api.database import Pool
from admin_api.settings import ApiSettings
from admin_api.sink.source import Topics
from bitloot.code_hashes import hasher
from bitloot.contracts.access import replayable
from bitloot.health import Health
from bitloot.http import create_app, serve_until
from bitloot.http_client import open_client
from bitloot.incarnation import incarnation
from bitloot.kafka import Producer
from bitloot.keyring import Keyring
from bitloot.layout import Layout
from bitloot.ledger import open_pool
from bitloot.sealing import Sealer

LONGEST_LINE = 32 * 1024
"""Bytes of an address: a list's filters, all of them as long as they may be, and no letter of them ASCII."""
_ASKED_AT_ONCE = 10  # the identity provider: there are few admins
_REPLAYABLE = {topic.name: topic for topic in replayable()}


def build(
    settings: ApiSettings, ports: Ports, health: Health, provider: Provider | None = None, closing: Live | None = None
) -> web.Application:
    """Return the application on these ports, and with this identity provider. At its end `closing` is closed."""
    app = create_app(health, probes=settings.probe_port is None)
    add_routes(app, ROUTES, ports, Gate(settings.access(), ports.pool, provider))
    add_pages(app, settings.base_path)
    if closing is not None:
        app.on_shutdown.append(_closing(closing))
    return app


def _closing(live: Live) -> Callable[[web.Application], Awaitable[None]]:
    async def close(_app: web.Application) -> None:
        live.close()  # else whoever looks would hold up the end

    return close


@asynccontextmanager
async def open_ports(settings: ApiSettings, health: Health) -> AsyncIterator[Ports]:
    """Open the real adapters, also while what they reach is away. Closed last in, first out.

    When the producer fails for good the body is canceled and `ProducerFailed` raised, in a group: the process
    must end, and the next one has a new producer.
    """
    async with AsyncExitStack() as stack:
        pool: Pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        condition.register(health, pool)
        Layout(settings, "admin-api").register(health, advisory=True)
        if settings.stock_sealing_public_key is not None:
            Keyring.of_sealer(pool, "stock", settings.stock_sealing_public_key).register(health, advisory=True)
        producer = await stack.enter_async_context(Producer(settings, client_id=settings.service_instance))
        # Not registered as a check: without Kafka the desk can still be read.
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        watching = tasks.create_task(producer.watch())
        stack.callback(watching.cancel)
        watch = Watch(settings, pool, Topics().names)
        looking = tasks.create_task(watch.run())
        stack.callback(looking.cancel)
        yield Ports(
            fresh_as_of=watch.fresh_as_of,
            looked_at=lambda: watch.looked_at,
            behind=watch.behind,
            settings=told(settings),
            cursor_key=_cursor_key(settings),
            pool=pool,
            publisher=producer,
            originals=KafkaOriginals(settings),
            topics=Topics(),
            replayable=_REPLAYABLE,
            intake=_intake(settings),
            hasher=hasher(settings.code_hash_keys),
        )


def _cursor_key(settings: ApiSettings) -> bytes:
    """Return a key that all replicas have, and that is worth nothing elsewhere."""
    return hmac.digest(settings.admin_token[0].get_secret_value().encode(), b"cursors", hashlib.sha256)


def _intake(settings: ApiSettings) -> Intake | None:
    if settings.stock_sealing_public_key is None or settings.stock_hash_key is None:
        return None
    return Intake(Sealer(settings.stock_sealing_public_key), settings.stock_hash_key)


async def serve(settings: ApiSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raises when the process must end at once."""
    health = Health()
    async with open_ports(settings, health) as ports, asyncio.TaskGroup() as tasks:
        replayer = Replayer(ports, incarnation(settings.service_instance), settings.dead_letter_replays_per_second)
        replaying = tasks.create_task(replayer.run())
        live = Live(settings.database_url.get_secret_value())
        listening = tasks.create_task(live.run())
        async with open_provider(settings) as provider:
            app = build(settings, replace(ports, live=live.events), health, provider, live)
            await serve_until(
                stop,
                app,
                settings.http_host,
                settings.http_port,
                probe_port=settings.probe_port,
                base_path=settings.base_path,
                longest_line=LONGEST_LINE,
            )
        replaying.cancel()
        listening.cancel()


@asynccontextmanager
async def open_provider(settings: ApiSettings) -> AsyncIterator[Provider | None]:
    """Open the way to the identity provider, if there is one."""
    known = settings.oidc()
    if known is None:
        yield None
        return
    async with open_client(at_once=_ASKED_AT_ONCE) as client:
        yield Provider(known, client)
