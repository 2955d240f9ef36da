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


async def test_an_event_in_work_is_never_passed_by_a_commit_and_never_taken_away(tallied: Workers):
    """A rebalance waits for it and commits it: the next owner begins behind it."""
    one = tallied.worker("one")
    one.tell("hold", KEYS)
    await tallied.send(0)
    await tallied.until_committed()
    held = (await tallied.committed()).index(1)
    await tallied.send(KEYS, *range(1, KEYS))
    await until(lambda: one.begun(KEYS), one.process)

    two = tallied.worker("two")
    await until(lambda: "because it is rebalancing" in one.process.log_file.read_text(), one.process, two.process)
    assert not two.ready()
    assert (await tallied.committed())[held] == 1
    one.release(KEYS)
    await until(lambda: two.ready() and one.ready(), one.process, two.process)
    await tallied.until_committed()
    assert len(await tallied.broker.read(tallied.out)) == len(tallied.all_sent())


async def test_workers_that_come_and_go_in_order_repeat_nothing(tallied: Workers):
    one = tallied.worker("one")
    await until(one.ready, one.process)
    sending = asyncio.create_task(tallied.send(*range(600)))
    two = tallied.worker("two")
    await until(lambda: two.ready() and two.rows(), one.process, two.process)
    assert await two.process.stop() == 0
    await sending
    await until(lambda: one.rows() == tallied.sent, one.process)
    await tallied.until_committed()
    assert len(await tallied.broker.read(tallied.out)) == len(tallied.all_sent())


async def test_a_storm_of_exceptions_loses_nothing(tallied: Workers):
    """Each event raises, at each of several starts; the one that ends it is the first one of its partition."""
    worker = tallied.worker()
    for number in range(20):
        worker.tell("raise", number)
    await tallied.send(*range(20))
    for _ in range(3):
        assert await worker.process.wait() == EXIT_CRASHED
        worker = tallied.worker()
    assert await worker.process.wait() == EXIT_CRASHED
    assert await tallied.committed() == [0, 0]
    worker.untell()
    worker = tallied.worker()
    await until(lambda: worker.rows() == tallied.sent, worker.process)


async def test_background_work_that_fails_ends_the_process_and_loses_nothing(tallied: Workers):
    worker = tallied.worker()
    await until(worker.ready, worker.process)
    sending = asyncio.create_task(tallied.send(*range(100)))
    await until(worker.rows, worker.process)
    (worker.directory / "break").touch()
    assert await worker.process.wait() == EXIT_CRASHED
    await sending
    (worker.directory / "break").unlink()
    worker = tallied.worker()
    await until(lambda: worker.rows() == tallied.sent, worker.process)
    assert await tallied.forwarded() == tallied.all_sent()
