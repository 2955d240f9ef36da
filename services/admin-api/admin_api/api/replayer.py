"""Carries out replays of many dead letters, one after the other, at a pace, in whichever process has the time.

Each letter is one transaction: stay the one who does it, mark the letter, send its record, write down the result.
A process that dies in it leaves the letter waiting, and the next one sends it, perhaps for the second time: that is
a duplicate as Kafka itself makes them, and harmless. What cannot be sent because Kafka or Postgres is away waits.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg

from admin_api.api.bulk_replays import ItemResult
from admin_api.api.ports import OpenOriginals, Ports
from admin_api.api.reading import SQL
from admin_api.api.replaying import Unsendable, original, send_again
from bitloot import log
from bitloot.backoff import delay
from bitloot.errors import Malformed, Transient
from bitloot.kafka import ProducerFailed
from bitloot.ledger import translated

_LEASE = timedelta(seconds=30)
"""How long a replay is left to a process that says nothing, beside its pause between two letters: longer than one may
take at its worst."""
_AT_ONCE = 100  # letters that are looked up together
_POLL_SECONDS = 1.0
_BASE, _CAP = timedelta(seconds=0.5), timedelta(seconds=10)

Sleep = Callable[[float], Awaitable[None]]

_log = log.get(__name__)


class Lost(Exception):  # noqa: N818 - it names what happened
    """The replay was ended, or another process has taken it over."""


class Replayer:
    """Sends at most `per_second` letters a second. `incarnation` is unique for each start of a process."""

    def __init__(self, ports: Ports, incarnation: str, per_second: float, *, sleep: Sleep = asyncio.sleep) -> None:
        self._ports = ports
        self._incarnation = incarnation
        self._pause = 1 / per_second
        self._lease = _LEASE + timedelta(seconds=self._pause)
        self._sleep = sleep

    async def run(self) -> None:
        """Carry out what is asked for, for ever. Raises `ProducerFailed` when the process must end."""
        failures = 0
        while True:
            replay: asyncpg.Record | None = None
            try:
                replay = await self._claim()
                if replay is None:
                    await self._sleep(_POLL_SECONDS)
                else:
                    await self._carry_out(replay)
                failures = 0
            except Lost:
                _log.info("dead_letters.replay_lost", replay=replay and replay["id"])
            except ProducerFailed:
                raise
            except Exception as error:  # noqa: BLE001 - shown with the replay, and tried again: the desk must stay open
                failures += 1
                await self._stand_still(replay, error, failures)

    async def _claim(self) -> asyncpg.Record | None:
        with translated():
            return await self._ports.pool.fetchrow(SQL["claim_bulk_replay"], self._incarnation, self._lease)

    async def _carry_out(self, replay: asyncpg.Record) -> None:
        while items := await self._next(replay):
            async with self._ports.originals.open() as originals:
                for item in items:
                    await self._replay(replay, item, originals)
                    await self._sleep(self._pause)
        with translated():
            await self._ports.pool.execute(SQL["finish_bulk_replay"], replay["id"])
        _log.info("dead_letters.replayed", replay=replay["id"], action_id=replay["action_id"])

    async def _next(self, replay: asyncpg.Record) -> list[asyncpg.Record]:
        with translated():
            found: list[asyncpg.Record] = await self._ports.pool.fetch(SQL["next_items"], replay["id"], _AT_ONCE)
        return found

    async def _replay(self, replay: asyncpg.Record, item: asyncpg.Record, originals: OpenOriginals) -> None:
        """Send one letter's record and write down what became of it. Raises `Transient` and `Lost`."""
        try:
            topic, letter = await original(item, self._ports, originals)
        except Unsendable as reason:
            await self._refuse(replay, item, str(reason))
            return
        with translated():
            try:
                async with self._ports.pool.acquire() as connection, connection.transaction():
                    kept = await connection.fetchval(
                        SQL["keep_bulk_replay"], replay["id"], self._incarnation, self._lease
                    )
                    if not kept:
                        raise Lost
                    await connection.fetchval(
                        SQL["mark_replayed"], replay["action_id"], item["event_id"], replay["actor"]
                    )
                    await send_again(self._ports.publisher, topic, letter, replay["action_id"])
                    await connection.execute(SQL["end_item"], replay["id"], item["position"], ItemResult.SENT, None)
            except Malformed as error:
                await self._refuse(replay, item, error.detail)

    async def _refuse(self, replay: asyncpg.Record, item: asyncpg.Record, detail: str) -> None:
        with translated():
            await self._ports.pool.execute(SQL["end_item"], replay["id"], item["position"], ItemResult.REFUSED, detail)

    async def _stand_still(self, replay: asyncpg.Record | None, error: Exception, failures: int) -> None:
        detail = str(error) if isinstance(error, Transient) else f"a defect: {type(error).__name__}"
        wait = delay(failures, _BASE, seed=self._incarnation, cap=_CAP)
        unexpected = None if isinstance(error, Transient) else error
        _log.warning("dead_letters.replay_waits", error=detail, seconds=wait.total_seconds(), exc_info=unexpected)
        if replay is not None:
            with contextlib.suppress(Transient, asyncpg.PostgresError), translated():
                await self._ports.pool.execute(SQL["trouble_bulk_replay"], replay["id"], detail)
        await self._sleep(wait.total_seconds())
