"""Puts records on the topics that no consumer can use; each must become a dead letter of each consumer."""

import asyncio
import json
import random
import uuid
from collections import Counter

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from bitloot.contracts.topics import (
    DELIVERIES,
    KINGUIN_CALLS,
    KINGUIN_NOTICES,
    KINGUIN_SALES,
    ORDER_EVENTS,
    ORDER_STATE,
    PAYMENT_CALLS,
    STOCK_CALLS,
    WEBHOOKS_LOG,
)

MARK = "chaos-litter"
"""The header by which such a record is known again."""
TOPICS = (
    ORDER_EVENTS,
    KINGUIN_NOTICES,
    KINGUIN_CALLS,
    PAYMENT_CALLS,
    KINGUIN_SALES,
    STOCK_CALLS,
    DELIVERIES,
    ORDER_STATE,
    WEBHOOKS_LOG,
)
_EVERY_SECONDS = 2.0
_LARGE = 800_000  # bytes; about what a broker takes


def _record(**members: object) -> bytes:
    return json.dumps(
        {"schema_version": 1, "event_id": "litter", "occurred_at": "2026-01-01T00:00:00Z", **members}
    ).encode()


def values() -> dict[str, bytes]:
    """Return bad values by what is wrong with them."""
    order = str(uuid.uuid4())
    return {
        "empty": b"",
        "not JSON": b'{"schema_version": 1, "event_id":',
        "not UTF-8": b"\xff\xfe\xfd",
        "a list": b"[1, 2, 3]",
        "of an unknown version": _record(schema_version=99, type="timer.fired", order_id=order),
        "of an unknown type": _record(type="key.stolen", order_id=order),
        "without its order": _record(type="timer.fired"),
        "large": b"x" * _LARGE,
    }


async def litter(bootstrap_servers: str, seed: int, sent: Counter[str]) -> None:
    """Put down a record every two seconds until canceled; what is not acknowledged may be there or not."""
    dice = random.Random(f"{seed}/litter")  # noqa: S311 - repeatable on purpose
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", request_timeout_ms=5_000)
    await producer.start()
    try:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            topic, (name, value) = dice.choice(TOPICS), dice.choice(list(values().items()))
            key = str(uuid.UUID(int=dice.getrandbits(128))).encode()
            try:
                await producer.send_and_wait(topic.name, value, key=key, headers=[(MARK, name.encode())])
                sent[name] += 1
            except KafkaError:
                sent["not acknowledged"] += 1
    finally:
        await producer.stop()
