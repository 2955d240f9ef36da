"""Looks for secrets where they must not be: Kafka, RocksDB, Postgres, logs and mails, through every compression."""

import base64
import binascii
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from rocksdict import AccessType, Options, Rdict

Finding = tuple[str, str]
"""The secret, and where it stands."""


def spellings(secret: str) -> set[bytes]:
    """Return a secret as it may stand in bytes: plain, hex, or base64 at any of its three alignments."""
    plain = secret.encode()
    found = {plain, plain.lower(), binascii.hexlify(plain), plain.hex().upper().encode()}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + plain)
        # The first and last characters also carry bits of the neighbors.
        found.add(encoded[4 if shift else 0 :].rstrip(b"=")[:-2])
    return found


class Scanner:
    """Collects where any of the secrets stands."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._needles = {spelling: secret for secret in secrets for spelling in spellings(secret)}
        self.found: set[Finding] = set()
        self.looked_at = 0

    def look(self, place: str, content: bytes) -> None:
        self.looked_at += 1
        self.found |= {(secret, place) for needle, secret in self._needles.items() if needle in content}

    def files(self, root: Path) -> None:
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            self.look(f"{root.name}/{path.relative_to(root)}", path.read_bytes())

    async def kafka(self, bootstrap: str) -> None:
        async for place, content in _records(bootstrap):
            self.look(place, content)

    def rocksdb(self, root: Path, scratch: Path) -> None:
        for place, content in _entries(root, scratch):
            self.look(place, content)

    async def postgres(self, dsn: str) -> None:
        async for place, content in _rows(dsn):
            self.look(place, content)

    async def mails(self, sandbox_url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{sandbox_url}/_mail")
        self.look("mails", answer.raise_for_status().content)


async def scan(stack: Mapping[str, Any], secrets: Iterable[str], scratch: Path) -> Scanner:
    """Look through every store of a running stack but the one where codes belong."""
    scanner, data = Scanner(secrets), stack["data_dirs"]
    await scanner.kafka(stack["kafka"])
    scanner.files(Path(data["kafka"]))
    scanner.rocksdb(Path(data["tables"]), scratch)
    scanner.files(Path(data["tables"]))
    await scanner.postgres(stack["postgres"])
    scanner.files(Path(data["postgres"]))
    scanner.files(Path(stack["log_dir"]))
    await scanner.mails(stack["sandbox_url"])
    return scanner


async def _records(bootstrap: str) -> AsyncIterator[tuple[str, bytes]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    described = await admin.describe_topics()
    await admin.close()
    partitions = [TopicPartition(t["topic"], p["partition"]) for t in described for p in t["partitions"]]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                for r in records:
                    headers = b"".join(name.encode() + value for name, value in r.headers)
                    yield f"{tp.topic}@{r.offset}", (r.key or b"") + b"\n" + (r.value or b"") + b"\n" + headers
    finally:
        await consumer.stop()


def _entries(root: Path, scratch: Path) -> Iterator[tuple[str, bytes]]:
    """Read every RocksDB below `root` from a copy: its owner is still writing."""
    for current in sorted(root.rglob("CURRENT")):
        copy = scratch / f"db-{len(list(scratch.iterdir()))}"
        shutil.copytree(current.parent, copy, ignore=shutil.ignore_patterns("LOCK"))
        database = Rdict(str(copy), options=Options(raw_mode=True), access_type=AccessType.read_only())
        for key, value in database.items():
            yield f"rocksdb {current.parent.name}", bytes(key) + b"\n" + bytes(value)
        database.close()


async def _rows(dsn: str) -> AsyncIterator[tuple[str, bytes]]:
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch(
            "select format('%I.%I', schemaname, tablename) as name from pg_tables "
            "where schemaname not in ('pg_catalog', 'information_schema')"
        )
        for table in tables:
            for row in await connection.fetch(f"select t::text as row from {table['name']} t"):  # noqa: S608 - names from the catalog
                yield f"postgres {table['name']}", row["row"].encode()
    finally:
        await connection.close()
