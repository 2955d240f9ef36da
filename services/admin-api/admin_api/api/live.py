"""What has just changed, told to whoever looks: server-sent events, fed by the sink's notices through Postgres."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import asyncpg

from admin_api.api.ports import Ports
from admin_api.api.routing import AnyRoute, Stream
from admin_api.api.schemas import Nothing
from admin_api.notices import CHANNEL
from bitloot import log

_QUEUED = 100  # of one listener; who is slower is told to read all anew
_BEAT_SECONDS = 15.0
_PAUSE = 2.0
_CONNECT_SECONDS = 5.0
_BEAT = b": still here\n\n"

_log = log.get(__name__)


class Live:
    """One connection that listens, for all who look; whether it still does is asked each `beat` seconds."""

    def __init__(self, dsn: str, beat: float = _BEAT_SECONDS) -> None:
        self._dsn = dsn
        self._beat = beat
        self._listeners: set[asyncio.Queue[bytes | None]] = set()

    async def run(self) -> None:
        """Listen, for ever; after each break everybody is told to read all anew."""
        while True:
            try:
                connection = await asyncpg.connect(self._dsn, timeout=_CONNECT_SECONDS)
                try:
                    await self._listen(connection)
                finally:
                    connection.terminate()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.info("desk.live_waits", error=type(error).__name__)
            await asyncio.sleep(_PAUSE)

    async def _listen(self, connection: "asyncpg.Connection[Any]") -> None:
        gone = asyncio.Event()
        connection.add_termination_listener(lambda *_: gone.set())
        await connection.add_listener(CHANNEL, lambda *told: self.tell(str(told[-1])))
        self.tell(json.dumps({"kind": "all"}))
        while not gone.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat):
                    await gone.wait()
            # Who only listens never hears that the other end, or what lies between, has gone without a word.
            await connection.execute("select", timeout=self._beat)

    def tell(self, notice: str) -> None:
        """Hand a notice to everybody who looks."""
        event = f"data: {notice}\n\n".encode()
        for queue in self._listeners:
            if queue.qsize() >= _QUEUED:
                while not queue.empty():
                    queue.get_nowait()
                event = b'data: {"kind": "all"}\n\n'
            queue.put_nowait(event)

    def close(self) -> None:
        """Let everybody go."""
        for queue in self._listeners:
            queue.put_nowait(None)

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Give what happens from now on, and now and then a sign of life."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield _BEAT
            while True:
                event: bytes | None = _BEAT
                with suppress(TimeoutError):
                    async with asyncio.timeout(_BEAT_SECONDS):
                        event = await queue.get()
                if event is None:
                    return
                yield event
        finally:
            self._listeners.discard(queue)


def follow(ports: Ports, _question: Nothing) -> AsyncGenerator[bytes, None]:
    """Answer with notices, for as long as somebody listens."""
    return ports.live()


ROUTES: tuple[AnyRoute, ...] = (
    Stream(
        path="/admin/live",
        name="followChanges",
        summary='Follow what changes: {"kind": "order", "ids": [...]}, and "all" when everything may have',
        tag="Live",
        question=Nothing,
        handle=follow,
        media_type="text/event-stream",
    ),
)
