"""What the sink reads: the topics, and one record as Kafka gave it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from bitloot.contracts.topics import DEAD_LETTERS, ORDER_EVENTS, ORDER_STATE, WEBHOOKS_LOG, Topic
from bitloot.dead_letters import Taken

PARTITION_BITS = 12  # 4096 partitions, and 2^41 records in each before JavaScript could not hold an id


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


class RawRecord(Taken, Protocol):
    """One record, not decoded: as aiokafka gives it, for making another of each takes longer than reading its head."""

    @property
    def timestamp(self) -> int:
        """When it was recorded, in milliseconds since 1970."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Pairs."""


def recorded_at(raw: RawRecord) -> datetime:
    """Return a record's timestamp in Kafka."""
    return datetime.fromtimestamp(raw.timestamp / 1000, UTC)


def number(raw: RawRecord) -> int:
    """Return a number that no other record of the topic has; it fits 53 bits, and a rebuild gives the same."""
    return raw.offset << PARTITION_BITS | raw.partition
