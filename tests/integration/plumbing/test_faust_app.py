"""Faust processes against a real broker: killed, stopped, frozen, failing; no event is ever lost."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from bitloot.faust_app import EXIT_CRASHED
from tests.integration.plumbing.broker import Broker
from tests.integration.plumbing.faust_workers import KEYS, SESSION_SECONDS, Workers, until, workers


@pytest.fixture
async def tallied(broker: Broker, tmp_path: Path):
    async with workers(broker, tmp_path) as bench:
        yield bench


async def test_kill_9_in_the_middle_loses_nothing_and_tables_come_back(tallied: Workers):
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


async def test_partitions_move_between_workers_and_back_without_loss(tallied: Workers):
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


async def test_whatever_fails_ends_the_process_before_the_commit(tallied: Workers):
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


async def test_events_survive_that_faust_clears_its_queues(tallied: Workers):
    worker = tallied.worker()
    await until(worker.ready, worker.process)
    (worker.directory / "shake").touch()
    await tallied.send(*range(600))
    (worker.directory / "shake").unlink()
    await until(lambda: worker.rows() == tallied.sent, worker.process)
    await tallied.until_committed()
    assert await tallied.forwarded() == tallied.all_sent()


async def test_stopping_waits_for_the_event_at_hand(tallied: Workers):
    worker = tallied.worker()
    worker.tell("slow", 0)
    await tallied.send(0, KEYS)
    await until((worker.directory / "begun-event-0").exists, worker.process)
    assert await worker.process.stop() == 0
    assert sorted(await tallied.committed()) == [0, 1]


async def test_a_worker_that_was_frozen_writes_nothing_any_more(tallied: Workers):
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
