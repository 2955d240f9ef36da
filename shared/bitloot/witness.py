"""The memory, outside Kafka, of which logs this installation and its groups have worked with.

Kafka cannot testify to its own loss: with a topic its committed offsets go, and with a disk everything goes. So
the ids of cluster and topics are kept in Postgres (`kafka_topics`), and for each group the partitions that it has
begun (`kafka_positions`): a group that has begun a partition and finds no offset there has lost its place.
"""

from collections.abc import Iterable
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

# What is remembered of these topics, whether Kafka still has them or not.
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

# Replace what is remembered of these topics where it differs; returns those.
_REPLACE = """
update kafka_topics as known set topic_id = seen.topic_id, cluster_id = $3, seen_at = now()
from unnest($1::text[], $2::text[]) as seen (topic, topic_id)
where known.topic = seen.topic and (known.topic_id, known.cluster_id) <> (seen.topic_id, $3)
returning known.topic
"""

# Forget how far the sink has read these topics.
_FORGET_SINK = "delete from sink_offsets where topic = any($1::text[])"


class Witness(Protocol):
    """Remembers logs. Every method raises `Transient` while it cannot be asked."""

    async def confirm(self, cluster: Cluster, names: Iterable[str]) -> None:
        """Remember topics that are new to us. Raises `LogLost` when one of `names` is not the one that we know."""

    async def begun(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """Return which of these partitions the group has begun to read."""

    async def begin(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> None:
        """Note that the group has begun these; its offsets must be committed before."""


class Memory:
    """A witness that forgets with the process: for consumers without a database, and tests."""

    def __init__(self) -> None:
        self._cluster: Cluster | None = None
        self._begun: dict[tuple[str, TopicPartition], str] = {}

    async def confirm(self, cluster: Cluster, names: Iterable[str]) -> None:  # noqa: ARG002 - the port's
        """Compare with what was seen first; see `Witness`."""
        before = self._cluster or cluster
        if found := complaints(before, cluster):
            raise LogLost(*found)
        self._cluster = Cluster(cluster.cluster_id, {**cluster.topic_ids, **before.topic_ids})

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

    async def confirm(self, cluster: Cluster, names: Iterable[str]) -> None:
        """See `Witness`."""
        if found := await self.differences(cluster, names):
            raise LogLost(*found)
        await self.remember(cluster)

    async def migrated(self) -> bool:
        """Return whether the database has a memory: before the first migration there is nothing to remember."""
        with translated():
            return await self._pool.fetchval("select to_regclass('kafka_topics')") is not None

    async def known(self, names: Iterable[str]) -> set[str]:
        """Return which of these topics were ever worked with."""
        with translated():
            return {row["topic"] for row in await self._pool.fetch(_KNOWN, list(names))}

    async def differences(self, cluster: Cluster, names: Iterable[str]) -> list[str]:
        """Return a sentence for each way in which the cluster is not the one that we know these topics from."""
        with translated():
            rows = await self._pool.fetch(_KNOWN, list(names))
        by_cluster: dict[str, dict[str, str]] = {}
        for row in rows:
            by_cluster.setdefault(row["cluster_id"], {})[row["topic"]] = row["topic_id"]
        befores = (Cluster(cluster_id, topic_ids) for cluster_id, topic_ids in by_cluster.items())
        return [sentence for before in befores for sentence in complaints(before, cluster)]

    async def remember(self, cluster: Cluster) -> None:
        """Remember topics that are new to us."""
        with translated():
            await self._pool.execute(_REMEMBER, *_ids(cluster), cluster.cluster_id)

    async def begin_anew(self, cluster: Cluster) -> list[str]:
        """Take these topics for the right ones from now on; return those that were others before.

        What had been read of those is forgotten, so that every group begins at their beginning. For a person
        who has looked: see the runbook.
        """
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                changed = await connection.fetch(_REPLACE, *_ids(cluster), cluster.cluster_id)
                names = sorted(row["topic"] for row in changed)
                await connection.execute(_FORGET_SINK, names)
        await self.remember(cluster)
        return names

    async def begun(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """See `Witness`."""
        with translated():
            rows = await self._pool.fetch(_BEGUN, group, *_columns(cluster, list(partitions)))
        return {TopicPartition(row["topic"], row["partition"]) for row in rows}

    async def begin(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> None:
        """See `Witness`."""
        with translated():
            await self._pool.execute(_BEGIN, group, *_columns(cluster, list(partitions)))


def _ids(cluster: Cluster) -> tuple[list[str], list[str]]:
    return list(cluster.topic_ids), list(cluster.topic_ids.values())


def _columns(cluster: Cluster, partitions: list[TopicPartition]) -> tuple[list[str], list[int], list[str]]:
    return (
        [each.topic for each in partitions],
        [each.partition for each in partitions],
        [cluster.topic_ids[each.topic] for each in partitions],
    )
