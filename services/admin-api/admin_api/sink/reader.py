"""Kafka, as the sink reads it. The group only shares out partitions: the offsets are the database's."""

import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from admin_api.sink.source import RawRecord
from admin_api.sink.store import Partition
from bitloot.broker import options
from bitloot.cluster import Cluster, finish, look
from bitloot.errors import Cause, Transient
from bitloot.fetch_sessions import by_sessions
from bitloot.settings import KafkaSettings
from bitloot.witness import Witness

_POLL_MS = 500
_MAX_RECORDS = 5000  # some seconds' work for Postgres where it has to take them one by one, far below our time limit
_FETCH_WAIT_MS = 100
"""Only one fetch is out at a time: one for partitions that are read to their ends holds up what waits in the others."""
_FETCH_BYTES = 64 << 10
"""Until there is so much a broker lets that time pass: else each record that is written anywhere is an answer."""
_REQUEST_TIMEOUT_MS = 10_000
_METADATA_MS = 10_000  # new partitions are found within this; and see `bitloot.consumer.Limits.metadata`


class Reader(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """A member of the group. `era` changes whenever the assignment may have; what was read before is void then.

    Entering it joins, without waiting for an assignment. Raises KafkaError or `Transient`, and `LogLost` when
    the topics are not those that `witness` knows.
    """

    cluster: Cluster

    def __init__(
        self, settings: KafkaSettings, topics: Iterable[str], *, group: str, client_id: str, witness: Witness
    ) -> None:
        self.era = 0
        self._witness = witness
        self._topics = frozenset(topics)
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._heard_at = time.monotonic()
        self._consumer = by_sessions(
            AIOKafkaConsumer(
                **options(settings),
                group_id=group,
                client_id=client_id,
                enable_auto_commit=False,
                # Whoever asks for an offset that does not exist shall hear of it: never start anywhere silently.
                auto_offset_reset="none",
                fetch_max_wait_ms=_FETCH_WAIT_MS,
                fetch_min_bytes=_FETCH_BYTES,
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
                metadata_max_age_ms=_METADATA_MS,
            )
        )

    async def __aenter__(self) -> Self:
        try:
            await self._join()
        except BaseException:
            await self._stop()
            raise
        return self

    async def _join(self) -> None:
        await self._consumer.start()
        self.cluster = await self.look()
        await self._witness.confirm(self.cluster, self._topics)
        if missing := self.cluster.missing(self._topics):
            raise Transient(Cause.BROKER_UNAVAILABLE, f"topics are missing: {', '.join(missing)}")
        # Only now: starting with a subscription waits for its first assignment, however long that takes.
        self._consumer.subscribe(sorted(self._topics), listener=self)

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        await finish(self._consumer.stop())

    async def look(self) -> Cluster:
        """Ask which cluster and topics these are now. Raises KafkaError."""
        return await look(self._consumer._client, self._topics)  # noqa: SLF001 - the public client cannot ask for ids

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's
        """Give all partitions up: a rebalance takes all and then gives some."""
        self.era += 1
        self._assigned = frozenset()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin a new era with these partitions."""
        self.era += 1
        self._assigned = frozenset(assigned)

    async def bounds(self) -> dict[Partition, tuple[int, int]]:
        """Return the first offset and the one after the last of each assigned partition."""
        assigned = self._assigned
        if not assigned:
            return {}
        first = await self._consumer.beginning_offsets(assigned)
        end = await self._consumer.end_offsets(assigned)
        self._heard_at = time.monotonic()
        return {(each.topic, each.partition): (first[each], end[each]) for each in assigned}

    async def ends(self) -> dict[Partition, int]:
        """Return the offset after the last of each assigned partition."""
        assigned = self._assigned
        ends = await self._consumer.end_offsets(assigned) if assigned else {}
        self._heard_at = time.monotonic()
        return {(each.topic, each.partition): end for each, end in ends.items()}

    def silence(self) -> float:
        """Return for how many seconds the broker has said nothing, though it was asked."""
        return time.monotonic() - self._heard_at

    def waiting(self, cursors: Mapping[Partition, int]) -> int:
        """Return how many records the broker has told of, with what it sent, that lie behind these cursors."""
        found = 0
        for each in self._assigned:
            cursor = cursors.get((each.topic, each.partition))
            if cursor is not None:
                found += max(0, (self._consumer.highwater(each) or 0) - cursor)
        return found

    def seek(self, positions: Mapping[Partition, int]) -> None:
        """Read on from these offsets. Raises KafkaError when a partition is ours no more."""
        for partition, offset in positions.items():
            self._consumer.seek(TopicPartition(*partition), offset)

    async def poll(self, partitions: Iterable[Partition]) -> dict[Partition, list[RawRecord]]:
        """Wait a moment for records of these partitions. Raises KafkaError."""
        chosen = [TopicPartition(*each) for each in partitions]
        era = self.era
        try:
            # Polls with no partitions, too (more sinks than partitions, or between two assignments): a member that
            # does not poll is thrown out, and never joins again.
            found = await self._consumer.getmany(*chosen, timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
        except (NoOffsetForPartitionError, OffsetOutOfRangeError):
            if chosen and era == self.era:
                raise
            return {}  # of a partition that came just now and has not been placed yet
        if not chosen:
            return {}
        return {(each.topic, each.partition): records for each, records in found.items()}
