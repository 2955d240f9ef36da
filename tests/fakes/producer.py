"""An in-memory `bitloot.kafka.Producer`: acknowledges at once, or later, or not at all."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bitloot.contracts import codec
from bitloot.contracts.base import Record
from bitloot.contracts.topics import Topic
from bitloot.errors import Cause, Malformed, Transient


@dataclass(frozen=True)
class Sent:
    """What the broker would hold: the record as a consumer decodes it, and the bytes it was read from."""

    topic: Topic
    key: str
    record: Record
    value: bytes


class FakeProducer:
    """Keeps what was acknowledged in `sent`, in order.

    `away` makes every send fail as a broker that cannot be reached does; `hold()` delays acknowledgements
    until `release()`.
    """

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.away = False
        self._may_acknowledge = asyncio.Event()
        self._may_acknowledge.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    async def send(self, topic: Topic, key: str, record: Record) -> None:
        await self.post(topic, key, record)

    def post(self, topic: Topic, key: str, record: Record) -> Awaitable[object]:
        # Encoded and measured at once, as the real one does.
        value = codec.encode(record)
        if len(value) > codec.MAX_RECORD_BYTES:
            raise Malformed(Cause.TOO_LARGE, f"the record has {len(value)} bytes")
        return asyncio.ensure_future(self._acknowledge(topic, key, value))

    async def _acknowledge(self, topic: Topic, key: str, value: bytes) -> None:
        await self._may_acknowledge.wait()
        if self.away:
            raise Transient(Cause.BROKER_UNAVAILABLE, "the broker did not acknowledge")
        self.sent.append(Sent(topic, key, codec.decode(topic, value), value))

    def hold(self) -> None:
        self._may_acknowledge.clear()

    def release(self) -> None:
        self._may_acknowledge.set()

    def on(self, topic: Topic) -> list[Record]:
        """Return the records on a topic, oldest first."""
        return [each.record for each in self.sent if each.topic.name == topic.name]
