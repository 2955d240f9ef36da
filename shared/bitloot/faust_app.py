"""Faust, completed: what stock Faust leaves open for a system that must not lose an event.

Facts are of faust-streaming 0.15.3, read in its source (docs/adr/0001). What is added here:

- An offset is committed only when every record sent before, outputs and changelog alike, is acknowledged by the
  broker (`Sends`). Stock Faust logs a failed send and commits all the same.
- A send that failed for good ends the process before the next commit, so the events are read again.
- A commit never passes an event that is still in work, and cannot stall on a gap between acknowledged offsets.
- Acknowledged work is committed before partitions are given away; stock Faust forgets it and handles it again.
- Producers are idempotent, tables hold bytes, and the pure-Python stream iterator, which acknowledges events
  that it skips, is refused.

A service builds its agents on it::

    app = create_app(settings, app_id="fulfillment", datadir=..., partitions=12, outputs=producer)
    table = bytes_table(app, "orders")
    app.agent(bytes_topic(app, ORDER_EVENTS), name="orders")(agent)      # async for event in stream.events(): ...
    await run(app, health, host, port, background=[...])

An agent sends with `outputs.post(topic, key, record)` without waiting; it must catch everything that can go
wrong with one event, because Faust acknowledges an event whose agent raised.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import faust
import faust.streams
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from bitloot import log
from bitloot.contracts.topics import Topic
from bitloot.health import Health
from bitloot.kafka import Producer
from bitloot.settings import KafkaSettings

COMMIT_SECONDS = 1.0
SESSION_SECONDS = 10.0
"""After a kill -9 the partitions stand still for this long, plus the time to join and to recover."""
HEARTBEAT_SECONDS = 3.0
EXIT_CRASHED = 70  # EX_SOFTWARE of sysexits.h: an orchestrator starts the process again

_STOP_SECONDS = 20.0
_LINGER_SECONDS = 0.005  # changelog records of one poll go out in few requests
_MIB = 1 << 20

_log = log.get(__name__)


class CompiledIteratorMissing(RuntimeError):  # noqa: N818 - it names what is wrong
    """Faust was installed without its compiled stream iterator: install its binary wheel, unset NO_CYTHON."""


class Sends:
    """Every record on its way to the broker: a commit waits for all of them."""

    def __init__(self, outputs: Producer) -> None:
        self._outputs = outputs
        self._changelog: set[asyncio.Future[Any]] = set()
        self._failure: BaseException | None = None

    def track(self, sent: asyncio.Future[Any]) -> None:
        """Watch a record that Faust itself sends."""
        self._changelog.add(sent)
        sent.add_done_callback(self._done)

    async def settle(self) -> None:
        """Return when all is acknowledged. Raises the first failure, then and ever after."""
        while waiting := set(self._changelog):
            await asyncio.wait(waiting)
        try:
            await self._outputs.flush()
        except Exception as error:
            self._failure = self._failure or error
            raise
        if self._failure is not None:
            raise self._failure

    def _done(self, sent: asyncio.Future[Any]) -> None:
        self._changelog.discard(sent)
        error = asyncio.CancelledError() if sent.cancelled() else sent.exception()
        if error is not None:
            self._failure = self._failure or error


class _Producer(driver.Producer):  # type: ignore[misc]  # Faust has no usable types
    """Idempotent, and every send is tracked."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    def send_soon(self, fut: asyncio.Future[Any]) -> None:
        self.app.sends.track(fut)
        super().send_soon(fut)


class _Consumer(driver.Consumer):  # type: ignore[misc]
    """Commits only what is done and whose consequences are stored."""

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 - Faust's signature
        try:
            await self.app.sends.settle()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be committed any more
            await self.app.crash(error)
            return False
        committed: bool = await super()._commit_offsets(offsets, start_new_transaction)
        if committed:
            self.app.commits.committed()
        return committed

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset up to which everything is done.

        Messages come to us in order, so what is neither in work nor behind a message in work is done. Stock
        Faust looks for gaps between acknowledged offsets instead, and can pass one or stall on one.
        """
        acked = self._acked[tp]
        if not acked:
            return None
        first_in_work = min((m.offset for m in list(self._unacked_messages) if m.tp == tp), default=None)
        done = [offset for offset in acked if first_in_work is None or offset < first_in_work]
        if not done:
            return None
        self._acked[tp] = [offset for offset in acked if offset not in set(done)]
        self._acked_index[tp].difference_update(done)
        offset: int = max(done) + 1
        return offset

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self.commit()
        await super().on_partitions_revoked(revoked)


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer: ClassVar[type] = _Consumer
    Producer: ClassVar[type] = _Producer


class Commits:
    """When offsets were last committed, for whoever watches."""

    def __init__(self) -> None:
        self._last = asyncio.get_running_loop().time()

    def committed(self) -> None:
        """Note a commit."""
        self._last = asyncio.get_running_loop().time()

    @property
    def age(self) -> float:
        """Return the seconds since the last commit, or since the start."""
        return asyncio.get_running_loop().time() - self._last


class App(faust.App):  # type: ignore[misc]
    """A Faust app with our transport."""

    sends: Sends
    commits: Commits

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> _Transport:
        return _Transport(self.conf.broker_producer, self)

    @property
    def ready(self) -> bool:
        """Tell whether the tables are restored and events flow."""
        return bool(self.started and not self.rebalancing and self.tables.actives_ready)


def create_app(
    settings: KafkaSettings,
    *,
    app_id: str,
    datadir: Path,
    partitions: int,
    outputs: Producer,
    replication: int = 1,
    standbys: int = 1,
) -> App:
    """Return an app without agents. `partitions` must be that of the topics it reads.

    Raises `CompiledIteratorMissing`. Call inside the running loop.
    """
    if getattr(faust.streams, "_CStreamIterator", None) is None:
        raise CompiledIteratorMissing(CompiledIteratorMissing.__doc__)
    app = App(
        app_id,
        broker=[f"kafka://{address}" for address in settings.kafka_bootstrap_servers.split(",")],
        broker_client_id=app_id,
        store="rocksdb://",
        datadir=str(datadir),
        autodiscover=False,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=partitions,
        topic_replication_factor=replication,
        table_standby_replicas=standbys,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=HEARTBEAT_SECONDS,
        broker_request_timeout=30.0,
        broker_commit_interval=COMMIT_SECONDS,
        # A poll must never fill the buffer: a full one blocks fetching for all topics of the worker.
        broker_max_poll_records=200,
        stream_buffer_maxsize=1000,
        stream_recovery_delay=0.0,
        stream_wait_empty=True,
        producer_linger=_LINGER_SECONDS,
        producer_request_timeout=10.0,
        consumer_auto_offset_reset="earliest",
    )
    app.sends = Sends(outputs)
    app.commits = Commits()
    return app


def bytes_topic(app: App, topic: Topic) -> Any:
    """Return the Faust topic to give to an agent: keys and values as bytes."""
    return app.topic(
        topic.name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", internal=False
    )


def bytes_table(app: App, name: str) -> Any:
    """Return a table of bytes by bytes, kept in RocksDB and in a compacted changelog."""
    return app.Table(
        name,
        key_type=bytes,
        value_type=bytes,
        partitions=app.conf.topic_partitions,
        # Per partition and table; the defaults (64 MiB buffers, 2 GiB cache) are made for one large store.
        options={"write_buffer_size": 4 * _MIB, "max_write_buffer_number": 2, "block_cache_size": 8 * _MIB},
        extra_topic_configs={
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.2",
            "segment.bytes": str(64 * _MIB),
        },
    )


Background = Callable[[], Awaitable[None]]
"""Work beside the agents, until canceled. When it ends or raises, the process ends."""


async def run(app: App, stop: asyncio.Event, background: Sequence[Background] = ()) -> None:
    """Run the app until `stop` is set; then finish what is in work, commit and leave the group.

    Does not return when the app or a background task has crashed: the process exits with `EXIT_CRASHED`, on
    purpose without the clean stop, which would commit.
    """
    tasks = [asyncio.ensure_future(work()) for work in background]
    asked = asyncio.ensure_future(stop.wait())
    crashed = asyncio.ensure_future(app._crashed.wait())  # noqa: SLF001 - mode has no public way to await a crash
    starting = asyncio.ensure_future(app.start())
    try:
        await asyncio.wait({asked, crashed, starting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and starting.exception() is None:
            await asyncio.wait({asked, crashed, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not asked.done():
            _die(app, starting, tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await app.stop()
    except TimeoutError:
        _log.error("faust.stop_timed_out", seconds=_STOP_SECONDS)
        os._exit(EXIT_CRASHED)
    crashed.cancel()


def _die(app: App, starting: asyncio.Future[Any], tasks: Sequence[asyncio.Future[None]]) -> None:
    reasons = [app.crash_reason, *(t.exception() for t in (starting, *tasks) if t.done() and not t.cancelled())]
    _log.critical("faust.crashed", reasons=[repr(reason) for reason in reasons if reason is not None])
    os._exit(EXIT_CRASHED)


def register(app: App, health: Health) -> None:
    """Add the checks of a Faust process: ready when tables are restored, alive while it has not crashed."""

    async def check_ready() -> str | None:
        return None if app.ready else "rebalancing or restoring tables"

    async def check_crashed() -> str | None:
        return f"crashed: {app.crash_reason!r}" if app.crashed else None

    health.register("tables", check_ready)
    health.register("faust", check_crashed, vital=True)


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """Give an event that is set by SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
