"""The servers, and on them one service at a time: what it does alone is what it costs."""

import asyncio
import json
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from admin_api.migrations import migrate
from bench.processes import cpu_seconds
from bench.recording import Told
from bitloot import topics
from bitloot.contracts.topics import CHANGELOGS, TOPICS, Topic
from bitloot.settings import KafkaSettings
from embedded.environment import environment_of
from embedded.kafka import Kafka
from embedded.ports import free_port
from embedded.postgres import Postgres
from embedded.runner import ServiceProcess
from embedded.s3 import S3
from embedded.services import SANDBOX, SERVICES, Instance, Service, tables_dir
from embedded.stack import BUCKET
from fulfillment.order.policy import ASKING

PARTITIONS = 12
_READY_SECONDS = 600.0
_LOOK_SECONDS = 0.2
_COMMITTED_SECONDS = 60.0
_CONSUMED = "bitloot_records_consumed_total"
NO_LIMITS = {"KINGUIN_CALLS_PER_MINUTE": "1000000", "NOWPAYMENTS_CALLS_PER_MINUTE": "1000000"}
"""With the limits that real accounts have, it is these that would be measured: 2,000 calls a minute are 11 orders/s."""
AS_DEPLOYED = {"PAYMENT_POLL_AFTER": str(ASKING.total_seconds())}
"""What `make up` sets otherwise, for people who try things out: it asks about each payment that is 5 s late."""
_OUTSIDE = {
    "KINGUIN_BASE_URL": "/kinguin",
    "KINGUIN_AUTH_URL": "/kinguin-id/auth/token",
    "NOWPAYMENTS_BASE_URL": "/nowpayments",
    "RESEND_BASE_URL": "/resend",
}
"""Where each provider is at the sandbox."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What a service took from a topic that was full when it began."""

    records: int
    seconds: float
    cpu: float
    """CPU seconds of the process."""

    @property
    def per_second(self) -> float:
        """Return records per second."""
        return self.records / self.seconds

    @property
    def cpu_each(self) -> float:
        """Return CPU seconds for a record."""
        return self.cpu / self.records


async def drain(done: Callable[[], Awaitable[int]], pids: Sequence[int], count: int, *, every: float) -> Drained:
    """Return what processes came to from the first look that shows something done to the one that shows `count`."""
    begun: tuple[int, float, float] | None = None
    while True:
        now = (await done(), time.monotonic(), sum(map(cpu_seconds, pids)))
        if begun is None and now[0]:
            begun = now
        if begun is not None and now[0] >= count:
            return Drained(now[0] - begun[0], now[1] - begun[1], now[2] - begun[2])
        await asyncio.sleep(every)


class Stage:
    """A broker with our topics; with `stores`, PostgreSQL with our tables and S3 with our bucket, too.

    `settings` are those of the run whose records are told again, so that what was sealed then can be opened. All that
    is written goes below a directory of its own in `parent`, and is gone afterwards.
    """

    def __init__(
        self, parent: Path, settings: Mapping[str, str], *, stores: bool = False, partitions: int = PARTITIONS
    ) -> None:
        self._own = tempfile.TemporaryDirectory(dir=parent)
        self.directory = Path(self._own.name)
        self._settings = {**settings, "EMAILS_PER_SECOND": "10000"}
        self._stores = stores
        self._partitions = partitions
        self._stack = AsyncExitStack()
        self._client = httpx.AsyncClient(trust_env=False, timeout=5)
        self.kafka = Kafka(self.directory)
        self.postgres = Postgres(self.directory)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._own)
            await stack.enter_async_context(self._client)
            stack.push_async_callback(self.kafka.stop)
            await self.kafka.start()
            self._settings["KAFKA_BOOTSTRAP_SERVERS"] = self.kafka.bootstrap
            known = KafkaSettings(kafka_bootstrap_servers=self.kafka.bootstrap)
            await topics.ensure(known, [*TOPICS, *CHANGELOGS], partitions=self._partitions, replication=1)
            if self._stores:
                await self._start_stores(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._stack.aclose()

    async def _start_stores(self, stack: AsyncExitStack) -> None:
        s3 = S3(self.directory)
        stack.push_async_callback(self.postgres.stop)
        stack.push_async_callback(s3.stop)
        await asyncio.gather(self.postgres.start(), s3.start())
        await s3.create_bucket(BUCKET)
        await migrate(self.postgres.dsn)
        self._settings |= {
            "DATABASE_URL": self.postgres.dsn,
            "R2_ENDPOINT_URL": s3.endpoint,
            "R2_BUCKET": BUCKET,
            "R2_ACCESS_KEY_ID": s3.access_key,
            "R2_SECRET_ACCESS_KEY": s3.secret_key,
        }

    async def fill(self, topic: Topic, records: Iterable[Told]) -> None:
        """Write records as a producer of ours would partition them."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.kafka.bootstrap, linger_ms=20, max_batch_size=500_000
        ) as producer:
            for told in records:
                await producer.send(topic.name, told.value, key=told.key, headers=list(told.headers))
            await producer.flush()

    @asynccontextmanager
    async def service(self, name: str, number: int = 1) -> AsyncIterator[ServiceProcess]:
        """Run the service (or the sandbox) of that number until the body ends."""
        instance = Instance(_service(name), number, free_port())
        if "FAUST_DATADIR" in instance.service.needs:
            tables_dir(self.directory, instance).mkdir(parents=True, exist_ok=True)
        process = ServiceProcess(
            instance.name,
            instance.service.module,
            instance.url,
            env=environment_of(instance, self._settings, self.directory, os.environ | NO_LIMITS),
            log_dir=self.directory,
            work_dir=self.directory,
            client=self._client,
        )
        process.respawn()
        try:
            await process.until_ready(_READY_SECONDS)
            yield process
        finally:
            await process.stop()

    @asynccontextmanager
    async def sandbox(self, **dials: object) -> AsyncIterator[ServiceProcess]:
        """Run the sandbox with these dials, and send the other services to it."""
        async with self.service("sandbox") as process:
            for setting, path in _OUTSIDE.items():
                self._settings[setting] = f"{process.url}{path}"
            (await self._client.put(f"{process.url}/_settings", json=dials)).raise_for_status()
            yield process

    async def until_told(self, process: ServiceProcess, event: str, **fields: str) -> None:
        """Wait until the process writes a log line of that event with these fields."""
        wanted = {"event": event, **fields}.items()
        with (self.directory / f"{process.name}.log").open("rb") as log:
            while True:
                line = log.readline()
                if not line.endswith(b"\n"):  # not written to its end yet
                    log.seek(-len(line), os.SEEK_CUR)
                    await asyncio.sleep(_LOOK_SECONDS)
                elif (
                    line.startswith(b"{")
                    and wanted <= {name: str(told) for name, told in json.loads(line).items()}.items()
                ):
                    return

    async def drained(self, topic: Topic, group: str, processes: Sequence[ServiceProcess], count: int) -> Drained:
        """Return what the processes together came to from the first to the last of `count` records of the topic.

        As they tell it: commits come in jumps of a second. That their group commits all of them is waited for then.
        """

        async def done() -> int:
            return sum([await self._consumed(process, topic) for process in processes])

        drained = await drain(done, [process.pid for process in processes], count, every=_LOOK_SECONDS)
        async with asyncio.timeout(_COMMITTED_SECONDS):
            while await self._committed(topic, group) < count:
                await asyncio.sleep(_LOOK_SECONDS)
        return drained

    async def _consumed(self, process: ServiceProcess, topic: Topic) -> int:
        told = (await self._client.get(f"{process.url}/metrics")).raise_for_status().text
        found = re.search(rf'^{_CONSUMED}{{topic="{re.escape(topic.name)}"}} (\S+)$', told, re.MULTILINE)
        return int(float(found[1])) if found else 0

    async def _committed(self, topic: Topic, group: str) -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            places = [TopicPartition(topic.name, number) for number in range(self._partitions)]
            told = await admin.list_consumer_group_offsets(group, partitions=places)
            return sum(max(0, each.offset) for each in told.values())
        finally:
            await admin.close()


def _service(name: str) -> Service:
    return next(service for service in (SANDBOX, *SERVICES) if service.name == name)
