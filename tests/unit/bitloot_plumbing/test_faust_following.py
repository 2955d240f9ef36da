"""Copies of other workers' tables: what was asked of the broker before partitions were shared out anew."""

import time
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from bitloot.faust_app import bytes_table, changelog, create_app
from bitloot.faust_app.standby import Standbys
from bitloot.faust_app.store import Change, Store
from bitloot.settings import KafkaSettings

_PARTITION = TP("app-orders-changelog", 0)


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    """The database of a worker that was away for so long that nobody believes it."""
    settings, outputs = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1"), Any
    app = create_app(settings, app_id="app", datadir=tmp_path, partitions=1, outputs=outputs)
    data = bytes_table(app, "orders").data
    data.apply(0, [Change(0, b"a", b"old")])
    assert data.is_stale(0, time.time())
    return data


class Consumer:
    """A consumer of changelogs whose broker is slow to answer: meanwhile `then` happens."""

    def __init__(self, then) -> None:
        self.then = then

    def assign(self, partitions) -> None:
        pass

    def seek(self, partition, offset) -> None:
        pass

    async def end_offsets(self, partitions):
        self.then()
        return dict.fromkeys(partitions, 5)

    async def beginning_offsets(self, partitions):
        return dict.fromkeys(partitions, 0)


async def test_a_table_that_has_become_ours_meanwhile_is_left_alone(store: Store):
    """The restoring has set the old database aside and is filling a new one, which has no mark until it is full."""
    standbys = Standbys(None)

    def take_over() -> None:
        standbys.release()
        assert changelog.start(_PARTITION, store, 0, 5) == 0
        store.apply(0, [Change(0, b"a", b"restored")])

    standbys.follow({_PARTITION: store})
    await standbys._follow(Consumer(take_over), standbys._term)
    assert store._db_for_partition(0).get(b"a") == b"restored"
    assert store.persisted_offset(_PARTITION) == 0
