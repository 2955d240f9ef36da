"""The memory, outside Kafka, of which logs this installation and its groups have worked with.

Kafka cannot testify to its own loss: with a topic its committed offsets go, and with a disk everything goes. So
the ids of cluster and topics are kept in Postgres (`kafka_topics`), and for each group the partitions that it has
begun (`kafka_positions`): a group that has begun a partition and finds no offset there has lost its place.
"""

from collections.abc import Collection, Iterable
from typing import Protocol

import asyncpg
from aiokafka import TopicPartition

from bitloot.cluster import Cluster, LogLost, complaints
from bitloot.ledger import translated

# Remember topics that were never seen.
_REMEMBER = """
insert into kafka_topics (topic, topic_id, cluster_id)
select topic, topic_id, $3 from unnest($1::text[], $2::text[]) as seen (topic, topic_id)
on conflict (topic) do nothing
"""

# What is remembered of these topics.
_KNOWN = "select topic, topic_id, cluster_id from kafka_topics where topic = any($1::text[])"

# Which of these partitions a group has begun, of the topics with these ids.
_BEGUN = """
select topic, partition from kafka_positions
join unnest($2::text[], $3::integer[], $4::text[]) as asked (topic, partition, topic_id)
    using (topic, partition, topic_id)
where consumer_group = $1
"""

# Note partitions that a group begins.
_BEGIN = """
insert into kafka_positions (consumer_group, topic, partition, topic_id)
select $1, topic, partition, topic_id
from unnest($2::text[], $3::integer[], $4::text[]) as begun (topic, partition, topic_id)
on conflict (consumer_group, topic, partition) do update set topic_id = excluded.topic_id, begun_at = now()
"""


class Witness(Protocol):
    """Remembers logs. Every method raises `Transient` while it cannot be asked."""

    async def confirm(self, cluster: Cluster) -> None:
        """Remember topics that are new to us. Raises `LogLost` when one is not the one that we know."""

    async def begun(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """Return which of these partitions the group has begun to read."""

    async def begin(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> None:
        """Note that the group has begun these; its offsets must be committed before."""


class Memory:
    """A witness that forgets with the process: for consumers without a database, and tests."""

    def __init__(self) -> None:
        self._cluster: Cluster | None = None
        self._begun: dict[tuple[str, TopicPartition], str] = {}

    async def confirm(self, cluster: Cluster) -> None:
        """Compare with the first one that was seen; see `Witness`."""
        if self._cluster is None:
            self._cluster = cluster
        if found := complaints(self._cluster, cluster):
            raise LogLost(*found)

    async def begun(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """See `Witness`."""
        return {each for each in partitions if self._begun.get((group, each)) == cluster.topic_ids[each.topic]}

    async def begin(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> None:
        """See `Witness`."""
        self._begun |= {(group, each): cluster.topic_ids[each.topic] for each in partitions}


class PostgresWitness:
    """A witness that all processes of an installation share."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def confirm(self, cluster: Cluster) -> None:
        """See `Witness`."""
        names, ids = list(cluster.topic_ids), list(cluster.topic_ids.values())
        with translated():
            await self._pool.execute(_REMEMBER, names, ids, cluster.cluster_id)
            known = await self._pool.fetch(_KNOWN, names)
        if found := differences(known, cluster):
            raise LogLost(*found)

    async def begun(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """See `Witness`."""
        with translated():
            rows = await self._pool.fetch(_BEGUN, group, *_columns(cluster, list(partitions)))
        return {TopicPartition(row["topic"], row["partition"]) for row in rows}

    async def begin(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> None:
        """See `Witness`."""
        with translated():
            await self._pool.execute(_BEGIN, group, *_columns(cluster, list(partitions)))


def differences(known: Collection[asyncpg.Record], cluster: Cluster) -> list[str]:
    """Return a sentence for each way in which rows of `kafka_topics` contradict what the cluster tells."""
    by_cluster: dict[str, dict[str, str]] = {}
    for row in known:
        by_cluster.setdefault(row["cluster_id"], {})[row["topic"]] = row["topic_id"]
    return [
        sentence
        for cluster_id, topic_ids in by_cluster.items()
        for sentence in complaints(Cluster(cluster_id, topic_ids), cluster)
    ]


def _columns(cluster: Cluster, partitions: list[TopicPartition]) -> tuple[list[str], list[int], list[str]]:
    return (
        [each.topic for each in partitions],
        [each.partition for each in partitions],
        [cluster.topic_ids[each.topic] for each in partitions],
    )
