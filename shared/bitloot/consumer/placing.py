"""Where a consumer begins in the partitions that it was given: never at zero because an offset was lost."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from bitloot import log, metrics
from bitloot.cluster import Cluster, LogLost
from bitloot.witness import Witness

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a partition: its bounds, the group's offset, and the id of its topic."""

    partition: TopicPartition
    topic_id: str
    first: int
    end: int
    committed: OffsetAndMetadata | None
    begun: bool
    """Whether the group has begun this log before, according to the witness."""

    @property
    def place(self) -> int | None:
        """The group's offset in this log, or None.

        We commit with the topic's id as metadata, so an offset in a log of the same name that was deleted is
        told apart. One without an id was set by a person.
        """
        if self.committed is None or self.committed.metadata not in {"", self.topic_id}:
            return None
        return int(self.committed.offset)

    def complaint(self) -> str | None:
        """Return why nobody may go on here, or None."""
        name = f"{self.partition.topic}/{self.partition.partition}"
        if self.place is None:
            return f"the group has read {name}, but its offset is gone" if self.begun else None
        if self.place > self.end:
            return f"{name} ends at {self.end}, but the group has read up to {self.place}"
        return None

    def start(self) -> int:
        """Return where to read on; what expired unread is counted and told, as nobody can bring it back."""
        expired = 0 if self.place is None else self.first - self.place
        if expired > 0:
            _log.error("consumer.expired_unread", topic=self.partition.topic, partition=self.partition.partition)
            metrics.RECORDS_EXPIRED.labels(self.partition.topic).inc(expired)
        return self.first if self.place is None else max(self.place, self.first)


@dataclass(frozen=True, slots=True)
class Places:
    """Finds the places of one group in one cluster."""

    group: str
    cluster: Cluster
    witness: Witness

    async def find(
        self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return where to begin; what begins for the first time is committed and noted before.

        Raises `LogLost`, `Transient` when the witness is away, and KafkaError when the broker is or the
        partitions are ours no more.
        """
        found = await self._look(consumer, partitions)
        complaints = [complaint for each in found if (complaint := each.complaint()) is not None]
        if complaints:
            raise LogLost(*complaints)
        starts = {each.partition: each.start() for each in found}
        new = [each.partition for each in found if each.place is None]
        if new:
            _log.warning("consumer.begins", group=self.group, partitions=len(new))
            await consumer.commit({each: (starts[each], self.topic_id(each)) for each in new})
        # After the commit: a partition that is noted must have an offset.
        await self.witness.begin(self.group, self.cluster, [each.partition for each in found if not each.begun])
        return starts

    def topic_id(self, partition: TopicPartition) -> str:
        """Return the id to commit with."""
        return self.cluster.topic_ids[partition.topic]

    async def _look(self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> list[Found]:
        begun = await self.witness.begun(self.group, self.cluster, partitions)
        # The public method returns no metadata, and needs a request for each partition.
        coordinator: Any = consumer._coordinator  # noqa: SLF001
        committed: Mapping[TopicPartition, OffsetAndMetadata] = await coordinator.fetch_committed_offsets(
            list(partitions)
        )
        first, end = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        return [
            Found(each, self.topic_id(each), first[each], end[each], committed.get(each), each in begun)
            for each in partitions
        ]
