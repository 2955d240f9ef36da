"""What a consumer looks at while it is connected, besides records."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from bitloot.cluster import Cluster, LogLost, complaints, look
from bitloot.consumer.condition import Condition
from bitloot.consumer.dispatch import Window


async def watch_cluster(consumer: AIOKafkaConsumer, known: Cluster, condition: Condition, every: float) -> None:
    """Raise `LogLost` when topics were made anew, or another cluster answers; note when none does.

    Looks each `every` seconds.
    """
    wanted = known.topic_ids
    while True:
        await asyncio.sleep(every)
        try:
            async with asyncio.timeout(every):
                now = await look(consumer._client, wanted)  # noqa: SLF001 - the public client cannot ask for ids
        except (KafkaError, TimeoutError) as error:
            condition.waits(in_words(error))
            continue
        if found := complaints(known, now):
            raise LogLost(*found)
        if missing := now.missing(wanted):
            condition.waits(f"Kafka does not have the topics {', '.join(missing)} any more")
        else:
            condition.goes_on()


async def watch_fetching(consumer: AIOKafkaConsumer, windows: Mapping[TopicPartition, Window], every: float) -> None:
    """Raise KafkaError, for a new connection, when the broker has records for us and nothing comes.

    Fetching has been seen to stand still after broker trouble, without an error:
    https://github.com/aio-libs/aiokafka/issues/1154. Looks each `every` seconds.
    """
    before: dict[TopicPartition, int] = {}
    while True:
        await asyncio.sleep(every)
        behind: dict[TopicPartition, int] = {}
        with contextlib.suppress(TimeoutError, IllegalStateError):
            async with asyncio.timeout(every):
                behind = await _idle_behind(consumer, windows)
        stuck = [partition for partition, position in behind.items() if before.get(partition) == position]
        if stuck:
            raise KafkaError(f"nothing comes from {names(stuck)}")
        before = behind


async def _idle_behind(
    consumer: AIOKafkaConsumer, windows: Mapping[TopicPartition, Window]
) -> dict[TopicPartition, int]:
    """Return the positions of partitions that hold nothing here though there is more at the broker."""
    placed = {partition: window for partition, window in windows.items() if window.position is not None}
    ends = await consumer.end_offsets(placed) if placed else {}
    for partition, window in placed.items():
        window.found_end(ends[partition])
    idle = [partition for partition, window in placed.items() if not window.unfinished]
    positions = {partition: await consumer.position(partition) for partition in idle}
    return {partition: position for partition, position in positions.items() if position < ends[partition]}


def in_words(error: Exception) -> str:
    """Say that the broker is away, for people."""
    return f"Kafka does not answer ({type(error).__name__})"


def names(partitions: Iterable[TopicPartition]) -> str:
    """Return partitions for people."""
    return " ".join(sorted(f"{partition.topic}/{partition.partition}" for partition in partitions))
