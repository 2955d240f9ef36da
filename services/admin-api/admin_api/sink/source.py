"""What the sink reads: the topics, and one record as Kafka gave it."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from bitloot.contracts.topics import DEAD_LETTERS, ORDER_EVENTS, ORDER_STATE, WEBHOOKS_LOG, Topic

_PARTITION_BITS = 12  # 4096 partitions, and 2^41 records in each before JavaScript could not hold an id


@dataclass(frozen=True, slots=True)
class Topics:
    """The four topics of the sink; tests give them other names."""

    events: Topic = ORDER_EVENTS
    state: Topic = ORDER_STATE
    webhooks: Topic = WEBHOOKS_LOG
    dead_letters: Topic = DEAD_LETTERS

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        return (self.events.name, self.state.name, self.webhooks.name, self.dead_letters.name)


class RawRecord(NamedTuple):
    """One record, not decoded. `recorded_at` is its timestamp in Kafka."""

    topic: str
    partition: int
    offset: int
    recorded_at: datetime
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def number(self) -> int:
        """A number that no other record of the topic has; it fits 53 bits, and a rebuild gives the same."""
        return self.offset << _PARTITION_BITS | self.partition
