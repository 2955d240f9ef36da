"""How far each consumer is, watched by comparing where Kafka's partitions ended with where consumers are now.

Whatever a partition held at a time when it ended at some offset is handled once its consumer is past that offset. So
the times at which the ends were looked at tell how old the oldest unhandled record is, without reading any.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from admin_api.database import Pool
from bitloot import log
from bitloot.broker import options
from bitloot.contracts.access import GROUPS
from bitloot.errors import Transient
from bitloot.ledger import translated
from bitloot.settings import KafkaSettings

_SECONDS = 1.0
_REMEMBERED = 900  # looks: a quarter of an hour
_TIMEOUT = 10.0
_PAUSE = 2.0

Place = tuple[str, int]

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Behind:
    """How far a consumer is in one partition. `oldest_at` is by when the oldest unhandled record was there."""

    group: str
    topic: str
    partition: int
    records: int
    oldest_at: datetime | None


class Watch:
    """Looks once a second, for ever. What it knows is of the last look; None and nothing before the first."""

    def __init__(self, settings: KafkaSettings, pool: Pool, sink_topics: tuple[str, ...]) -> None:
        self._settings = settings
        self._pool = pool
        self._sink_topics = sink_topics
        self._looks: deque[tuple[datetime, dict[Place, int]]] = deque(maxlen=_REMEMBERED)
        self._reached: dict[str, dict[Place, int]] = {}
        self.looked_at: datetime | None = None

    async def run(self) -> None:
        """Look, and begin anew after each failure."""
        while True:
            try:
                await self._follow()
            except (KafkaError, TimeoutError, Transient) as error:
                _log.info("desk.watch_waits", error=type(error).__name__)
            await asyncio.sleep(_PAUSE)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(**options(self._settings), enable_auto_commit=False)
        admin = AIOKafkaAdminClient(**options(self._settings))
        try:
            async with asyncio.timeout(_TIMEOUT):
                await consumer.start()
                await admin.start()
            while True:
                async with asyncio.timeout(_TIMEOUT):
                    await self._look(consumer, admin)
                await asyncio.sleep(_SECONDS)
        finally:
            for client in (consumer.stop, admin.close):
                with suppress(KafkaError, TimeoutError):
                    async with asyncio.timeout(_TIMEOUT):
                        await client()

    async def _look(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        reached: dict[str, dict[Place, int]] = {"sink": await self._sink()}
        for group in GROUPS.values():
            if group != "sink":
                reached[group] = await _committed(admin, group)
        places = {place for places in reached.values() for place in places}
        now = datetime.now(UTC)
        ends = await consumer.end_offsets([TopicPartition(*place) for place in places]) if places else {}
        self.note(now, {(each.topic, each.partition): end for each, end in ends.items()}, reached)

    def note(self, now: datetime, ends: dict[Place, int], reached: dict[str, dict[Place, int]]) -> None:
        """Take in one look: where partitions end, and where each group is."""
        self._looks.append((now, ends))
        self._reached = reached
        self.looked_at = now

    async def _sink(self) -> dict[Place, int]:
        with translated():
            rows = await self._pool.fetch("select topic, partition, next_offset from sink_offsets")
        return {
            (row["topic"], row["partition"]): row["next_offset"] for row in rows if row["topic"] in self._sink_topics
        }

    def fresh_as_of(self) -> datetime | None:
        """Return until when the read model has all that Kafka has, None when that is not known."""
        sink = self._reached.get("sink")
        if not sink:
            return None
        for at, ends in reversed(self._looks):
            if all(sink[place] >= ends.get(place, 0) for place in sink):
                return at
        return None

    def behind(self) -> tuple[Behind, ...]:
        """Return how far each group is in each of its partitions."""
        if not self._looks:
            return ()
        _, ends = self._looks[-1]
        return tuple(
            Behind(group, *place, max(ends.get(place, offset) - offset, 0), self._oldest(place, offset))
            for group, places in sorted(self._reached.items())
            for place, offset in sorted(places.items())
        )

    def _oldest(self, place: Place, offset: int) -> datetime | None:
        return next((at for at, ends in self._looks if ends.get(place, 0) > offset), None)


async def _committed(admin: AIOKafkaAdminClient, group: str) -> dict[Place, int]:
    """Return where a group is; nothing where we may not know, as brokers with rights on groups have it."""
    try:
        found = await admin.list_consumer_group_offsets(group)
    except GroupAuthorizationFailedError:
        return {}
    return {(each.topic, each.partition): told.offset for each, told in found.items() if told.offset >= 0}
