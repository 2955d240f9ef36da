"""Tells open pages that their order has changed: one question to the read model for all of them, once a second."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

from bitloot import log
from bitloot.errors import Transient
from bitloot.ids import OrderId

PAUSE: Final = 1.0  # seconds
AWAY: Final = -1
"""In place of a version: nothing can be told for the time being."""
MAX_WATCHERS: Final = 2_000  # open pages of one process; whoever comes later asks by itself, now and then

_log = log.get(__name__)


class Versions(Protocol):
    """The read model, as far as it tells what has changed."""

    async def versions(self, order_ids: Collection[OrderId]) -> dict[OrderId, int]:
        """Return the versions of those orders that it has. Raises `Transient`."""
        ...


class Watch:
    """Hands out queues of versions; `run` fills them."""

    def __init__(self, orders: Versions, *, pause: float = PAUSE) -> None:
        self._orders = orders
        self._pause = pause
        self._watchers: dict[OrderId, set[asyncio.Queue[int | None]]] = {}
        self._count = 0
        self._closed = False

    @property
    def is_full(self) -> bool:
        """Whether nobody else may watch."""
        return self._closed or self._count >= MAX_WATCHERS

    @asynccontextmanager
    async def of(self, order_id: OrderId) -> AsyncIterator["asyncio.Queue[int | None]"]:
        """Give a queue that gets the order's version whenever it was asked for, and None when the process ends."""
        queue: asyncio.Queue[int | None] = asyncio.Queue(maxsize=2)  # whoever is slow misses versions, not the last
        self._watchers.setdefault(order_id, set()).add(queue)
        self._count += 1
        try:
            yield queue
        finally:
            self._count -= 1
            self._watchers[order_id].discard(queue)
            if not self._watchers[order_id]:
                del self._watchers[order_id]

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await asyncio.sleep(self._pause)
            if not self._watchers:
                continue
            versions: Mapping[OrderId, int]
            try:
                versions = await self._orders.versions(tuple(self._watchers))
            except Transient as error:
                _log.warning("order_page.not_watched", cause=error.cause, detail=error.detail)
                versions = dict.fromkeys(self._watchers, AWAY)
            for order_id, version in versions.items():
                self._tell(order_id, version)

    def close(self) -> None:
        """End all watches: the process stops."""
        self._closed = True
        for order_id in tuple(self._watchers):
            self._tell(order_id, None)

    def _tell(self, order_id: OrderId, version: int | None) -> None:
        for queue in self._watchers.get(order_id, ()):
            while queue.full():
                queue.get_nowait()
            queue.put_nowait(version)
