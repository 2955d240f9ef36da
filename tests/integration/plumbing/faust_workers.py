"""What tests of Faust processes share: processes to start and kill, topics of a test's own, and what is in them."""

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitloot.contracts.codec import decode
from bitloot.contracts.topics import ORDERS_CHANGELOG, Topic
from bitloot.kafka import Producer
from embedded.child import Child
from embedded.paths import CHECKOUT
from tests.integration.plumbing import tally
from tests.integration.plumbing.broker import Broker, revealed

KEYS = 6
SESSION_SECONDS = 4.0  # a process that a loaded machine keeps waiting for most of it ends itself


async def until(condition, *alive: Child) -> None:
    while not condition():
        for process in alive:
            assert process.exit_code is None, process.output()
        await asyncio.sleep(0.02)


@dataclass
class Workers:
    """The topics of one app, and its processes."""

    broker: Broker
    producer: Producer
    directory: Path
    events: Topic
    out: Topic
    changelog: Topic
    sent: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    processes: list[Child] = field(default_factory=list)

    def worker(self, name: str = "one") -> "Worker":
        worker = start(self.broker, self.directory, name)
        self.processes.append(worker.process)
        return worker

    async def send(self, *numbers: int) -> None:
        for number in numbers:
            event, key = revealed(number), f"key-{number % KEYS}"
            await self.producer.send(self.events, key, event)
            self.sent[key].append(event.event_id)

    async def forwarded(self) -> set[str]:
        return {decode(self.out, record.value).event_id for record in await self.broker.read(self.out)}

    async def committed(self) -> list[int]:
        group = self.broker.prefix + tally.APP
        return [await self.broker.committed(group, self.events, p) or 0 for p in range(tally.PARTITIONS)]

    async def until_committed(self) -> None:
        ends = [0] * tally.PARTITIONS
        for record in await self.broker.read(self.events):
            ends[record.partition] += 1
        while await self.committed() != ends:
            await asyncio.sleep(0.1)

    def all_sent(self) -> set[str]:
        return {event for events in self.sent.values() for event in events}


@dataclass
class Worker:
    process: Child
    directory: Path

    def tell(self, word: str, number: int) -> None:
        (self.directory / f"{word}-event-{number}").touch()

    def untell(self) -> None:
        for path in self.directory.glob("*-event-*"):
            path.unlink()

    def release(self, number: int) -> None:
        """Let an event go on that was told to hold."""
        (self.directory / f"hold-event-{number}").unlink()

    def begun(self, number: int) -> bool:
        return (self.directory / f"begun-event-{number}").exists()

    def ready(self) -> bool:
        return (self.directory / "ready").exists()

    def rows(self) -> dict[str, list[str]]:
        return self._told("rows")

    def lags(self) -> dict[str, int | None]:
        """How much the copies lack that this worker keeps, by partition of the changelog."""
        return self._told("lags")

    def failures(self, probe: str = "readyz") -> dict[str, str]:
        """Which checks of its health fail, and why, as `readyz` or `healthz` would tell."""
        return self._told("health").get(probe, {})

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return what the process logged of an event, in order."""
        lines = (json.loads(line) for line in self.process.log_file.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line.get("event") == event]

    def _told(self, what: str) -> dict[str, Any]:
        try:
            return json.loads((self.directory / what).read_text())
        except FileNotFoundError:
            return {}


def start(broker: Broker, directory: Path, name: str) -> Worker:
    """Start a worker with its own disk; who starts one of the same name again gives it the same disk."""
    own = directory / name
    own.mkdir(exist_ok=True)
    for word in ("ready", "rows", "lags", "health"):
        (own / word).unlink(missing_ok=True)
    process = Child(
        name,
        [sys.executable, "-m", "tests.integration.plumbing.tally", broker.prefix, str(own), str(SESSION_SECONDS)],
        log_file=directory / f"{name}.log",
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap},
        cwd=CHECKOUT,
    )
    return Worker(process, own)


@asynccontextmanager
async def workers(broker: Broker, directory: Path) -> AsyncIterator[Workers]:
    """Make the topics, and kill what is left at the end."""
    async with Producer(broker.settings, client_id="test") as producer:
        events = await broker.topic(partitions=tally.PARTITIONS)
        out = await broker.topic(partitions=tally.PARTITIONS, name=tally.OUT)
        changelog = await broker.topic(ORDERS_CHANGELOG, partitions=tally.PARTITIONS, name=tally.CHANGELOG)
        bench = Workers(broker, producer, directory, events, out, changelog)
        try:
            yield bench
        finally:
            for process in bench.processes:
                await process.kill()
