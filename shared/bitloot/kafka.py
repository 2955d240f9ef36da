"""The producer that every process sends with: idempotent, acknowledged by the broker, bounded in time.

    async with Producer(settings, client_id="ingress") as producer:
        await producer.send(ORDER_EVENTS, order_id, record)           # acknowledged, or Transient after 5 s
        await asyncio.gather(                                         # several at once, order kept per key
            producer.post(KINGUIN_CALLS, order_id, first),
            producer.post(KINGUIN_CALLS, order_id, second),
        )

A `Transient` does not promise that the record will never arrive: a record that was handed to the broker may be
written after we stopped waiting. Records have deterministic event ids, so that this is a duplicate and no harm.

The broker numbers the batches of an idempotent producer. Once one of them fails for good, every later one of
its partition is out of sequence (https://github.com/aio-libs/aiokafka/issues/1017). So such a failure ends the
producer: every later send raises `ProducerFailed`, the vital check turns red, and `watch` raises for whoever
runs the process; a new process has a new producer id. The same when another cluster answers, or topics that were
made anew: `bitloot.pin` says why.
"""

import asyncio
import math
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Any, NoReturn, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, UnknownTopicOrPartitionError

from bitloot import log, metrics, trace
from bitloot.broker import options
from bitloot.cluster import finish
from bitloot.contracts.base import Record
from bitloot.contracts.codec import MAX_RECORD_BYTES, encode
from bitloot.contracts.topics import Topic
from bitloot.errors import Cause, Malformed, Transient
from bitloot.health import Health
from bitloot.pin import Pin
from bitloot.settings import KafkaSettings

Headers = Sequence[tuple[str, bytes]]

REQUEST_TIMEOUT_MS = 10_000  # a broker that hangs is asked again after this long; a repeat has the same number
RETRY_BACKOFF_MS = 250  # aiokafka writes two log lines for each try while a broker is away
_RECONNECT_SECONDS = 0.5
_METADATA_SECONDS = 10.0

_log = log.get(__name__)


class ProducerFailed(Exception):  # noqa: N818 - it names what happened, as the error families do
    """The producer will never send again: end the process before anything else is acknowledged."""


class Producer:
    """Sends records to Kafka; an async context manager.

    Entering it does not need a broker: until there is one, sends end in `Transient`. `linger_ms` trades that
    much latency for larger batches. `timeout` is what `send` waits at most, in seconds.
    """

    def __init__(
        self, settings: KafkaSettings, *, client_id: str, linger_ms: int = 0, timeout_seconds: float = 5.0
    ) -> None:
        self._options: dict[str, Any] = {
            **options(settings),
            "client_id": client_id,
            "linger_ms": linger_ms,
        }
        self._timeout = timeout_seconds
        self._connected: asyncio.Future[AIOKafkaProducer] = asyncio.get_running_loop().create_future()
        self._connecting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._enqueueing = asyncio.Lock()  # fair, so that records are enqueued in the order of the calls
        self._unacknowledged: set[asyncio.Future[Any]] = set()
        self._posted: set[asyncio.Task[None]] = set()
        self._unreported: BaseException | None = None
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self._connecting = asyncio.create_task(self._connect())
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._posted:
            await asyncio.wait(self._posted)  # each ends within the timeout
        for task in (self._connecting, self._watching):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        if self._connected.done():
            await finish(self._connected.result().stop())

    async def send(self, topic: Topic, key: str, record: Record) -> None:
        """Send a record and return once the broker has acknowledged it.

        Raises `Malformed` when it is too large, `Transient` when there was no acknowledgement in time, and
        `ProducerFailed` when there will never be one.
        """
        value = _checked(encode(record))
        await self._deliver(topic.name, key.encode(), value, trace.headers())

    def post(self, topic: Topic, key: str, record: Record) -> Awaitable[None]:
        """Enqueue a record now; await the result for its acknowledgement, which raises as `send` does.

        Records posted one after the other reach a partition in that order. A failure that nobody awaits is
        raised by the next `flush`. Raises `Malformed` at once when the record is too large.
        """
        value = _checked(encode(record))
        return self._post(topic.name, key.encode(), value, trace.headers())

    async def send_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Send bytes as they are; for replays. Otherwise as `send`."""
        await self._deliver(topic, key, value if value is None else _checked(value), headers)

    async def flush(self) -> None:
        """Wait for the fate of all that was sent or posted, however long that takes.

        Raises the first failure of a post since the last flush, or `ProducerFailed`.
        """
        while waiting := self._posted | self._unacknowledged:
            await asyncio.wait(waiting)
        self._raise_if_failed()
        if self._unreported is not None:
            error, self._unreported = self._unreported, None
            raise error

    @property
    def failed(self) -> BaseException | None:
        """What ended this producer for good, or None."""
        return self._failure.result() if self._failure.done() else None

    async def watch(self) -> NoReturn:
        """Wait until the producer has failed for good, then raise `ProducerFailed`: a task of every process."""
        await asyncio.shield(self._failure)
        self._raise_if_failed()
        raise AssertionError("unreachable")

    def register(self, health: Health, name: str = "producer") -> None:
        """Add two checks: `{name}`, vital, red when it failed for good; `{name} connection` until connected."""
        health.register(name, self._check_failed, vital=True)
        health.register(f"{name} connection", self._check_connected)

    async def _check_failed(self) -> str | None:
        return None if self.failed is None else f"failed for good: {type(self.failed).__name__}"

    async def _check_connected(self) -> str | None:
        return None if self._connected.done() else "not connected yet"

    async def _connect(self) -> None:
        while True:
            producer = AIOKafkaProducer(
                **self._options,
                acks="all",
                enable_idempotence=True,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                retry_backoff_ms=RETRY_BACKOFF_MS,
                metadata_max_age_ms=int(_METADATA_SECONDS * 1000),
                max_request_size=2**20,
            )
            keep_batches(producer)
            pin = Pin(producer.client, self._fail)
            try:
                await producer.start()
            except KafkaError as error:
                _log.warning("producer.not_connected", error=type(error).__name__)
                await finish(producer.stop())
                await asyncio.sleep(_RECONNECT_SECONDS)
            except asyncio.CancelledError:
                await finish(producer.stop())
                raise
            else:
                self._watching = asyncio.create_task(pin.watch(_METADATA_SECONDS))
                self._connected.set_result(producer)
                return

    def _post(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Awaitable[None]:
        task = asyncio.create_task(self._deliver(topic, key, value, headers))
        self._posted.add(task)
        task.add_done_callback(self._on_posted)
        return task

    def _on_posted(self, task: asyncio.Task[None]) -> None:
        self._posted.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._unreported = self._unreported or error

    async def _deliver(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        self._raise_if_failed()
        try:
            async with asyncio.timeout(self._timeout):
                producer = await asyncio.shield(self._connected)
                acknowledged = await self._enqueue(producer, topic, key, value, headers)
                # Shielded: a record that is on its way cannot be called back, and its fate still matters.
                await asyncio.shield(acknowledged)
        except (TimeoutError, KafkaTimeoutError, UnknownTopicOrPartitionError):
            metrics.RECORDS_FAILED.labels(topic).inc()
            reason = f"Kafka did not acknowledge a record for {topic} within {self._timeout:g} s"
            raise Transient(Cause.BROKER_UNAVAILABLE, reason) from None
        except MessageSizeTooLargeError:
            raise Malformed(Cause.TOO_LARGE, f"a record for {topic} is larger than Kafka takes") from None
        except KafkaError as error:
            metrics.RECORDS_FAILED.labels(topic).inc()
            self._fail(error)
            self._raise_if_failed()
        metrics.RECORDS_PRODUCED.labels(topic).inc()

    async def _enqueue(
        self, producer: AIOKafkaProducer, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> asyncio.Future[Any]:
        async with self._enqueueing:
            acknowledged: asyncio.Future[Any] = await producer.send(topic, value, key=key, headers=list(headers))
        self._unacknowledged.add(acknowledged)
        acknowledged.add_done_callback(self._on_acknowledged)
        return acknowledged

    def _on_acknowledged(self, acknowledged: asyncio.Future[Any]) -> None:
        self._unacknowledged.discard(acknowledged)
        if not acknowledged.cancelled() and (error := acknowledged.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            _log.critical("producer.failed", error=repr(error))
            self._failure.set_result(error)

    def _raise_if_failed(self) -> None:
        if self.failed is not None:
            raise ProducerFailed(f"nothing can be sent any more: {self.failed!r}") from self.failed


def keep_batches(producer: AIOKafkaProducer) -> None:
    """Let records wait for a leader however long that takes, as they wait for a broker.

    aiokafka drops a batch that has waited for one request timeout while its partition had no leader, as it has
    none in the first seconds of a broker. The number of that batch is used up, and so the producer is lost.
    """
    producer._message_accumulator._batch_ttl = math.inf  # noqa: SLF001 - there is no setting


def _checked(value: bytes) -> bytes:
    if len(value) > MAX_RECORD_BYTES:
        raise Malformed(Cause.TOO_LARGE, f"the record has {len(value)} bytes, {MAX_RECORD_BYTES} are allowed")
    return value
