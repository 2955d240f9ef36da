"""Records that nobody may write, for every topic, and the limit of a topic raised so that it takes them."""

import asyncio
import json
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError

import bitloot.contracts
from bitloot.contracts.topics import ORDER_STATE, Topic

HUGE = b"x" * 5_000_000
EXAMPLES = Path(bitloot.contracts.__file__).parent / "examples"


def example(topic_name: str) -> tuple[bytes, bytes]:
    """Return the key and the value of a good record, the first example of a topic."""
    path = min((EXAMPLES / topic_name).glob("*.json"))
    record = json.loads(path.read_text())
    key = record.get("order_id") or record.get("reservation_id") or record["event_id"]
    return key.encode(), json.dumps(record).encode()


def litter(topic_name: str, *, key_matters: bool = True) -> list[tuple[bytes | None, bytes | None]]:
    """Return keys and values: each record is bad in one way."""
    key, value = example(topic_name)
    record = json.loads(value)
    bad: list[tuple[bytes | None, bytes | None]] = [
        (key, b""),
        (key, b"\xff not json"),
        (key, b"[" * 100_000),
        (key, json.dumps(record | {"schema_version": 99}).encode()),
        (key, json.dumps(record | {"type": "of.tomorrow"}).encode()),
        (key, HUGE),
        (HUGE, b"{}"),
        (None, b""),
    ]
    if key_matters:
        bad += [(b"somebody else", value), (None, value), (b"\xff", value)]
    if topic_name == ORDER_STATE.name:  # compacted: the broker itself refuses what has no key
        return [(key, value) for key, value in bad if key is not None]
    bad.append((key, None))  # there it would say that an order has left
    return bad


async def raise_limit(bootstrap: str, topic: Topic) -> None:
    """Do what an operator might do: let the topic take records of 20 MB."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        configs = topic.config | {"max.message.bytes": "20000000"}
        for answer in await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, configs)]):
            assert not any(code for code, *_ in answer.resources), answer
    finally:
        await admin.close()


async def throw(bootstrap: str, topic: Topic, records: list[tuple[bytes | None, bytes | None]]) -> None:
    """Write records, each in its partition's order; waits for a limit that was just raised to be known."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=20_000_000)
    await producer.start()
    try:
        async with asyncio.timeout(60):
            for key, value in records:
                while not await _sent(producer, topic, key, value):
                    await asyncio.sleep(0.05)
    finally:
        await producer.stop()


async def _sent(producer: AIOKafkaProducer, topic: Topic, key: bytes | None, value: bytes | None) -> bool:
    try:
        await producer.send_and_wait(topic.name, value, key=key)
    except MessageSizeTooLargeError:
        return False
    return True
