"""`python -m bench.takeover`: how long the partitions of a killed worker lie idle, and how fast tables come back.

Two workers with copies of each other's tables, a steady trickle of events on every partition, `kill -9` of one of them
at a moment of its own. Measured is the time from the kill to the first event of each of its partitions that the other
one handles, and where it goes: until the group misses the dead one, until the partitions are shared out and restored,
until the first event. Then a worker with an empty disk restores everything.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from bench.takeover_worker import CHANGELOG, PARTITIONS
from bitloot import topics
from bitloot.contracts.topics import ORDER_EVENTS, ORDERS_CHANGELOG, Topic
from bitloot.settings import KafkaSettings
from embedded.child import Child
from embedded.kafka import Kafka
from embedded.paths import CHECKOUT

_VALUE = b"x" * 600  # about an order with its history
_TRICKLE_SECONDS = 0.02
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Takeover:
    """Seconds after the kill of one worker, for the partitions that were its own."""

    missed: float
    """The survivor gives its partitions up, because the group is shared out anew."""
    restored: float
    """Its tables are complete."""
    first: float
    """It handles the first event of the first partition."""
    last: float
    """Each of the partitions has had an event."""


class Worker:
    """A worker process and what it says."""

    def __init__(self, name: str, directory: Path, bootstrap: str) -> None:
        self._log = directory / f"{name}.log"
        self._from = self._log.stat().st_size if self._log.exists() else 0
        self.process = Child(
            name,
            [sys.executable, "-m", "bench.takeover_worker", str(directory / name)],
            log_file=self._log,
            env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": bootstrap},
            cwd=CHECKOUT,
        )

    def said(self, what: str, after: float = 0.0) -> list[dict[str, Any]]:
        """Return what it said of this kind since then, in order."""
        return [line for line in self._lines() if line.get("what") == what and line["at"] > after]

    def restores(self) -> list[dict[str, Any]]:
        """Return what the log says of restored tables."""
        return [line for line in self._lines() if line.get("event") == "tables.restored"]

    async def until(self, what: str, after: float = 0.0, count: int = 1) -> dict[str, Any]:
        """Return the `count`-th thing of this kind that it says since then."""
        while len(found := self.said(what, after)) < count:
            if self.process.exit_code is not None:
                raise RuntimeError(self.process.output())
            await asyncio.sleep(_POLL_SECONDS)
        return found[count - 1]

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self._log.open() as log:
            log.seek(self._from)
            for line in log:
                if line.startswith("{") and line.endswith("}\n"):
                    yield json.loads(line)


async def _fill(producer: AIOKafkaProducer, rows: int) -> None:
    """Write a changelog of that many rows, as if orders had left it."""
    for number in range(rows):
        await producer.send(CHANGELOG, _VALUE, key=f"order-{number}".encode())
    await producer.flush()


async def _trickle(producer: AIOKafkaProducer) -> None:
    """Send an event to one partition after the other, for ever."""
    number = 0
    while True:
        number += 1
        await producer.send(ORDER_EVENTS.name, _VALUE, key=f"event-{number}".encode(), partition=number % PARTITIONS)
        await asyncio.sleep(_TRICKLE_SECONDS)


async def _round(victim: Worker, survivor: Worker) -> Takeover:
    """Kill one of two, and wait until the other one has taken over."""
    await asyncio.gather(*(_settled(worker) for worker in (victim, survivor)))
    await asyncio.sleep(random.uniform(0, 3))  # noqa: S311 - anywhere between two heartbeats
    killed = time.time()
    await victim.process.kill()
    revoked = (await survivor.until("revoked", killed))["at"]
    restored = (await survivor.until("recovered", revoked))["at"]
    own = {line["partition"] for line in survivor.said("handled", _assigned(survivor, killed)) if line["at"] < killed}
    await survivor.until("handled", restored, count=PARTITIONS)
    taken = [line["at"] for line in survivor.said("handled", restored) if line["partition"] not in own]
    return Takeover(*(at - killed for at in (revoked, restored, min(taken), max(taken))))


def _assigned(worker: Worker, before: float) -> float:
    return float(max(line["at"] for line in worker.said("recovered") if line["at"] < before))


async def _settled(worker: Worker) -> None:
    """Wait until it has half of the partitions, with events, and a copy of the other half."""
    while True:
        await worker.until("recovered")
        since = _assigned(worker, time.time())
        copies = worker.said("kept_up", since)
        if copies and len(worker.said("handled", since)) == PARTITIONS // 2:
            return
        await asyncio.sleep(_POLL_SECONDS)


async def measure(rows: int, rounds: int) -> tuple[list[Takeover], dict[str, Any]]:
    """Return each takeover, and how the whole table was restored."""
    with tempfile.TemporaryDirectory(prefix="bitloot-takeover-") as name:
        directory = Path(name)
        kafka = Kafka(directory)
        await kafka.start()
        try:
            changelog = Topic(**{**_fields(ORDERS_CHANGELOG), "name": CHANGELOG})
            await topics.ensure(
                KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap),
                [ORDER_EVENTS, changelog],
                partitions=PARTITIONS,
                replication=1,
            )
            async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, linger_ms=20) as producer:
                await _fill(producer, rows)
                trickling = asyncio.create_task(_trickle(producer))
                try:
                    found = await _rounds(directory, kafka.bootstrap, rounds)
                finally:
                    trickling.cancel()
            return found, await _restore(directory, kafka.bootstrap)
        finally:
            await kafka.stop()


async def _rounds(directory: Path, bootstrap: str, rounds: int) -> list[Takeover]:
    workers = [Worker(name, directory, bootstrap) for name in ("one", "two")]
    found: list[Takeover] = []
    try:
        for number in range(rounds):
            at = number % 2
            found.append(await _round(workers[at], workers[1 - at]))
            workers[at] = Worker(workers[at].process.name, directory, bootstrap)
            print(f"  round {number + 1}: {found[-1].first:.1f} s", file=sys.stderr)
    finally:
        for worker in workers:
            await worker.process.kill()
    return found


async def _restore(directory: Path, bootstrap: str) -> dict[str, Any]:
    worker = Worker("empty-disk", directory, bootstrap)
    try:
        await worker.until("recovered")
        return max(worker.restores(), key=lambda line: line["records"])
    finally:
        await worker.process.kill()


def _fields(topic: Topic) -> dict[str, Any]:
    return {name: getattr(topic, name) for name in topic.__dataclass_fields__}


def _row(name: str, values: Sequence[float]) -> str:
    return f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} | {max(values):.1f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for rows in arguments.rows:
        found, restored = asyncio.run(measure(rows, arguments.rounds))
        print(f"\n{rows:,} rows, {len(found)} kills; seconds after the kill\n")
        print("| | median | best | worst |\n| --- | ---: | ---: | ---: |")
        print(_row("the group shares out anew", [each.missed for each in found]))
        print(_row("tables complete", [each.restored for each in found]))
        print(_row("first event of its partitions", [each.first for each in found]))
        print(_row("an event of each of them", [each.last for each in found]))
        speed = restored["records"] / restored["seconds"]
        print(f"\nAn empty disk: {restored['records']:,} records in {restored['seconds']:.1f} s, {speed:,.0f} a second")


if __name__ == "__main__":
    main()
