"""The app, its topics and its tables."""

from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

import faust

from bitloot import log
from bitloot.broker import options
from bitloot.cluster import Cluster, LogLost, await_cluster
from bitloot.contracts.topics import Topic
from bitloot.faust_app.guard import Guard, Sends
from bitloot.faust_app.restore import Tables
from bitloot.faust_app.standby import Standbys
from bitloot.faust_app.store import BytesTable
from bitloot.faust_app.stream import Stream
from bitloot.faust_app.transport import DRAIN_SECONDS, Consumer, Transport
from bitloot.faust_app.watch import Watch, WatchLimits
from bitloot.faust_app.witness import DiskWitness
from bitloot.health import Gate
from bitloot.kafka import Producer
from bitloot.settings import KafkaSettings

COMMIT_SECONDS = 1.0
SESSION_SECONDS = 10.0
"""After a kill -9 the partitions stand still for this long, plus the time to join and to recover."""
_HEARTBEATS_IN_SESSION = 10.0
"""A member learns with its next heartbeat that partitions are shared out anew: the takeover waits for the last one."""
_REBALANCE_SECONDS = DRAIN_SECONDS + 5.0
_METADATA_MS = 10_000

AgentFunction = Callable[[Any], Awaitable[None]]
Hook = Callable[[], None]

_log = log.get(__name__)


class AgentEnded(RuntimeError):  # noqa: N818 - it names what happened
    """An agent returned though the app goes on: nobody would handle its events."""


class App(faust.App):  # type: ignore[misc]  # Faust has no usable types
    """A Faust app with our transport. Made by `create_app`."""

    guard: Guard
    sends: Sends
    standbys: Standbys
    watch: Watch
    witness: DiskWitness
    kafka: KafkaSettings
    """Where the brokers are, and who we are there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recovered_hooks: list[Hook] = []
        self._revoked_hooks: list[Hook] = []
        self._restored: int | None = None
        self.broker = Gate("Kafka was not asked yet")
        self.cluster: Cluster | None = None
        """What we work with, once there was an answer."""
        self.topic_names: set[str] = set()
        """What has to be there before the app starts: what agents read, and changelogs."""

    async def meet(self) -> None:
        """Wait for a broker that has all topics, however long that takes. Raises `LogLost` if it is not ours."""
        cluster = await await_cluster(self.kafka, self.topic_names, self.broker)
        await self.witness.confirm(cluster)
        self.cluster = cluster
        self.broker.open()

    @property
    def lost(self) -> LogLost | None:
        """Why this process must not go on, and a new one must not either; None when all is well."""
        error = self.guard.error
        while error is not None and not isinstance(error, LogLost):
            error = error.__cause__
        return error

    @property
    def ready(self) -> bool:
        """Whether the tables are restored and events flow."""
        # Counted, because Faust's own flag can be reset by the end of a recovery that was overtaken.
        return self._restored == self.rebalancing_count and self.guard.error is None

    @property
    def safe_consumer(self) -> Consumer | None:
        """The consumer, once there is one."""
        return self._consumer if isinstance(self._consumer, Consumer) else None

    def agent(self, *args: Any, **kwargs: Any) -> Callable[[AgentFunction], Any]:
        """Register an agent, as Faust does; it ends the process when it raises or returns."""
        decorate = super().agent(*args, **kwargs)

        def register(function: AgentFunction) -> Any:
            return decorate(self._guarded(function))

        return register

    def on_recovered(self, hook: Hook) -> None:
        """Call `hook` whenever partitions were assigned and their tables are restored, before events flow."""
        self._recovered_hooks.append(hook)

    def on_revoked(self, hook: Hook) -> None:
        """Call `hook` whenever partitions are taken away, after their last event was committed."""
        self._revoked_hooks.append(hook)

    def on_give_up(self) -> None:
        """Run the hooks; called by our consumer."""
        for hook in self._revoked_hooks:
            hook()

    def on_restored(self, rebalance: int) -> None:
        """Run the hooks; called by our recovery for the `rebalance`-th rebalance."""
        self._restored = rebalance
        owned = self.safe_consumer.heads() if self.safe_consumer is not None else ()
        _log.info("tables.ready", partitions=" ".join(sorted(f"{tp.topic}/{tp.partition}" for tp in owned)))
        for hook in self._recovered_hooks:
            hook()

    def mark_tables(self) -> None:
        """Note on disk that our tables are complete, while they are. Called now and then."""
        self.tables.recovery.mark()

    def _guarded(self, function: AgentFunction) -> AgentFunction:
        @wraps(function)
        async def guarded(stream: Any) -> None:
            try:
                await function(stream)
            except BaseException as error:
                if not self.should_stop:
                    self.guard.fail(error)
                raise
            if not self.should_stop:
                self.guard.fail(AgentEnded(function.__qualname__))

        return guarded

    def _crash(self, reason: BaseException) -> None:
        self.guard.fail(reason)
        super()._crash(reason)

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)


def create_app(
    settings: KafkaSettings,
    *,
    app_id: str,
    datadir: Path,
    partitions: int,
    outputs: Producer,
    replication: int = 1,
    session_seconds: float = SESSION_SECONDS,
    standbys: int = 1,
    limits: WatchLimits | None = None,
) -> App:
    """Return an app without agents; call inside the running loop.

    `partitions` must be that of the topics it reads. `outputs` is what agents send with: no offset is committed
    before its records are acknowledged. `standbys` is how many other workers, if there are as many, keep a copy of
    each partition of the tables.
    """
    heartbeat_seconds = session_seconds / _HEARTBEATS_IN_SESSION
    app = App(
        app_id,
        broker=[f"kafka://{address}" for address in settings.kafka_bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings),
        broker_client_id=app_id,
        store="rocksdb://",
        datadir=str(datadir),
        Table=BytesTable,
        TableManager=Tables,
        Stream=Stream,
        autodiscover=False,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=partitions,
        topic_replication_factor=replication,
        # Topics are made by a command: one that is missing is a loss, and no reason to begin with an empty one.
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=standbys,
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=heartbeat_seconds,
        broker_rebalance_timeout=_REBALANCE_SECONDS,
        broker_request_timeout=_REBALANCE_SECONDS + 5.0,  # joining a group may take as long as its rebalance
        broker_commit_interval=COMMIT_SECONDS,
        # A poll must never fill the buffer: a full one blocks fetching for all topics of the worker.
        broker_max_poll_records=200,
        stream_buffer_maxsize=1000,
        stream_recovery_delay=0.0,
        stream_wait_empty=True,
        consumer_auto_offset_reset="earliest",
        # A broker that has just started may not know its topics yet; the worker that shares partitions out then
        # shares out none, until its knowledge is renewed (by default after 5 minutes).
        consumer_metadata_max_age_ms=_METADATA_MS,
    )
    # The last heartbeat may be one interval old when the process stops.
    app.guard = Guard(session_seconds - heartbeat_seconds)
    app.sends = Sends(outputs, app.guard)
    app.standbys, app.watch = Standbys(app), Watch(app, limits)
    app.witness, app.kafka = DiskWitness(datadir), settings
    return app


def _credentials(settings: KafkaSettings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """Return who we are at the brokers, as Faust has it: its word for the protocol follows from the rest."""
    given = options(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=given["sasl_plain_username"],
            password=given["sasl_plain_password"],
            mechanism=given["sasl_mechanism"],
            ssl_context=given["ssl_context"],
        )
    return faust.SSLCredentials(given["ssl_context"]) if given["ssl_context"] else None


def bytes_topic(app: App, topic: Topic) -> Any:
    """Return the Faust topic to give to an agent: keys and values as bytes."""
    app.topic_names.add(topic.name)
    return app.topic(
        topic.name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", internal=False
    )


def bytes_table(app: App, name: str) -> Any:
    """Return a table of bytes by bytes, kept in RocksDB and in the changelog `{app_id}-{name}-changelog`.

    That topic must exist, compacted and nothing else: a changelog that loses records cannot restore its table.
    Write whole values (`table[key] = value`), in an agent's body only, under the key of the event at hand.
    """
    app.topic_names.add(f"{app.conf.id}-{name}-changelog")
    return app.Table(
        name,
        key_type=bytes,
        value_type=bytes,
        partitions=app.conf.topic_partitions,
    )
