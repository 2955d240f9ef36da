"""What Kafka no longer has by its retention, and the tables in use still have: it is taken over from them.

Dead letters as they are, before anything is read: nothing is counted in them. Notifications when the rest has been
read: a row stands for all records of a notification, of which Kafka may have lost some and have others. Each partition
loses its own at its own time, so the first one may outlive its repeat.
"""

from datetime import timedelta

import asyncpg

from admin_api.migrations import Connection
from admin_api.rebuild.shadow import SCHEMA
from admin_api.sink.source import PARTITION_BITS, Topics
from admin_api.sink.store import Partition
from admin_api.sql import named_queries
from bitloot.contracts.topics import Topic

_SQL = named_queries("admin_api.rebuild")
_SLACK = timedelta(days=1)
"""Kafka goes by its own clock and by when a record was made, the table by when the notification came."""


class Expired:
    """Knows where each partition of Kafka begins; `live` is the schema of the tables in use."""

    def __init__(self, dsn: str, live: str, topics: Topics, bounds: dict[Partition, tuple[int, int]]) -> None:
        self._dsn = dsn
        self._live = live
        self._topics = topics
        self._bounds = bounds

    async def keep_letters(self, connection: Connection) -> None:
        """Take over dead letters."""
        query = _SQL["keep_expired_letters"].format(live=self._live, shadow=SCHEMA)
        await connection.execute(query, *self._begun(self._topics.dead_letters))

    async def keep_logs(self) -> None:
        """Take over notifications, or what is gone of them; the tables must stand for the same records.

        It is done when this returns, beside the caller's transaction: who goes on filling the new tables waits for no
        one.
        """
        if not self.is_cut(self._topics.webhooks):
            return
        connection = await asyncpg.connect(self._dsn)
        try:
            query = _SQL["keep_expired_logs"].format(live=self._live, shadow=SCHEMA)
            await connection.execute(query, *self._begun(self._topics.webhooks), PARTITION_BITS, self._kept)
        finally:
            await connection.close()

    async def lost_logs(self, connection: Connection) -> int:
        """Return how many notifications in use have records that Kafka should have, by their age, and has not."""
        if not self.is_cut(self._topics.webhooks):
            return 0
        query = _SQL["lost_logs"].format(live=self._live)
        count: int = await connection.fetchval(query, *self._begun(self._topics.webhooks), PARTITION_BITS, self._kept)
        return count

    def is_cut(self, topic: Topic) -> bool:
        """Whether the first records of a topic were deleted, for whatever reason."""
        return any(self._begun(topic)[1])

    @property
    def _kept(self) -> timedelta:
        return self._topics.webhooks.retention - _SLACK

    def _begun(self, topic: Topic) -> tuple[list[int], list[int]]:
        """Return the partitions of a topic and the first offset of each."""
        begun = {number: first for (name, number), (first, _) in self._bounds.items() if name == topic.name}
        return list(begun), list(begun.values())
