"""The tables' stores: RocksDB, one database for each partition, of our own partitions and of those that we follow."""

import asyncio
import shutil
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import faust
import rocksdict
from faust.stores import rocksdb
from faust.streams import current_event
from faust.types import TP

from bitloot import log
from bitloot.kafka import Fate

_MIB = 1 << 20
_BLOCK_CACHE = rocksdict.Cache(64 * _MIB)
"""Shared by all stores of the process: what their blocks and write buffers may take together stays bounded."""
_WRITE_BUFFERS = rocksdict.WriteBufferManager.new_write_buffer_manager_with_cache(
    64 * _MIB, allow_stall=False, cache=_BLOCK_CACHE
)
_WRITE_BUFFER = 4 * _MIB
_MAX_OPEN_FILES = 64  # for each partition; the defaults are nine tenths of what a process may open
_BLOOM_BITS = 10
_LOGS = 2
_LOG_BYTES = 256 << 10
"""Of RocksDB's own log: it tells each flush and, each ten minutes, how it is, into one file without end by itself."""


_STALE = timedelta(hours=12)
"""Half of the time for which Kafka keeps a deletion (`delete.retention.ms`). Whoever reads on later can miss some."""

_log = log.get(__name__)


class Change(NamedTuple):
    """A record of a changelog. A value of None deletes the key."""

    offset: int
    key: bytes
    value: bytes | None


class _Options(rocksdb.RocksDBOptions):  # type: ignore[misc]  # Faust has no usable types
    """Made for many small databases; Faust's own are made for one large one, with 2 GiB of cache each."""

    def as_options(self) -> rocksdict.Options:
        """Return what a database is opened with."""
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_block_cache(_BLOCK_CACHE)
        blocks.set_bloom_filter(_BLOOM_BITS, block_based=False)
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(_WRITE_BUFFERS)
        options.set_write_buffer_size(_WRITE_BUFFER)
        options.set_max_open_files(_MAX_OPEN_FILES)
        options.set_keep_log_file_num(_LOGS)
        options.set_max_log_file_size(_LOG_BYTES)
        return options


class Store(rocksdb.Store):  # type: ignore[misc]
    """The databases of one table.

    There is one writer of each at any time: the agent for a partition that is ours, `Standbys` for one that we
    follow, and the restoring before it becomes ours. Only partitions that are ours are read by agents and timers.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rocksdb_options = _Options()

    def apply(self, partition: int, changes: Iterable[Change]) -> None:
        """Write records of the partition's changelog, and how far they go, in one step."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        offset = None
        for offset, key, value in changes:  # noqa: B007 - the last one counts
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        if offset is not None:
            batch.put(self.offset_key, str(offset).encode())
            self._db_for_partition(partition).write(batch)

    # --- how old a database is ---

    def mark(self, partition: int) -> None:
        """Note that the database has all of its changelog, now."""
        self._mark_of(partition).touch()

    def is_stale(self, partition: int, now: float | None = None) -> bool:
        """Whether the database was last complete so long ago that deletions it has not read may be gone."""
        mark = self._mark_of(partition)
        if not mark.exists():
            return True
        age = (time.time() if now is None else now) - mark.stat().st_mtime
        return age > _STALE.total_seconds()

    def set_aside(self, partition: int) -> None:
        """Begin with an empty database; the old one is kept beside it until the next one is set aside."""
        path = self.partition_path(partition)
        aside = path.with_suffix(".stale")
        self._dbs.pop(partition).close()
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        _log.warning("table.set_aside", table=self.table_name, partition=partition, kept_as=aside.name)

    def _mark_of(self, partition: int) -> Path:
        return Path(self.partition_path(partition)).with_suffix(".complete")

    # --- one key: without Faust's index of where keys were last, which nothing here asks ---

    def _get(self, key: bytes) -> bytes | None:
        for database in self._dbs_for_key(key):
            value: bytes | None = database.get(key)
            if value is not None:
                return value
        return None

    def _set(self, key: bytes, value: bytes) -> None:
        self._db_for_partition(current_event().message.partition).put(key, value)

    # --- what Faust does over all databases, over those that are ours ---

    def _dbs_for_actives(self) -> Iterator[Any]:
        # A copy: while somebody iterates over the table, standbys open databases.
        databases = dict(self._dbs)
        actives, topic = self.app.assignor.assigned_actives(), self.table.changelog_topic_name
        return iter([database for number, database in databases.items() if TP(topic, number) in actives])

    def _dbs_for_key(self, key: bytes) -> Iterable[Any]:  # noqa: ARG002 - Faust's signature
        event = current_event()
        return [self._db_for_partition(event.message.partition)] if event is not None else self._dbs_for_actives()


class BytesTable(faust.Table):  # type: ignore[misc]
    """A table that is written, changelog and store, in the partition of the event at hand.

    Its changelog is sent with the agents' outputs: one producer, one request for what an event leads to. Faust's own
    way, a buffer and a producer beside it, costs as much again as all that the orders agent sends. How far the
    changelog goes is noted only as long as the partitions are surely ours.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._acknowledged: dict[int, int] = {}
        """Partition → the newest offset in its changelog that is not noted yet."""

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:
        """Return the value of a key, or `default`: in the event's partition, outside of agents in all of ours."""
        value: bytes | None = self.data._get(key)  # noqa: SLF001 - bytes already: nothing to decode
        return default if value is None else value

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the rows of our partitions."""
        rows: Iterator[tuple[bytes, bytes]] = self.data._iteritems()  # noqa: SLF001
        return rows

    def __getitem__(self, key: bytes) -> bytes:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._send(key, value)
        self.data._set(key, value)  # noqa: SLF001

    def __delitem__(self, key: bytes) -> None:
        self._send(key, None)
        self.data._del(key)  # noqa: SLF001

    def _send(self, key: bytes, value: bytes | None) -> None:
        """Send a record of the changelog. Raises `Ending` when this process must not write any more."""
        partition = self.partition_for_key(key)  # raises outside of agents
        sent = self.app.sends.write(self.changelog_topic_name, key, value, partition)
        sent.add_done_callback(partial(self._on_written, partition))

    def _on_written(self, partition: int, sent: Fate) -> None:
        if sent.cancelled() or sent.exception() is not None:
            return  # `Sends` ends the process
        if not self._acknowledged:
            asyncio.get_running_loop().call_soon(self._note)  # once for a response of the broker, not for each record
        self._acknowledged[partition] = max(self._acknowledged.get(partition, -1), sent.result().offset)

    def _note(self) -> None:
        acknowledged, self._acknowledged = self._acknowledged, {}
        # A late acknowledgement may stand behind records of a new owner, which we have not read.
        if self.app.guard.may_write:
            for partition, offset in acknowledged.items():
                self.data.set_persisted_offset(TP(self.changelog_topic_name, partition), offset)

    def _new_store(self) -> Store:
        return Store(
            "rocksdb://",
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
            value_type=self.value_type,
            loop=self.loop,
        )
