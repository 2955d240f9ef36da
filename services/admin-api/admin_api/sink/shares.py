"""Taking records of all topics alike, where many wait."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from aiokafka.structs import TopicPartition

from admin_api.sink.source import RawRecord

Taken: TypeAlias = dict[TopicPartition, list[RawRecord]]
_SHARES = 4


class GetMany(Protocol):
    """What takes fetched records: aiokafka's consumer."""

    async def __call__(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> Taken:
        """Return up to so many records, those of one partition after those of the other; without any it waits."""


async def take(getmany: GetMany, partitions: Sequence[TopicPartition], *, wait_ms: int, most: int) -> Taken:
    """Return up to `most` records; waits until there are some. Of one topic only a share while others have more.

    Events are most of our own work and notifications PostgreSQL's: read one after the other, as aiokafka gives them,
    either would wait for the other for as long as the backlog of a topic lasts.
    """
    share = most // _SHARES
    found = await getmany(*partitions, timeout_ms=wait_ms, max_records=share)
    if not partitions or _count(found) < share:
        return found
    for topic in sorted({each.topic for each in partitions}):
        of_topic = [each for each in partitions if each.topic == topic]
        known = sum(len(records) for each, records in found.items() if each.topic == topic)
        if known < share:
            _add(found, await getmany(*of_topic, timeout_ms=0, max_records=share - known))
    if (left := most - _count(found)) > 0:
        _add(found, await getmany(*partitions, timeout_ms=0, max_records=left))
    return found


def _count(found: Taken) -> int:
    return sum(map(len, found.values()))


def _add(found: Taken, more: Taken) -> None:
    for partition, records in more.items():
        found.setdefault(partition, []).extend(records)
