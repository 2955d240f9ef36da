"""Faust processes against a real broker: killed, stopped, frozen, failing; no event is ever lost."""

import asyncio
import json
import os
import signal
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bitloot.contracts.codec import decode
from bitloot.contracts.topics import Topic
from bitloot.faust_app import EXIT_CRASHED
from bitloot.kafka import Producer
from embedded.child import Child
from embedded.paths import CHECKOUT
from tests.integration.plumbing import tally
from tests.integration.plumbing.broker import Broker, revealed

KEYS = 6
SESSION_SECONDS = 2.0


async def until(condition, *alive: Child) -> None:
    while not condition():
        for process in alive:
            assert process.exit_code is None, process.output()
        await asyncio.sleep(0.02)


@dataclass
class Tally:
    """The topics of one app, and its processes."""

    broker: Broker
    producer: Producer
    directory: Path
    events: Topic
    out: Topic
    sent: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    processes: list[Child] = field(default_factory=list)

    def worker(self, name: str = "one") -> "Worker":
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        for word in ("ready", "rows"):
            (directory / word).unlink(missing_ok=True)
        arguments = [self.broker.prefix, str(directory), str(SESSION_SECONDS)]
        process = Child(
            name,
            [sys.executable, "-m", "tests.integration.plumbing.tally", *arguments],
            log_file=self.directory / f"{name}.log",
            env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap},
            cwd=CHECKOUT,
        )
        self.processes.append(process)
        return Worker(process, directory)

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

    def ready(self) -> bool:
        return (self.directory / "ready").exists()

    def rows(self) -> dict[str, list[str]]:
        try:
            return json.loads((self.directory / "rows").read_text())
        except FileNotFoundError:
            return {}


@pytest.fixture
async def tallied(broker: Broker, tmp_path: Path):
    async with Producer(broker.settings, client_id="test") as producer:
        events = await broker.topic(partitions=tally.PARTITIONS)
        out = await broker.topic(partitions=tally.PARTITIONS, name=tally.OUT)
        bench = Tally(broker, producer, tmp_path, events, out)
        yield bench
        for process in bench.processes:
            await process.kill()


async def test_kill_9_in_the_middle_loses_nothing_and_tables_come_back(tallied: Tally):
    worker = tallied.worker()
    await until(worker.ready, worker.process)
    sending = asyncio.create_task(tallied.send(*range(300)))
    await until(lambda: sum(map(len, worker.rows().values())) > 20, worker.process)
    await worker.process.kill()
    await sending

    again = tallied.worker()
    await until(lambda: again.rows() == tallied.sent, again.process)
    await tallied.until_committed()
    assert await tallied.forwarded() == tallied.all_sent()
    assert (again.directory / "recovered").exists()

    # In good order: what is done is committed, and nothing comes again.
    assert await again.process.stop() == 0
    before = len(await tallied.broker.read(tallied.out))
    last = tallied.worker()
    await until(lambda: last.rows() == tallied.sent, last.process)
    assert len(await tallied.broker.read(tallied.out)) == before


async def test_partitions_move_between_workers_and_back_without_loss(tallied: Tally):
    one = tallied.worker("one")
    await until(one.ready, one.process)
    sending = asyncio.create_task(tallied.send(*range(400)))
    await until(one.rows, one.process)
    two = tallied.worker("two")
    await until(lambda: two.ready() and two.rows(), one.process, two.process)
    assert (one.directory / "revoked").exists()
    await one.process.kill()  # the other one takes over, from its copy of the table or from the changelog
    await sending
    await until(lambda: two.rows() == tallied.sent, two.process)
    await tallied.until_committed()
    assert await tallied.forwarded() == tallied.all_sent()


async def test_whatever_fails_ends_the_process_before_the_commit(tallied: Tally):
    """An agent that raises, an output and a changelog record that nobody acknowledges."""
    await tallied.send(0)
    worker = tallied.worker()
    for number, word in enumerate(("raise", "nowhere", "big"), start=1):
        await until(lambda worker=worker: worker.rows() == tallied.sent, worker.process)
        await tallied.until_committed()
        before = await tallied.committed()

        worker.tell(word, number * KEYS)  # always the same key and partition
        await tallied.send(number * KEYS)
        assert await worker.process.wait() == EXIT_CRASHED
        assert await tallied.committed() == before
        worker.untell()
        worker = tallied.worker()

    await until(lambda: worker.rows() == tallied.sent, worker.process)
    await tallied.until_committed()
    assert await tallied.forwarded() == tallied.all_sent()


async def test_events_survive_that_faust_clears_its_queues(tallied: Tally):
    worker = tallied.worker()
    await until(worker.ready, worker.process)
    (worker.directory / "shake").touch()
    await tallied.send(*range(600))
    (worker.directory / "shake").unlink()
    await until(lambda: worker.rows() == tallied.sent, worker.process)
    await tallied.until_committed()
    assert await tallied.forwarded() == tallied.all_sent()


async def test_stopping_waits_for_the_event_at_hand(tallied: Tally):
    worker = tallied.worker()
    worker.tell("slow", 0)
    await tallied.send(0, KEYS)
    await until((worker.directory / "begun-event-0").exists, worker.process)
    assert await worker.process.stop() == 0
    assert sorted(await tallied.committed()) == [0, 1]


async def test_a_worker_that_was_frozen_writes_nothing_any_more(tallied: Tally):
    """Its partitions may be somebody else's by now, and a changelog keeps the last record, not the right one."""
    worker = tallied.worker()
    await until(worker.ready, worker.process)
    os.kill(worker.process.pid, signal.SIGSTOP)
    await asyncio.sleep(SESSION_SECONDS)
    await tallied.send(0)
    os.kill(worker.process.pid, signal.SIGCONT)
    assert await worker.process.wait() == EXIT_CRASHED
    assert "stood still" in worker.process.output()
    assert await tallied.forwarded() == set()
