"""Copies of other workers' tables: kept up in the background, taken over when their owner is gone."""

import asyncio
import contextlib
import os
import time
from pathlib import Path

import pytest
import rocksdict
from faust.types import TP

from bitloot.faust_app.standby import Standbys
from bitloot.settings import KafkaSettings
from embedded.ports import free_port
from tests.integration.plumbing import tally
from tests.integration.plumbing.broker import Broker
from tests.integration.plumbing.faust_workers import KEYS, Worker, Workers, until, workers


@pytest.fixture
async def tallied(broker: Broker, tmp_path: Path):
    async with workers(broker, tmp_path) as bench:
        yield bench


async def shared(tallied: Workers) -> tuple[Worker, Worker]:
    """Return two workers that have a partition each, and a copy of the other's."""
    one, two = tallied.worker("one"), tallied.worker("two")
    await until(lambda: one.ready() and two.ready() and one.lags() and two.lags(), one.process, two.process)
    return one, two


def all_rows(*each: Worker) -> dict[str, list[str]]:
    return {key: value for worker in each for key, value in worker.rows().items()}


def kept_up(*each: Worker) -> bool:
    return all(set(worker.lags().values()) == {0} for worker in each)


async def test_a_copy_is_kept_up_and_takes_over_without_reading_the_changelog_again(tallied: Workers):
    await tallied.send(*range(100))
    one, two = await shared(tallied)
    await tallied.send(*range(100, 200))
    await until(lambda: all_rows(one, two) == tallied.sent and kept_up(one, two), one.process, two.process)
    # Rows and copies are told one after the other: what the copies lack is told of this moment now.
    await tallied.until_committed()
    await until(lambda: kept_up(one, two), one.process, two.process)
    assert len(one.lags()) == len(two.lags()) == 1
    assert one.lags().keys() != two.lags().keys()
    assert one.rows()  # both have something to lose
    assert two.rows()

    restored = len(two.logged("tables.restored"))
    await one.process.kill()
    await until(lambda: two.rows() == tallied.sent, two.process)
    assert [line["records"] for line in two.logged("tables.restored")[restored:]] == [0]
    assert two.lags() == {}  # nobody is left to follow
    await until(lambda: two.failures() == {}, two.process)


async def test_a_lost_copy_is_made_anew(tallied: Workers):
    """Its disk is gone: the changelog has everything, and the old owner goes on meanwhile."""
    one, two = await shared(tallied)
    await tallied.send(*range(100))
    await tallied.until_committed()
    await one.process.kill()
    await until(lambda: two.rows() == tallied.sent, two.process)
    three = tallied.worker("three")
    await until(lambda: two.lags() and three.lags() and kept_up(two, three), two.process, three.process)
    await two.process.kill()
    await until(lambda: three.rows() == tallied.sent, three.process)


async def test_deleted_rows_are_deleted_in_copies_and_come_back_nowhere(tallied: Workers):
    one, two = await shared(tallied)
    await tallied.send(*range(60))
    await tallied.until_committed()
    await until(lambda: kept_up(one, two), one.process, two.process)
    for worker in (one, two):
        for key in range(KEYS):
            worker.tell("drop", 60 + key)
    await tallied.send(*range(60, 60 + KEYS))
    await tallied.until_committed()
    await until(lambda: kept_up(one, two) and not all_rows(one, two), one.process, two.process)
    await one.process.kill()
    await until(lambda: two.ready() and not two.lags(), two.process)
    await tallied.send(100)
    await until(lambda: two.rows() == {f"key-{100 % KEYS}": ["event-100"]}, two.process)

    # Nor to a worker that reads the changelog from its beginning.
    await two.process.kill()
    three = tallied.worker("three")
    await until(lambda: three.rows() == {f"key-{100 % KEYS}": ["event-100"]}, three.process)


async def test_a_worker_alone_follows_nobody(tallied: Workers):
    worker = tallied.worker()
    await tallied.send(*range(20))
    await until(lambda: worker.rows() == tallied.sent, worker.process)
    await until(lambda: worker.failures() == {}, worker.process)
    assert worker.lags() == {}


async def test_copies_that_are_not_kept_up_are_told_and_stop_nobody(tallied: Workers, tmp_path: Path):
    """A copy whose disk has read further than the changelog goes: it refuses, the partitions that are ours go on."""
    one, two = await shared(tallied)
    await tallied.send(*range(100))
    await tallied.until_committed()
    await until(lambda: kept_up(one, two), one.process, two.process)
    await two.process.stop()
    await until(lambda: one.rows() == tallied.sent, one.process)
    spoil(two.directory, 1)  # of two partitions, the assignor takes the first from whoever has both

    two = tallied.worker("two")
    await until(lambda: "standbys" in two.failures(), one.process, two.process)
    assert "but it ends at" in two.failures()["standbys"]
    assert "standbys" not in two.failures("healthz")
    await tallied.send(*range(100, 200))
    await until(lambda: all_rows(one, two) == tallied.sent, one.process, two.process)
    await tallied.until_committed()


def spoil(directory: Path, partition: int) -> None:
    """Let the copy claim to have read what was never written."""
    write(directory, partition, b"__faust\0offset__", b"1000000")


def write(directory: Path, partition: int, key: bytes, value: bytes) -> None:
    """Write behind the back of a worker that does not run."""
    (database,) = directory.glob(f"**/{tally.APP}-{partition}.db")
    store = rocksdict.Rdict(str(database), options=rocksdict.Options(raw_mode=True))
    store.put(key, value)
    store.close()


async def test_a_disk_that_was_away_for_long_is_not_believed(tallied: Workers):
    """A row was deleted meanwhile, and then compaction took the deletion away, too: the changelog tells of neither."""
    worker = tallied.worker()
    await tallied.send(*range(60))
    await until(lambda: worker.rows() == tallied.sent, worker.process)
    await tallied.until_committed()
    assert await worker.process.stop() == 0
    for partition in range(tally.PARTITIONS):
        write(worker.directory, partition, f"ghost-{partition}".encode(), b"[]")
    (old,) = worker.directory.glob(f"**/{tally.APP}-0.complete")
    long_ago = time.time() - 13 * 3600
    os.utime(old, (long_ago, long_ago))

    worker = tallied.worker()
    await until(worker.rows, worker.process)
    assert worker.rows() == tallied.sent | {"ghost-1": []}
    assert len(list(worker.directory.glob("**/*.stale"))) == 1  # nothing is thrown away


async def test_without_a_broker_it_says_so_and_tries_again(tmp_path: Path):
    class App:
        kafka = KafkaSettings(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")

        class conf:  # noqa: N801
            id = "app"

    standbys = Standbys(App)
    following = asyncio.create_task(standbys.run())
    assert await standbys.check() is None
    standbys.follow({TP("changelog", 0): object()})
    while (reason := await standbys.check()) is None:
        await asyncio.sleep(0.01)
    assert reason == "copies of other workers' tables are not kept up: KafkaConnectionError"
    assert not following.done()
    standbys.release()
    assert await standbys.check() is None
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
