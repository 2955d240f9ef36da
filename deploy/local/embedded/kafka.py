"""A single Kafka node in KRaft mode, broker and controller in one process, run from its jars."""

import asyncio
import base64
import uuid
from pathlib import Path
from typing import ClassVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from embedded.child import Child
from embedded.jars import java, kafka_jars
from embedded.paths import KAFKA_FILES
from embedded.server import Server

# A quarter of a laptop's memory is not ours to take; the log cleaner's default buffer alone would be 128 MB
# of it.
_HEAP = ("-Xms128m", "-Xmx512m")
# One small node on few cores, that seldom lives long: the serial collector starts fastest and needs the least, and the
# second compiler takes more than it gives back in the first minutes (4.7 s of CPU for a start with it, 3.2 s without).
_JVM = (*_HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


class Kafka(Server):
    """The broker. `bootstrap` is what clients need."""

    name: ClassVar[str] = "kafka"
    port_count: ClassVar[int] = 2

    def __init__(self, run_dir: Path, *, log_dir: Path | None = None) -> None:
        super().__init__(run_dir, log_dir=log_dir)
        self._config = self.data_dir / "server.properties"

    @property
    def bootstrap(self) -> str:
        """`host:port` of the broker."""
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def topics_dir(self) -> Path:
        """Where the log files of the partitions lie."""
        return self.data_dir / "log"

    async def _prepare(self) -> None:
        await asyncio.to_thread(kafka_jars)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._write_config()
        if (self.topics_dir / "meta.properties").exists():
            return
        # One in 64 ids would begin with a dash, which the formatter takes for an option.
        cluster_id = "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        formatter = Child(
            "kafka storage format",
            self._java(
                "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._config), *self._format_options()
            ),
            log_file=self.log_file,
        )
        if await formatter.wait() != 0:
            raise formatter.failure("failed")

    def _command(self) -> list[str]:
        self._write_config()  # the ports may have changed
        return self._java("kafka.Kafka", str(self._config))

    def _java(self, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={KAFKA_FILES / 'log4j2.properties'}"
        return [java(), *_JVM, logging, "-cp", f"{kafka_jars()}/*", *arguments]

    async def _handshake(self) -> bool:
        """Ask for the metadata: a broker names itself there once it is registered and unfenced."""
        return await self._knows_itself(AIOKafkaClient(bootstrap_servers=self.bootstrap, request_timeout_ms=2_000))

    async def _knows_itself(self, client: AIOKafkaClient) -> bool:
        try:
            await client.bootstrap()
            return bool(client.cluster.brokers())
        except KafkaError:
            return False
        finally:
            await client.close()

    def _format_options(self) -> list[str]:
        """Return more words for the formatter."""
        return []

    def _write_config(self) -> None:
        self._config.write_text("".join(f"{key}={value}\n" for key, value in self._settings().items()))

    def _settings(self) -> dict[str, str]:
        """Return server.properties, for the current ports."""
        broker, controller = self.ports
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"BROKER://127.0.0.1:{broker}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKER",
            "log.dirs": str(self.topics_dir),
            # Topics exist because we declared them, not because somebody mistyped a name.
            "auto.create.topics.enable": "false",
            "default.replication.factor": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "10",
            "offsets.retention.minutes": str(90 * 24 * 60),  # a group that has lost its place is refused
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # Consumers start at once, and a killed one is missed soon if it asks for a short session.
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            # After a crash the node may not register again before its old session has run out: 9 s by
            # default.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # Sized for one small node with some hundred partitions.
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            "log.index.size.max.bytes": str(1024 * 1024),
        }
