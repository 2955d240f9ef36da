"""Fetching by sessions from a real broker: everything arrives, in order, whatever is paused or read again."""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.fetch import FetchRequest

from bitloot.fetch_sessions import by_sessions
from bitloot.kafka import Producer
from tests.integration.plumbing.broker import Broker, revealed

PARTITIONS = 6


class _Listening:
    """Notes what fetches name, where they leave for the broker."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.named: list[int] = []
        self._send = consumer._client.send
        consumer._client.send = self.send

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            self.named.append(sum(len(partitions) for _, partitions in request.topics))
        return await self._send(node_id, request, **options)


async def test_all_records_arrive_and_few_partitions_are_named(broker: Broker):
    topic = await broker.topic(partitions=PARTITIONS)
    places = [TopicPartition(topic.name, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="none", enable_auto_commit=False)
    listening = _Listening(consumer)
    by_sessions(consumer)
    await consumer.start()
    consumer.assign(places)
    for place in places:
        consumer.seek(place, 0)

    async def take(count: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [(record.partition, record.offset) for record in records]
        return found

    try:
        async with Producer(broker.settings, client_id="test") as producer:

            async def put(partition: int) -> None:
                event = revealed(partition)
                await producer.post_raw(topic.name, b"key", event.model_dump_json().encode(), partition=partition)

            for number in range(PARTITIONS):  # each is in no fetch while its record waits to be taken
                await put(number)
                assert await take(1) == [(number, 0)]

            consumer.pause(places[0])
            await put(0)
            await put(1)
            assert await take(1) == [(1, 1)]
            consumer.resume(places[0])
            assert await take(1) == [(0, 1)]

            consumer.seek(places[2], 0)  # where the session has been before
            assert await take(1) == [(2, 0)]
            consumer.seek(places[1], 1)
            assert await take(1) == [(1, 1)]
    finally:
        await consumer.stop()
    assert listening.named[0] == PARTITIONS
    assert max(listening.named[1:]) < PARTITIONS
