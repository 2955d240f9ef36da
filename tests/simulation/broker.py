"""The virtual broker: logs that never lose a record, committed offsets, and who owns what."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bitloot.contracts.topics import DELIVERIES, KINGUIN_CALLS, KINGUIN_NOTICES, ORDER_EVENTS, PAYMENT_CALLS, Topic
from tests.simulation.schedule import PARTITIONS, Group

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World

TOPICS: dict[Group, tuple[Topic, ...]] = {
    "fulfillment": (ORDER_EVENTS, KINGUIN_NOTICES),
    "payments": (PAYMENT_CALLS,),
    "kinguin": (KINGUIN_CALLS,),
    "delivery": (DELIVERIES,),
}
READ = {topic.name: group for group, topics in TOPICS.items() for topic in topics}
Slot = tuple[str, int]
"""A topic's name and a partition."""


@dataclass(frozen=True, slots=True)
class Written:
    """A record in the log, as aiokafka would hand it out."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def partition_of(key: bytes) -> int:
    """Return where the records of a key go."""
    return sum(key) % PARTITIONS


@dataclass
class Broker:
    """The log, what each group has committed, and who owns what as far as the broker knows."""

    world: "World"
    log: dict[Slot, list[Written]] = field(default_factory=dict)
    committed: dict[tuple[str, str, int], int] = field(default_factory=dict)
    owners: dict[tuple[Group, int], "Process"] = field(default_factory=dict)
    handled: set[tuple[str, int, int]] = field(default_factory=set)
    """Topic, partition and offset of what somebody has handled to its end."""

    def records(self, topic: str, partition: int) -> list[Written]:
        return self.log.setdefault((topic, partition), [])

    def all(self, topic: Topic) -> list[Written]:
        """Return a topic's records, partition by partition."""
        return [record for partition in range(PARTITIONS) for record in self.records(topic.name, partition)]

    def append(self, topic: str, key: bytes, value: bytes | None) -> Written:
        partition = partition_of(key)
        records = self.records(topic, partition)
        record = Written(topic, partition, len(records), key, value)
        records.append(record)
        self.world.watch.appended(record)
        reader = self.owners.get((READ[topic], partition)) if topic in READ else None
        if reader is not None:
            reader.news.set()
        return record

    def commit(self, process: "Process", topic: str, partition: int, head: int) -> bool:
        """Move a group's offset; what a member says that is no longer the owner is refused."""
        if self.world.away("broker"):
            return False
        if self.owners.get((process.group, partition)) is process:
            self.committed[process.group, topic, partition] = head
        return True

    def unhandled(self) -> list[tuple[str, int, int]]:
        """Return what was read over."""
        places = ((n, p, r.offset) for (n, p), records in self.log.items() if n in READ for r in records)
        return [place for place in places if place not in self.handled]

    def start(self, group: str, topic: str, partition: int) -> int:
        return self.committed.get((group, topic, partition), 0)
