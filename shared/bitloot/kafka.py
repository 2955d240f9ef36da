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
from collections.abc import Awaitable, Collection, Coroutine, Sequence
from functools import lru_cache, partial
from itertools import takewhile
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, UnknownTopicOrPartitionError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import RecordMetadata, TopicPartition
from prometheus_client import Counter

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
Fate = asyncio.Future[RecordMetadata]
"""Where a record was written, once it was; or why it was not."""

REQUEST_TIMEOUT_MS = 10_000  # a broker that hangs is asked again after this long; a repeat has the same number
RETRY_BACKOFF_MS = 250  # aiokafka writes two log lines for each try while a broker is away
_REQUEST_BYTES = 2**20  # of a record, with its key and headers
BATCH_BYTES = 512 << 10  # of one partition; a record that finds it full waits for the response before
_RECONNECT_SECONDS = 0.5
_METADATA_SECONDS = 10.0
_NUMBERS = 2**31  # that a broker gives the records of a producer in a partition, before it begins anew
_SHORT_KEY = 100  # bytes: our ids have 36
_PARTITIONER = DefaultPartitioner()

_log = log.get(__name__)


class _Outgoing(NamedTuple):
    """A record to send; its partition is that of its key where none is given."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


class _Watched(NamedTuple):
    """A record whose fate is not known yet. That of a post is told by `flush` where it is bad."""

    until: float
    topic: str
    posted: bool


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
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[AIOKafkaProducer] = self._loop.create_future()
        self._connecting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._in_turn = asyncio.Lock()  # fair, so that records are enqueued in the order of the calls
        self._waiting = 0  # records that take turns
        self._unacknowledged: set[asyncio.Future[Any]] = set()
        self._deadlines: dict[Fate, _Watched] = {}  # the first one ends first
        self._alarm: asyncio.TimerHandle | None = None
        self._unreported: BaseException | None = None
        self._failure: asyncio.Future[BaseException] = self._loop.create_future()

    async def __aenter__(self) -> Self:
        self._connecting = asyncio.create_task(self._connect())
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._deadlines:
            await asyncio.wait([*self._deadlines])  # each ends within the timeout
        if self._alarm is not None:
            self._alarm.cancel()
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
        await self._accept(_Outgoing(topic.name, key.encode(), value, trace.headers()))

    def post(self, topic: Topic, key: str, record: Record) -> Awaitable[object]:
        """Enqueue a record now; await the result for its acknowledgement, which raises as `send` does.

        Records posted one after the other reach a partition in that order. A failure that nobody awaits is
        raised by the next `flush`. Raises `Malformed` at once when the record is too large.
        """
        value = _checked(encode(record))
        return self._accept(_Outgoing(topic.name, key.encode(), value, trace.headers()), posted=True)

    async def send_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Send bytes as they are; for replays. Otherwise as `send`."""
        if DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value or b"", list(headers)) > _REQUEST_BYTES:
            raise Malformed(Cause.TOO_LARGE, f"a record for {topic} is larger than Kafka takes")
        await self._accept(_Outgoing(topic, key, value if value is None else _checked(value), headers))

    def post_raw(self, topic: str, key: bytes, value: bytes | None, *, partition: int) -> Fate:
        """Enqueue bytes, None for a deletion, for this partition; await the result for where they were written.

        Otherwise as `post`. The record goes without headers: that is how changelogs are.
        """
        return self._accept(
            _Outgoing(topic, key, value if value is None else _checked(value), partition=partition), posted=True
        )

    def is_high(self, most: int, seconds: float) -> bool:
        """Tell whether who posts should wait: the broker is behind.

        It is when more than `most` records wait for their fate, or the oldest has waited for `seconds`: who is faster
        than the broker would else be ever further ahead, until the oldest record has waited for too long. Where
        processors are scarce that is a matter of time, not of number. And it is when a record found its batch full:
        all that come after it would take turns, each at twice the cost.
        """
        if self._waiting or len(self._deadlines) > most:
            return True
        oldest = next(iter(self._deadlines.values()), None)
        return oldest is not None and self._loop.time() >= oldest.until - self._timeout + seconds

    async def ebb(self, most: int, seconds: float) -> None:
        """Wait while that is so."""
        while self.is_high(most, seconds):
            if self._deadlines:
                await asyncio.wait({next(iter(self._deadlines))})
            else:
                await asyncio.sleep(0)  # a record whose time is over leaves the line one turn later

    async def flush(self) -> None:
        """Wait for the fate of all that was sent or posted until now, however long that takes.

        Raises the first failure of a post since the last flush, or `ProducerFailed`.
        """
        if waiting := [*self._deadlines, *self._unacknowledged]:
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
                max_request_size=_REQUEST_BYTES,
                max_batch_size=BATCH_BYTES,
            )
            _keep_batches(producer)
            _number_in_31_bits(producer)
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

    # A record is enqueued at once where nothing is in its way, without a task or a timer of its own: at some thousand
    # records a second these cost more than all else that we do with a record. While there is no connection yet, or
    # its batch is full, or an earlier one waits for such a thing, it takes its turn.

    def _accept(self, record: _Outgoing, *, posted: bool = False) -> Fate:
        fate: Fate = self._loop.create_future()
        self._deadlines[fate] = _Watched(self._loop.time() + self._timeout, record.topic, posted)
        if self._alarm is None:
            self._set_alarm()
        if self._failure.done() and (error := self._failed()) is not None:
            return self._end(fate, error)
        try:
            acknowledged = self._enqueue_at_once(record)
        except Exception as refused:  # noqa: BLE001 - whatever it is, it is the record's fate
            return self._end(fate, self._translated(refused, record.topic))
        if acknowledged is None:
            self._take_turns(fate, record)
        else:
            self._follow(fate, record.topic, acknowledged)
        return fate

    def _enqueue_at_once(self, record: _Outgoing) -> asyncio.Future[Any] | None:
        """Enqueue a record, and return the future of its acknowledgement; or return None where it has to wait."""
        if self._waiting or not self._connected.done():
            return None
        producer = self._connected.result()
        partitions = producer.client.cluster.partitions_for_topic(record.topic)
        return None if partitions is None else _at_once(_enqueue(producer, record, partitions))

    def _take_turns(self, fate: Fate, record: _Outgoing) -> None:
        turn = self._loop.create_task(self._enqueue_in_turn(fate, record))
        self._waiting += 1
        turn.add_done_callback(self._on_turn)
        fate.add_done_callback(lambda _fate: turn.cancel())  # nobody waits for it any more
        fate.add_done_callback(self._forget)

    async def _enqueue_in_turn(self, fate: Fate, record: _Outgoing) -> None:
        try:
            producer = await asyncio.shield(self._connected)
            async with self._in_turn:
                acknowledged = await _send(producer, record)
        except Exception as refused:  # noqa: BLE001 - whatever it is, it is the record's fate
            self._end(fate, self._translated(refused, record.topic))
        else:
            self._follow(fate, record.topic, acknowledged)

    def _on_turn(self, turn: asyncio.Task[None]) -> None:
        self._waiting -= 1
        if not turn.cancelled():
            turn.result()

    def _follow(self, fate: Fate, topic: str, acknowledged: asyncio.Future[Any]) -> None:
        self._unacknowledged.add(acknowledged)
        acknowledged.add_done_callback(partial(self._on_acknowledged, fate, topic))

    def _on_acknowledged(self, fate: Fate, topic: str, acknowledged: asyncio.Future[Any]) -> None:
        """Tell whoever still waits. A record that is on its way cannot be called back, and its fate still matters."""
        self._unacknowledged.discard(acknowledged)
        if acknowledged.cancelled():
            fate.cancel()
        elif (error := acknowledged.exception()) is not None:
            self._fail(error)
            self._end(fate, self._translated(error, topic))
        elif not fate.done():
            _produced(topic).inc()
            fate.set_result(acknowledged.result())
        self._forget(fate)

    def _end(self, fate: Fate, error: BaseException) -> Fate:
        """Let a record's fate be this error, unless it has one."""
        watched = self._deadlines.pop(fate, None)
        if not fate.done():
            fate.set_exception(error)
            fate.exception()  # whoever does not ask is told by `flush`
            if watched is not None and watched.posted:
                self._unreported = self._unreported or error
        return fate

    def _translated(self, error: BaseException, topic: str) -> BaseException:
        """Return what a sender is told."""
        match error:
            case KafkaTimeoutError() | UnknownTopicOrPartitionError():
                return self._too_late(topic)
            case MessageSizeTooLargeError():
                return Malformed(Cause.TOO_LARGE, f"a record for {topic} is larger than Kafka takes")
            case KafkaError():
                metrics.RECORDS_FAILED.labels(topic).inc()
                self._fail(error)
                return self._failed() or error
        return error

    def _too_late(self, topic: str) -> Transient:
        metrics.RECORDS_FAILED.labels(topic).inc()
        reason = f"Kafka did not acknowledge a record for {topic} within {self._timeout:g} s"
        return Transient(Cause.BROKER_UNAVAILABLE, reason)

    def _forget(self, fate: Fate) -> None:
        self._deadlines.pop(fate, None)

    def _set_alarm(self) -> None:
        """Look again when the first of those that wait may have waited too long: one timer for all of them."""
        if self._alarm is None and self._deadlines:
            self._alarm = self._loop.call_at(next(iter(self._deadlines.values())).until, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        now = self._loop.time()
        for fate, watched in list(takewhile(lambda each: each[1].until <= now, self._deadlines.items())):
            if fate.done():
                self._forget(fate)
            else:
                self._end(fate, self._too_late(watched.topic))
        self._set_alarm()

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            _log.critical("producer.failed", error=repr(error))
            self._failure.set_result(error)

    def _failed(self) -> ProducerFailed | None:
        if self.failed is None:
            return None
        error = ProducerFailed(f"nothing can be sent any more: {self.failed!r}")
        error.__cause__ = self.failed
        return error

    def _raise_if_failed(self) -> None:
        if (error := self._failed()) is not None:
            raise error


def _enqueue(
    producer: AIOKafkaProducer, record: _Outgoing, partitions: Collection[int]
) -> Coroutine[Any, Any, asyncio.Future[Any]]:
    """Return what enqueues a record, to be awaited.

    Of aiokafka's `send` that is its last step: what it looks at before is known of nearly every record of ours.
    """
    topic, key, value, headers, partition = record
    if key is None or len(key) > _SHORT_KEY or not (partition is None or partition in partitions):
        return _send(producer, record)
    place = TopicPartition(topic, partition_of(key, len(partitions)) if partition is None else partition)
    adding: Coroutine[Any, Any, asyncio.Future[Any]] = producer._message_accumulator.add_message(  # noqa: SLF001
        place, key, value, REQUEST_TIMEOUT_MS / 1000, headers=list(headers)
    )
    return adding


def _send(producer: AIOKafkaProducer, record: _Outgoing) -> Coroutine[Any, Any, asyncio.Future[Any]]:
    """Return aiokafka's `send`, to be awaited."""
    sending: Coroutine[Any, Any, asyncio.Future[Any]] = producer.send(
        record.topic, record.value, key=record.key, partition=record.partition, headers=list(record.headers)
    )
    return sending


def _at_once(sending: Coroutine[Any, Any, asyncio.Future[Any]]) -> asyncio.Future[Any] | None:
    """Return what aiokafka's `send` returns if it need not wait for anything; else call it off and return None.

    It waits for room in a batch, before it has enqueued anything: calling it off leaves nothing behind.
    """
    try:
        sending.send(None)
    except StopIteration as done:
        acknowledged: asyncio.Future[Any] = done.value
        return acknowledged
    sending.close()
    return None


@lru_cache(maxsize=256)
def _produced(topic: str) -> Counter:
    return metrics.RECORDS_PRODUCED.labels(topic)


@lru_cache(maxsize=4096)
def partition_of(key: bytes, count: int) -> int:
    """Return where Kafka's clients put a key. Their hash is costly in Python, and a key seldom comes only once."""
    return int(_PARTITIONER(key, range(count), ()))


def _keep_batches(producer: AIOKafkaProducer) -> None:
    """Let records wait for a leader however long that takes, as they wait for a broker.

    aiokafka drops a batch that has waited for one request timeout while its partition had no leader, as it has
    none in the first seconds of a broker. The number of that batch is used up, and so the producer is lost.
    """
    producer._message_accumulator._batch_ttl = math.inf  # noqa: SLF001 - there is no setting


def _number_in_31_bits(producer: AIOKafkaProducer) -> None:
    """Begin the numbers of a partition's records at 0 again after 2^31 of them, as Kafka does.

    aiokafka goes on below zero, which the broker refuses, and so the producer would be lost.
    """
    manager = producer._txn_manager  # noqa: SLF001 - there is no setting

    def increment(partition: TopicPartition, records: int) -> None:
        numbers = manager._sequence_numbers  # noqa: SLF001
        numbers[partition] = (numbers[partition] + records) % _NUMBERS

    manager.increment_sequence_number = increment


def _checked(value: bytes) -> bytes:
    if len(value) > MAX_RECORD_BYTES:
        raise Malformed(Cause.TOO_LARGE, f"the record has {len(value)} bytes, {MAX_RECORD_BYTES} are allowed")
    return value
