"""Puts the sink together."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack

from admin_api import condition
from admin_api.database import Pool
from admin_api.retention.cleaning import keep_clean
from admin_api.settings import SinkSettings
from admin_api.sink.loop import GROUP, Sink
from admin_api.sink.source import Topics
from admin_api.sink.standing import Standing
from admin_api.sink.store import Store
from admin_api.sink.writer import Writer
from bitloot import health, process
from bitloot.health import Health
from bitloot.kafka import Producer
from bitloot.layout import Layout
from bitloot.ledger import open_pool
from bitloot.witness import PostgresWitness

_CONNECTIONS = 3  # it writes one batch after the other, and looks at the whole now and then

Beside = Callable[[Pool], Coroutine[None, None, None]]
"""Work on the whole of the database, for ever."""


async def serve(settings: SinkSettings, stop: asyncio.Event) -> None:
    """Be the process."""
    checks = Health()
    Layout(settings, "sink").register(checks)
    await run(settings, stop, checks, beside=(lambda pool: Standing(pool).run(), keep_clean))


async def run(
    settings: SinkSettings,
    stop: asyncio.Event,
    checks: Health,
    *,
    topics: Topics | None = None,
    group: str = GROUP,
    beside: Sequence[Beside] = (),
) -> None:
    """Fill the read model until `stop` is set; raises when the process must end to go on.

    What is `beside` it has the same pool, and ends with it.
    """
    topics = topics or Topics()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(settings.database_url.get_secret_value(), max_size=_CONNECTIONS)
        )
        producer = await stack.enter_async_context(Producer(settings, client_id=settings.service_instance))
        producer.register(checks)
        condition.register(checks, pool)
        writer = Writer(Store(pool), topics, producer, checks)
        sink = Sink(settings, writer, checks, topics=topics, witness=PostgresWitness(pool), group=group)
        await stack.enter_async_context(health.serve(checks, settings.http_host, settings.health_port))
        await process.until(stop, sink.run(), producer.watch(), *(each(pool) for each in beside))
