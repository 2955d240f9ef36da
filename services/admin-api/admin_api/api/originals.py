"""Reads single records from Kafka, by where they are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from bitloot.broker import options
from bitloot.errors import Cause, Transient
from bitloot.settings import KafkaSettings

_SECONDS = 10.0
_STOP_SECONDS = 2.0


class KafkaOriginals:
    """Opens a consumer for each click: that is rare, and a click may take a moment."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    @asynccontextmanager
    async def open(self) -> AsyncIterator["OpenKafkaOriginals"]:
        """Connect for a while. Entering raises `Transient`."""
        consumer = AIOKafkaConsumer(**options(self._settings), enable_auto_commit=False, auto_offset_reset="none")
        try:
            try:
                async with asyncio.timeout(_SECONDS):
                    await consumer.start()
            except (KafkaError, TimeoutError) as error:
                raise Transient(Cause.BROKER_UNAVAILABLE, "Kafka cannot be reached") from error
            yield OpenKafkaOriginals(consumer)
        finally:
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await consumer.stop()


class OpenKafkaOriginals:
    """Reads with one consumer."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None:
        """Return a record's value, None when Kafka no longer has it. Raises `Transient`."""
        try:
            async with asyncio.timeout(_SECONDS):
                return await _record_at(self._consumer, TopicPartition(topic, partition), offset)
        except (KafkaError, TimeoutError) as error:
            raise Transient(Cause.BROKER_UNAVAILABLE, f"Kafka gave no record of {topic}") from error


async def _record_at(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> bytes | None:
    consumer.assign([partition])
    end = (await consumer.end_offsets([partition]))[partition]
    if offset >= end:
        return None
    consumer.seek(partition, offset)
    try:
        record = await consumer.getone(partition)
    except OffsetOutOfRangeError:
        return None
    # With the record gone, the next one that is left comes.
    return record.value if record.offset == offset else None
