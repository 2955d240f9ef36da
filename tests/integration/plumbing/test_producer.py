"""The producer against a real broker, and against one that goes away."""

import asyncio
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import OutOfOrderSequenceNumber
from aiokafka.structs import TopicPartition

from bitloot import trace
from bitloot.contracts.codec import MAX_RECORD_BYTES, decode
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.errors import Cause, Malformed, Transient
from bitloot.health import Health
from bitloot.kafka import Producer, ProducerFailed
from tests.integration.plumbing.broker import Broker, revealed


async def test_a_sent_record_is_on_the_topic_with_its_key_and_trace(broker: Broker):
    topic = await broker.topic()
    event = revealed(1)
    async with Producer(broker.settings, client_id="test") as producer:
        with trace.use(None) as span:
            await producer.send(topic, event.order_id, event)

    (record,) = await broker.read(topic)
    assert record.key == event.order_id.encode()
    assert decode(topic, record.value) == event
    assert trace.from_headers(record.headers).trace_id == span.trace_id


async def test_posted_records_keep_their_order(broker: Broker):
    topic = await broker.topic()
    events = [revealed(n, order=revealed(0).order_id) for n in range(200)]
    async with Producer(broker.settings, client_id="test") as producer:
        await asyncio.gather(*(producer.post(topic, event.order_id, event) for event in events))

    assert [decode(topic, record.value) for record in await broker.read(topic)] == events


async def test_posted_records_keep_their_order_when_batches_fill_up(broker: Broker):
    """A record that finds its batch full takes turns; those after it must not overtake it."""
    topic = await broker.topic()
    order = revealed(0).order_id
    sizes = (10, 9_000, 10, 20_000, 3_000, 10)
    events = [
        revealed(n, order=order).model_copy(update={"event_id": f"{n}-{'x' * sizes[n % len(sizes)]}"})
        for n in range(120)
    ]
    async with Producer(broker.settings, client_id="test") as producer:
        await asyncio.gather(*(producer.post(topic, order, event) for event in events))

    assert [decode(topic, record.value) for record in await broker.read(topic)] == events


async def test_a_record_that_is_not_acknowledged_in_time_is_transient_and_its_fate_is_still_waited_for(broker: Broker):
    topic = await broker.topic()
    async with Producer(broker.settings, client_id="test", timeout_seconds=0.2) as producer:
        await producer.send(topic, "key", revealed(1))
        inner: AIOKafkaProducer = producer._connected.result()
        inner._metadata.leader_for_partition, leader = lambda _partition: -1, inner._metadata.leader_for_partition
        for late in (producer.post(topic, "key", revealed(2)), producer.send(topic, "key", revealed(3))):
            with pytest.raises(Transient):
                await late
        flushing = asyncio.ensure_future(producer.flush())
        await asyncio.sleep(0.1)
        assert not flushing.done()
        inner._metadata.leader_for_partition = leader
        with pytest.raises(Transient):  # the post's; a send has told its caller
            await flushing
        assert len(await broker.read(topic)) == 3
        await producer.flush()


async def test_a_record_that_nobody_waits_for_any_more_is_stored_all_the_same(broker: Broker):
    topic = await broker.topic()
    async with Producer(broker.settings, client_id="test") as producer:
        await producer.send(topic, "key", revealed(1))
        posted = producer.post(topic, "key", revealed(2))
        asyncio.ensure_future(posted).cancel()
        await producer.flush()
    assert len(await broker.read(topic)) == 2


async def test_a_record_given_up_before_there_was_a_connection_is_never_sent(broker: Broker):
    topic = await broker.topic()
    producer = Producer(broker.settings, client_id="test", timeout_seconds=0.05)
    with pytest.raises(Transient):
        await producer.send(topic, "key", revealed(1))
    producer._timeout = 30.0
    async with producer:
        await producer.send(topic, "key", revealed(2))
    assert [decode(topic, record.value) for record in await broker.read(topic)] == [revealed(2)]


async def test_flush_waits_for_posts_that_nobody_awaits(broker: Broker):
    topic = await broker.topic()
    async with Producer(broker.settings, client_id="test", linger_ms=50) as producer:
        for number in range(10):
            producer.post(topic, "key", revealed(number))
        await producer.flush()
        assert len(await broker.read(topic)) == 10


async def test_bytes_go_to_the_partition_that_is_named_and_none_deletes(broker: Broker):
    topic = await broker.topic(partitions=3)
    async with Producer(broker.settings, client_id="test") as producer:
        written = [producer.post_raw(topic.name, b"key", value, partition=2) for value in (b"value", None)]
        assert [((await each).partition, (await each).offset) for each in written] == [(2, 0), (2, 1)]

    records = await broker.read(topic)
    assert [(record.partition, record.key, record.value) for record in records] == [
        (2, b"key", b"value"),
        (2, b"key", None),
    ]


async def test_ebb_waits_until_the_broker_has_caught_up(broker: Broker):
    topic = await broker.topic()
    async with Producer(broker.settings, client_id="test") as producer:
        await producer.send(topic, "key", revealed(0))
        posted = [producer.post(topic, "key", revealed(n)) for n in range(50)]
        await producer.ebb(50, 60.0)
        assert not any(each.done() for each in posted), "so many may wait"
        await producer.ebb(10, 60.0)
        assert sum(not each.done() for each in posted) <= 10


async def test_ebb_waits_for_what_has_waited_for_long(broker: Broker):
    topic = await broker.topic()
    async with Producer(broker.settings, client_id="test") as producer:
        posted = [producer.post(topic, "key", revealed(n)) for n in range(50)]
        await producer.ebb(50, 0.0)
        assert all(each.done() for each in posted)


async def test_ebb_waits_for_what_has_found_its_batch_full(broker: Broker):
    topic = await broker.topic(partitions=1)
    async with Producer(broker.settings, client_id="test") as producer:
        await producer.ebb(50, 60.0)
        await producer.send(topic, "key", revealed(0))
        for number in range(8):
            producer.post_raw(topic.name, b"%d" % number, bytes(100_000), partition=0)
        assert producer.is_high(50, 60.0)
        await producer.ebb(50, 60.0)
        assert not producer.is_high(50, 60.0)
    assert [record.key for record in await broker.read(topic)][1:] == [b"%d" % number for number in range(8)]


async def test_ebb_ends_though_what_took_turns_was_given_up(broker: Broker):
    topic = await broker.topic()
    producer = Producer(broker.settings, client_id="test", timeout_seconds=0.05)  # not connected
    posted = producer.post(topic, "key", revealed(1))
    assert producer.is_high(50, 60.0)
    await producer.ebb(50, 60.0)
    with pytest.raises(Transient):
        await posted


async def test_flush_does_not_wait_for_what_is_posted_meanwhile(broker: Broker):
    topic = await broker.topic()
    missing = replace(ORDER_EVENTS, name=broker.prefix + "missing")
    async with Producer(broker.settings, client_id="test") as producer:
        posted = producer.post(topic, "key", revealed(1))
        flushing = asyncio.create_task(producer.flush())
        await asyncio.sleep(0)  # it has begun
        late = producer.post(missing, "key", revealed(2))
        await flushing
        assert posted.done()
        assert not late.done()
        late.cancel()


async def test_a_record_too_large_is_refused_before_it_is_sent(broker: Broker):
    topic = await broker.topic()
    event = revealed(1).model_copy(update={"event_id": "x" * MAX_RECORD_BYTES})
    async with Producer(broker.settings, client_id="test") as producer:
        with pytest.raises(Malformed) as refused:
            await producer.send(topic, "key", event)
    assert refused.value.cause is Cause.TOO_LARGE
    assert await broker.read(topic) == []


async def test_an_unknown_topic_is_transient(broker: Broker):
    missing = replace(ORDER_EVENTS, name=broker.prefix + "missing")
    async with Producer(broker.settings, client_id="test", timeout_seconds=0.5) as producer:
        with pytest.raises(Transient):
            await producer.send(missing, "key", revealed(1))
        assert producer.failed is None


async def test_a_refused_batch_ends_the_producer(broker: Broker):
    topic = await broker.topic()
    health = Health()
    async with Producer(broker.settings, client_id="test") as producer:
        producer.register(health)
        await producer.send(topic, "key", revealed(1))
        assert await health.failures() == {}

        # What the broker thinks is next and what we send next now differ, as after a batch that was lost.
        inner: AIOKafkaProducer = producer._connected.result()
        for partition in inner._txn_manager._sequence_numbers:
            inner._txn_manager._sequence_numbers[partition] += 7
        with pytest.raises(ProducerFailed) as failed:
            await producer.send(topic, "key", revealed(2))

        assert isinstance(failed.value.__cause__, OutOfOrderSequenceNumber)
        assert set(await health.failures(vital_only=True)) == {"producer"}
        for attempt in (producer.send(topic, "key", revealed(3)), producer.flush(), producer.watch()):
            with pytest.raises(ProducerFailed):
                await attempt


async def test_a_record_waits_for_a_leader_however_long_that_takes(broker: Broker):
    """A broker that starts knows its partitions before their leaders, and aiokafka dropped what had waited."""
    topic = await broker.topic()
    async with Producer(broker.settings, client_id="test") as producer:
        await producer.send(topic, "key", revealed(1))
        inner: AIOKafkaProducer = producer._connected.result()
        inner._metadata.leader_for_partition, leader = lambda _partition: -1, inner._metadata.leader_for_partition
        sending = asyncio.ensure_future(producer.post(topic, "key", revealed(2)))
        while not (batches := list(inner._message_accumulator._batches.values())):
            await asyncio.sleep(0)
        batches[0][0]._ctime -= 3600
        await inner.client.force_metadata_update()
        await asyncio.sleep(0.3)  # the sender looks for a leader again and again
        inner._metadata.leader_for_partition = leader
        await sending
    assert len(await broker.read(topic)) == 2


async def test_a_replay_larger_than_a_request_is_refused_before_it_is_sent(broker: Broker):
    """Its value may fit, and what came with it may not."""
    topic = await broker.topic()
    async with Producer(broker.settings, client_id="test") as producer:
        for key, headers in ((b"x" * 2**20, ()), (b"key", (("note", b"x" * 2**20),))):
            with pytest.raises(Malformed) as refused:
                await producer.send_raw(topic.name, key, b"value", headers)
            assert refused.value.cause is Cause.TOO_LARGE
        await producer.send_raw(topic.name, None, b"value")
        await producer.send_raw(topic.name, b"x" * 1000, None, [("note", b"x" * 1000)])
        assert producer.failed is None
    assert {(record.key, record.value) for record in await broker.read(topic)} == {
        (None, b"value"),
        (b"x" * 1000, None),
    }


async def test_keys_have_the_partition_that_kafka_gives_them(broker: Broker):
    """A record is enqueued without aiokafka's `send`; where it belongs must not depend on that."""
    topic = await broker.topic(partitions=7)
    keys = [f"key-{n}" for n in range(40)]
    async with Producer(broker.settings, client_id="test") as producer:
        await asyncio.gather(*(producer.post(topic, key, revealed(1)) for key in keys))
    async with AIOKafkaProducer(bootstrap_servers=broker.settings.kafka_bootstrap_servers) as plain:
        for key in keys:
            await plain.send_and_wait(topic.name, b"plain", key=key.encode())

    places: dict[bytes, set[int]] = {}
    for record in await broker.read(topic):
        places.setdefault(record.key, set()).add(record.partition)
    assert {len(each) for each in places.values()} == {1}
    assert len(places) == 40
    assert len({min(each) for each in places.values()}) == 7


async def test_numbers_of_batches_begin_anew_at_zero_after_the_last_one(broker: Broker):
    """Kafka numbers the records of a producer in each partition with 31 bits: months at some hundred a second."""
    topic = await broker.topic()
    order = revealed(0).order_id
    events = [revealed(n, order=order) for n in range(8)]
    async with Producer(broker.settings, client_id="test") as producer:
        inner = await producer._connected
        # As if so many had been sent: a broker takes any first number of a producer that it does not know.
        for partition in await inner.partitions_for(topic.name):
            inner._txn_manager._sequence_numbers[TopicPartition(topic.name, partition)] = 2**31 - 3
        for event in events[:2]:
            await producer.send(topic, order, event)
        await asyncio.gather(*(producer.post(topic, order, event) for event in events[2:6]))  # over the end
        for event in events[6:]:
            await producer.send(topic, order, event)

    assert [decode(topic, record.value) for record in await broker.read(topic)] == events
