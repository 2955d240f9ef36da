"""One attempt at one record: decode, handle, put aside."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import ConsumerRecord

from bitloot import log, trace
from bitloot.contracts.codec import decode
from bitloot.contracts.events import OrderRecord
from bitloot.contracts.topics import Topic
from bitloot.dead_letters import Allowance, put_aside
from bitloot.errors import Cause, Malformed, Transient
from bitloot.kafka import Producer, ProducerFailed

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Consumed:
    """A decoded record and where it came from."""

    topic: Topic
    partition: int
    offset: int
    key: str
    record: Any
    headers: dict[str, str]
    timestamp: datetime


Handle = Callable[[Consumed], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Attempts:
    """Tries records, each within its own trace."""

    handle: Handle
    topics: Mapping[str, Topic]
    consumer: str
    dead_letters: Producer
    dead_letters_topic: Topic
    allowance: Allowance

    async def attempt(self, record: ConsumerRecord) -> bool:
        """Handle a record or put it aside; False when it has to be tried again. Raises `ProducerFailed`."""
        with trace.use(trace.from_headers(record.headers), f"{record.topic} process", "consumer", **_told(record)):
            if self.topics[record.topic].key == "order id":
                trace.join((record.key or b"").decode(errors="replace"))
            try:
                return await self._handle_or_put_aside(record)
            except Transient as error:
                _log.warning("record.waits", **_where(record), cause=error.cause, detail=error.detail)
                return False

    async def _handle_or_put_aside(self, record: ConsumerRecord) -> bool:
        try:
            await self.handle(_decoded(self.topics[record.topic], record))
        except (Transient, ProducerFailed):
            raise
        except Malformed as error:
            await self._put_aside(record, error)
        except Exception as error:  # noqa: BLE001 - a bug in one record's handling must not stop the others
            if not self.allowance.take():
                _log.exception("record.waits", **_where(record), cause=Cause.DEFECT)
                return False
            await self._put_aside(record, error)
        return True

    async def _put_aside(self, record: ConsumerRecord, error: Exception) -> None:
        await put_aside(self.dead_letters, self.consumer, record, error, topic=self.dead_letters_topic)


def _decoded(topic: Topic, record: ConsumerRecord) -> Consumed:
    try:
        key = (record.key or b"").decode()
    except UnicodeDecodeError:
        raise Malformed(Cause.BAD_RECORD, "the key is not UTF-8") from None
    decoded = decode(topic, record.value)
    if isinstance(decoded, OrderRecord) and decoded.order_id != key:
        # It would be handled beside the order's other records instead of after them.
        raise Malformed(Cause.BAD_RECORD, "the key is not the order id")
    return Consumed(
        topic=topic,
        partition=record.partition,
        offset=record.offset,
        key=key,
        record=decoded,
        headers={name: (value or b"").decode(errors="replace") for name, value in record.headers},
        timestamp=datetime.fromtimestamp(record.timestamp / 1000, UTC),
    )


def _told(record: ConsumerRecord) -> dict[str, str | int]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }


def _where(record: ConsumerRecord) -> dict[str, object]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
