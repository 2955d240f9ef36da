"""Deletes keys from storage whose time is over. Whoever reveals them later is told so."""

import asyncio
from datetime import timedelta
from typing import Final, Protocol

import asyncpg

from bitloot import log
from bitloot.errors import BitLootError
from bitloot.ids import OrderId
from bitloot.ledger import translated
from delivery.queries import QUERIES

PAUSE: Final = timedelta(hours=1)
"""Between two rounds. All workers make them: to delete twice is to delete once."""

_log = log.get(__name__)


class Deleting(Protocol):
    """The storage, as far as it is made to forget."""

    async def delete(self, object_key: str) -> None:
        """Delete an object; fine when there is none. Raises `Transient` or `Refused`."""
        ...


class Sweeper:
    """Deletes what is older than `age`."""

    def __init__(self, pool: asyncpg.Pool, store: Deleting, age: timedelta) -> None:
        self._pool = pool
        self._store = store
        self._age = age

    async def run(self) -> None:
        """Sweep for ever. A round that fails is made up for by the next one."""
        while True:
            try:
                await self.sweep()
            except BitLootError as error:
                _log.warning("keys.not_swept", cause=error.cause, detail=error.detail)
            await asyncio.sleep(PAUSE.total_seconds())

    async def sweep(self) -> int:
        """Delete all that is due and return how many objects that were. Raises `Transient` or `Refused`."""
        deleted = 0
        while rows := await self._due():
            for row in rows:
                await self._store.delete(row["storage_ref"])
                # Noted after it is gone: a crash in between deletes once more, and loses no note.
                with translated():
                    await self._pool.execute(QUERIES["forget"], row["storage_ref"], row["order_id"])
                deleted += 1
                _log.info("keys.deleted", order_id=OrderId(str(row["order_id"])), object_key=row["storage_ref"])
        return deleted

    async def _due(self) -> list[asyncpg.Record]:
        with translated():
            return await self._pool.fetch(QUERIES["over_age"], self._age)
