"""Deletes keys from storage whose time is over. Whoever reveals them later is told so."""

import asyncio
from datetime import timedelta
from typing import Final, Protocol

import asyncpg

from bitloot import log
from bitloot.errors import BitLootError, Refused
from bitloot.ids import OrderId
from bitloot.ledger import translated
from delivery.queries import QUERIES

PAUSE: Final = timedelta(hours=1)
"""Between two rounds. All workers make them: to delete twice is to delete once."""

_LOOK_SECONDS: Final = 600.0
"""What looking for what is due may take: it reads all that was ever deleted, which is seconds for each million."""

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
        """Delete all that is due and return how many objects that were. Raises `Transient`.

        What the storage refuses to delete, such as a locked object, is told and left for the next round. Raises
        `Refused` once a whole part of what is due was refused.
        """
        deleted = 0
        left: list[str] = []
        while rows := await self._due(left):
            refused = [error for row in rows if (error := await self._delete(row, left)) is not None]
            deleted += len(rows) - len(refused)
            if len(refused) == len(rows):
                raise refused[0]
        return deleted

    async def _delete(self, row: asyncpg.Record, left: list[str]) -> Refused | None:
        order_id, object_key = OrderId(str(row["order_id"])), row["storage_ref"]
        try:
            await self._store.delete(object_key)
        except Refused as error:
            _log.error(
                "keys.not_deleted", order_id=order_id, object_key=object_key, cause=error.cause, detail=error.detail
            )
            left.append(object_key)
            return error
        # Noted after it is gone: a crash in between deletes once more, and loses no note.
        with translated():
            await self._pool.execute(QUERIES["forget"], object_key, row["order_id"])
        _log.info("keys.deleted", order_id=order_id, object_key=object_key)
        return None

    async def _due(self, left: list[str]) -> list[asyncpg.Record]:
        with translated():
            return await self._pool.fetch(QUERIES["over_age"], self._age, left, timeout=_LOOK_SECONDS)
