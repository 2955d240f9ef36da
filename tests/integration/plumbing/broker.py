"""The shared broker as the plumbing's tests see it: topics of a test's own, and what is on them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from bitloot import topics
from bitloot.contracts.events import KeysRevealed
from bitloot.contracts.topics import DEAD_LETTERS, ORDER_EVENTS, Topic
from bitloot.ids import EventId, OrderId, order_id
from bitloot.settings import KafkaSettings


@dataclass(frozen=True)
class Broker:
    """The shared broker as one test sees it."""

    settings: KafkaSettings
    prefix: str

    async def topic(self, like: Topic = ORDER_EVENTS, *, partitions: int = 1, name: str | None = None) -> Topic:
        """Create and return a topic of this test's own that carries what `like` carries."""
        topic = replace(like, name=self.prefix + (name or like.name))
        complaints = await topics.ensure(self.settings, [topic], partitions=partitions, replication=1)
        assert complaints == []
        return topic

    async def dead_letters(self) -> Topic:
        return await self.topic(DEAD_LETTERS)

    @property
    def bootstrap(self) -> str:
        return self.settings.kafka_bootstrap_servers

    async def read(self, topic: Topic) -> list[ConsumerRecord]:
        """Return all that is on the topic now, ordered within each partition."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            await consumer._client._wait_on_metadata(topic.name)
            partitions = [TopicPartition(topic.name, p) for p in consumer.partitions_for_topic(topic.name)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[ConsumerRecord] = []
            while [p for p in partitions if await consumer.position(p) < ends[p]]:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    found.extend(records)
            return sorted(found, key=lambda record: (record.partition, record.offset))
        finally:
            await consumer.stop()

    async def committed(self, group: str, topic: Topic, partition: int = 0) -> int | None:
        """Return the offset that the group has committed."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            return await consumer.committed(TopicPartition(topic.name, partition))
        finally:
            await consumer.stop()


def revealed(number: int, order: OrderId | None = None) -> KeysRevealed:
    """The smallest event there is, numbered."""
    return KeysRevealed(
        event_id=EventId(f"event-{number}"),
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        order_id=order or order_id(f"order {number}"),
    )
