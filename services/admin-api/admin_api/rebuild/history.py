"""Kafka, as a rebuild reads it: whole partitions up to given ends, without a group."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from admin_api.sink.source import RawRecord
from admin_api.sink.store import Partition
from bitloot.broker import options
from bitloot.cluster import Cluster, finish
from bitloot.errors import Cause, Transient
from bitloot.settings import KafkaSettings

_POLL_MS = 500
_MAX_RECORDS = 1000  # about a second's work for Postgres
_SILENCE_SECONDS = 60.0


class History:
    """Remembers how far each partition was read, so that a later `read` goes on from there."""

    def __init__(self, consumer: AIOKafkaConsumer, bounds: Mapping[Partition, tuple[int, int]]) -> None:
        self.bounds = dict(bounds)
        """The first offset and the one after the last of each partition, when it was opened."""
        self._consumer = consumer

    async def ends(self) -> dict[Partition, int]:
        """Return the offset after the last of each partition, now."""
        found = await self._consumer.end_offsets([TopicPartition(*each) for each in self.bounds])
        return {(each.topic, each.partition): end for each, end in found.items()}

    async def read(self, targets: Mapping[Partition, int]) -> AsyncIterator[list[RawRecord]]:
        """Yield what was not read yet before each partition's target, in order within each partition.

        Raises KafkaError, and `Transient` when Kafka says nothing for a minute.
        """
        left = {each for each, target in targets.items() if await self._position(each) < target}
        heard_at = time.monotonic()
        while left:
            chosen = [TopicPartition(*each) for each in left]
            found = await self._consumer.getmany(*chosen, timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
            records: list[RawRecord] = [record for batch in found.values() for record in batch]
            if records:
                heard_at = time.monotonic()
                yield [each for each in records if each.offset < targets[each.topic, each.partition]]
            elif time.monotonic() - heard_at > _SILENCE_SECONDS:
                raise Transient(Cause.BROKER_UNAVAILABLE, f"Kafka gave nothing for {_SILENCE_SECONDS:.0f} s")
            for each in list(left):
                if (position := await self._position(each)) >= targets[each]:
                    left.discard(each)
                    if position > targets[each]:  # what was beyond the target belongs to the next reading
                        self._consumer.seek(TopicPartition(*each), targets[each])

    async def _position(self, partition: Partition) -> int:
        position: int = await self._consumer.position(TopicPartition(*partition))
        return position


@asynccontextmanager
async def open_history(settings: KafkaSettings, cluster: Cluster) -> AsyncIterator[History]:
    """Open all partitions of the cluster's topics at their beginnings. Raises KafkaError."""
    partitions = [TopicPartition(name, number) for name, count in cluster.partitions.items() for number in range(count)]
    consumer = AIOKafkaConsumer(
        **options(settings),
        enable_auto_commit=False,
        # What was deleted while it was read must not be passed over in silence.
        auto_offset_reset="none",
    )
    try:
        await consumer.start()
        consumer.assign(partitions)
        first, end = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        for each in partitions:
            consumer.seek(each, first[each])
        yield History(consumer, {(each.topic, each.partition): (first[each], end[each]) for each in partitions})
    finally:
        await finish(consumer.stop())
