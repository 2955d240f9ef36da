"""A sink whose database cannot be reached, from its first moment and in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from bitloot.health import Health
from tests.integration.admin_api.read_model import ReadModel
from tests.integration.admin_api.test_sink_exactly_once import healthy, unwell
from tests.unit.admin_api import records


class Way:
    """The way to a database: a port of 127.0.0.1 that leads there only while it is open."""

    def __init__(self, dsn: str) -> None:
        self._there = urlsplit(dsn)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._muted = asyncio.Event()  # of the connections of now

    @property
    def dsn(self) -> str:
        user = self._there.netloc.rpartition("@")[0]
        return urlunsplit(self._there._replace(netloc=f"{user}@127.0.0.1:{self._port}"))

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._lead, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def mute(self) -> None:
        """Let no byte through any more on the connections of now, which stay open; new ones lead there."""
        self._muted.set()
        self._muted = asyncio.Event()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._there.hostname, self._there.port)
        for source, target in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(_pump(source, target, self._muted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, muted: asyncio.Event) -> None:
    try:
        while data := await source.read(65536):
            if not muted.is_set():
                target.write(data)
                await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


@asynccontextmanager
async def way_to(dsn: str) -> AsyncIterator[Way]:
    way = Way(dsn)
    await way.open()
    try:
        yield way
    finally:
        await way.close()


async def test_a_sink_that_starts_without_its_database_waits_red_and_heals(model: ReadModel):
    async with way_to(model.settings.database_url.get_secret_value()) as way:
        settings = model.settings.model_copy(update={"database_url": SecretStr(way.dsn)})
        await way.close()
        await model.publish(model.topics.events, records.revealed(1))
        health = Health()
        async with model.sink(settings=settings, health=health):
            await unwell(health, "PostgreSQL")
            await way.open()
            await model.catch_up()
            await healthy(health)
            await way.close()
            await model.publish(model.topics.events, records.revealed(2))
            await unwell(health, "PostgreSQL")
            await way.open()
            await model.catch_up()
            await healthy(health)

    assert len(await model.rows("order_events")) == 2
