"""Reading changelogs beside the group, with a consumer of our own: nothing but the broker is in between."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from bitloot.broker import options
from bitloot.cluster import LogLost, finish
from bitloot.faust_app.store import Change, Store

_FETCH_BYTES = 4 << 20  # for each partition and fetch; changelogs are read from end to end
_FETCH_WAIT_MS = 250


class Extent(NamedTuple):
    """Where a partition begins, and where it ends: the offset that its next record gets."""

    beginning: int
    end: int


@asynccontextmanager
async def reading(app: Any, purpose: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer without a group that is nowhere yet. Raises KafkaError when there is no broker."""
    consumer = AIOKafkaConsumer(
        **options(app.kafka),
        client_id=f"{app.conf.id}-{purpose}",
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=_FETCH_WAIT_MS,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await finish(consumer.stop())


async def extents(consumer: AIOKafkaConsumer, tps: Iterable[TP]) -> dict[TopicPartition, Extent]:
    """Assign these partitions to the consumer, and return where each begins and ends at present."""
    partitions = [TopicPartition(*tp) for tp in sorted(tps)]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    beginnings = await consumer.beginning_offsets(partitions)
    return {p: Extent(beginnings[p], ends[p]) for p in partitions}


def begin(
    consumer: AIOKafkaConsumer, stores: Mapping[TP, Store], known: Mapping[TopicPartition, Extent]
) -> dict[TopicPartition, int]:
    """Let the consumer read on from where each store stands; return the present ends of all that have more.

    It can begin stores anew, so they must still be the caller's to write: hence it waits for nothing. Raises `LogLost`
    when a store and its changelog do not fit together.
    """
    starts = {p: start(p, stores[TP(*p)], extent.beginning, extent.end) for p, extent in known.items()}
    for partition, offset in starts.items():
        consumer.seek(partition, offset)
    return {p: extent.end for p, extent in known.items() if starts[p] < extent.end}


def start(partition: TopicPartition, store: Store, beginning: int, end: int) -> int:
    """Return the offset to read on from. Raises as `begin` does."""
    persisted = store.persisted_offset(TP(*partition))
    name = f"{partition.topic}/{partition.partition}"
    if persisted is not None and persisted >= end:
        raise LogLost(f"the table on this disk has read {name} up to offset {persisted}, but it ends at {end}")
    if persisted is not None and store.is_stale(partition.partition):
        store.set_aside(partition.partition)
        persisted = None
    following = 0 if persisted is None else persisted + 1
    # A compacted topic keeps its beginning, whatever is removed from it.
    if following < beginning:
        raise LogLost(f"{name} begins at offset {beginning}, but the table on this disk has not read {following} yet")
    return following


def changes(records: Sequence[Any], end: int | None = None) -> Iterable[Change]:
    """Return records as stores take them, up to `end`."""
    return (Change(each.offset, each.key, each.value) for each in records if end is None or each.offset < end)
