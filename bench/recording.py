"""What really went through the topics, to be told again: many times over, each time of other orders.

A worker that is measured alone gets records as the whole system had made them, not what somebody thought of.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from bitloot.contracts.topics import Topic
from bitloot.ids import order_id

_ORDER = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_IDS = re.compile(rb'("(?:payment_id|invoice_id|reservation_id|provider_message_id)":"[^"]+|"external_id":"[^"-]+)"')
"""Ids at the providers. An external id with a hyphen is made of our order's id, and changes with it."""


@dataclass(frozen=True, slots=True)
class Told:
    """A record: key, value, headers."""

    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


async def read(bootstrap: str, topics: Iterable[Topic]) -> Mapping[str, Sequence[Told]]:
    """Return all records of these topics, by topic, in the order of their offsets within each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        return {topic.name: await _read(consumer, topic.name) for topic in topics}
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, topic: str) -> list[Told]:
    await consumer._client._wait_on_metadata(topic)  # noqa: SLF001 - the public way knows only what it subscribed to
    places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    found: list[Told] = []
    while [place for place in places if await consumer.position(place) < ends[place]]:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            found += [Told(record.key, record.value, tuple(record.headers)) for record in records]
    return found


def copies(records: Sequence[Told], count: int, name: str = "again") -> Iterator[Told]:
    """Tell the records `count` times, each time of other orders, with other ids at the providers.

    The same `name` gives the same orders.
    """
    for number in range(count):
        yield from (_copy(told, number, name) for told in records)


def _copy(told: Told, number: int, name: str) -> Told:
    def other(found: "re.Match[bytes]") -> bytes:
        return order_id(f"bench {name} {number} {found[0].decode()}").encode()

    def marked(text: bytes) -> bytes:
        return _IDS.sub(lambda found: found[1] + b'%d"' % number, _ORDER.sub(other, text))

    return Told(marked(told.key), marked(told.value) if told.value is not None else None, told.headers)
