"""What a consumer gave up on: how it becomes a record on `dead-letters.v1`, and how many there may be."""

import base64
import hashlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from bitloot import log, metrics
from bitloot.contracts.dead_letters import DeadLetter
from bitloot.contracts.topics import DEAD_LETTERS, Topic
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import BitLootError, Cause
from bitloot.health import Health
from bitloot.ids import EventId
from bitloot.kafka import Producer
from bitloot.redaction import clean_text, writable

# All of them at their largest, and each character at its longest in JSON (6 bytes), stay below MAX_RECORD_BYTES:
# a record that could not even be put aside would stop its partition for ever.
MAX_VALUE_BYTES = 512 * 1024
_MAX_KEY_BYTES = 8 * 1024  # ours are ids; a longer one is in the topic itself
_MAX_HEADERS = 20
_MAX_HEADER_CHARACTERS = 200
_MAX_ERROR_CHARACTERS = 2000
_MAX_STACK_CHARACTERS = 16_000
_HELD_BACK_SECONDS = 15.0  # what waits is tried again every few seconds

_log = log.get(__name__)


class Taken(Protocol):
    """A record as it was taken from Kafka, by aiokafka or by Faust."""

    @property
    def topic(self) -> str:
        """The topic's name."""

    @property
    def partition(self) -> int:
        """The partition's number."""

    @property
    def offset(self) -> int:
        """Where it stands in the partition."""

    @property
    def key(self) -> bytes | None:
        """The raw key."""

    @property
    def value(self) -> bytes | None:
        """The raw value."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]] | Mapping[str, bytes] | None:
        """Pairs, or a mapping."""


class Allowance:
    """How many unexpected failures may be put aside in a minute.

    A bad deploy must not divert a whole topic: what exceeds the allowance waits in its place until a minute
    later, or until code comes that can handle it.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left = float(per_minute)
        self._at = clock()
        self._refused_at: float | None = None

    def take(self) -> bool:
        """Use one up; False when there is none left."""
        self._refill()
        if self._left < 1:
            self._refused_at = self._clock()
            return False
        self._left -= 1
        return True

    def register(self, health: Health, consumer: str) -> None:
        """Show in readiness and in a metric while records are held back."""
        health.register(f"{consumer} dead letters", self.check)
        metrics.HELD_BACK.labels(consumer).set_function(lambda: self.held_back)

    async def check(self) -> str | None:
        """Return why records wait, or None; a health check."""
        return "too many unexpected failures: what fails waits" if self.held_back else None

    @property
    def held_back(self) -> bool:
        """Whether records wait: one was refused lately, or would be now. Heals when nothing fails any more."""
        lately = self._refused_at is not None and self._clock() - self._refused_at < _HELD_BACK_SECONDS
        return lately or self.exhausted

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left right now."""
        self._refill()
        return self._left < 1

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._per_minute, self._left + (now - self._at) * self._per_minute / 60)
        self._at = now


def dead_letter(consumer: str, taken: Taken, error: BaseException) -> DeadLetter:
    """Build the record that tells what could not be handled, why, and all that a replay needs.

    A repeat has the same event id. Texts of errors are cut, and cleaned of what looks like a secret.
    """
    value = taken.value or b""
    stack = "" if isinstance(error, BitLootError) else "".join(traceback.format_exception(error))
    return DeadLetter(
        event_id=EventId(f"dead/{consumer}/{taken.topic}/{taken.partition}/{taken.offset}"),
        occurred_at=datetime.now(UTC),
        consumer=consumer,
        topic=taken.topic,
        partition=taken.partition,
        offset=taken.offset,
        key=_base64(taken.key, _MAX_KEY_BYTES),
        value=_base64(taken.value, MAX_VALUE_BYTES),
        value_length=len(value),
        value_sha256=hashlib.sha256(value).hexdigest(),
        value_cut=len(value) > MAX_VALUE_BYTES,
        headers=_texts(taken.headers),
        reason=reason(error),
        error=writable(clean_text(str(error) or type(error).__name__))[:_MAX_ERROR_CHARACTERS],
        stack=writable(clean_text(stack))[-_MAX_STACK_CHARACTERS:],
    )


def reason(error: BaseException) -> Cause:
    """Return the cause that a dead letter for this error is counted under."""
    return error.cause if isinstance(error, BitLootError) else Cause.DEFECT


async def put_aside(
    producer: Producer, consumer: str, taken: Taken, error: BaseException, *, topic: Topic = DEAD_LETTERS
) -> None:
    """Send the dead letter; returns once it is acknowledged, so that the offset may move.

    Raises as `Producer.send` does.
    """
    # A key of megabytes would make the letter too large for its topic; the letter has its beginning.
    key = (taken.key or b"")[:_MAX_KEY_BYTES].decode(errors="replace")
    await producer.send(topic, key, dead_letter(consumer, taken, error))
    reach(CrashPoint.DEAD_LETTER_SENT)
    metrics.DEAD_LETTERS.labels(taken.topic, reason(error)).inc()
    where = {"topic": taken.topic, "partition": taken.partition, "offset": taken.offset}
    _log.error("record.put_aside", **where, consumer=consumer, reason=reason(error), exc_info=error)


def _base64(raw: bytes | None, limit: int) -> str | None:
    return None if raw is None else base64.b64encode(raw[:limit]).decode()


def _texts(headers: Sequence[tuple[str, bytes]] | Mapping[str, bytes] | None) -> dict[str, str]:
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers or ())[:_MAX_HEADERS]
    texts = ((name, (value or b"").decode(errors="backslashreplace")) for name, value in pairs)
    return {name[:_MAX_HEADER_CHARACTERS]: text[:_MAX_HEADER_CHARACTERS] for name, text in texts}
