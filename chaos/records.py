"""Reads whole topics, from their beginnings to their present ends."""

from collections.abc import AsyncIterator, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from bitloot.contracts.state import OrderSnapshot
from bitloot.contracts.topics import ORDER_STATE, ORDERS_CHANGELOG
from chaos.facts import Place, State
from chaos.litter import MARK, TOPICS
from fulfillment.codec import order_from_bytes
from fulfillment.snapshot import items_of


async def everything(bootstrap_servers: str) -> AsyncIterator[ConsumerRecord]:
    """Yield every record of every topic, the broker's own included."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        described = await admin.describe_topics()
    finally:
        await admin.close()
    async for record in _records(bootstrap_servers, described):
        yield record


async def of(bootstrap_servers: str, *topics: str) -> AsyncIterator[ConsumerRecord]:
    """Yield every record of some topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        described = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    async for record in _records(bootstrap_servers, described):
        yield record


async def _records(bootstrap_servers: str, described: list[dict[str, object]]) -> AsyncIterator[ConsumerRecord]:
    partitions = [TopicPartition(t["topic"], p["partition"]) for t in described for p in t["partitions"]]  # type: ignore[attr-defined]  # aiokafka has no types
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    yield record
    finally:
        await consumer.stop()


async def states(bootstrap_servers: str) -> Mapping[str, State]:
    """Return the newest snapshot of each order."""
    found: dict[str, State] = {}
    async for record in of(bootstrap_servers, ORDER_STATE.name):
        if record.value is not None and not is_litter(record):
            told = OrderSnapshot.model_validate_json(record.value)
            items = {str(item.item_id): item.status.value for item in told.items}
            found[record.key.decode()] = State(told.status, told.version, items)
    return found


async def tables(bootstrap_servers: str) -> Mapping[str, State]:
    """Return the orders as the orders agent's table has them, from its changelog."""
    found: dict[str, State] = {}
    async for record in of(bootstrap_servers, ORDERS_CHANGELOG.name):
        if record.value is not None:
            order = order_from_bytes(record.value)
            items = {str(item.item_id): item.status.value for item in items_of(order)}
            found[record.key.decode()] = State(order.status, order.version, items)
    return found


async def litter(bootstrap_servers: str) -> frozenset[tuple[str, Place]]:
    """Return (consumer, place) of each dead letter that the bad records on the topics must have become."""
    consumers = {topic.name: topic.consumers for topic in TOPICS}
    found: set[tuple[str, Place]] = set()
    async for record in of(bootstrap_servers, *consumers):
        if is_litter(record):
            place = Place(record.topic, record.partition, record.offset)
            found |= {(consumer, place) for consumer in consumers[record.topic]}
    return frozenset(found)


def is_litter(record: ConsumerRecord) -> bool:
    """Tell whether we put down this record."""
    return any(name == MARK for name, _ in record.headers)
