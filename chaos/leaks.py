"""Looks for secrets where they must not be: Kafka, RocksDB, Postgres, logs and mails, through every compression."""

import base64
import binascii
import re
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from rocksdict import AccessType, Options, Rdict

from chaos import records

Finding = tuple[str, str]
"""The secret, and where it stands."""

# A search for each spelling of each of thousands of codes would take hours: beyond these, only what has the shape of
# a code is looked up.
_SPELLED: Final = 20
_SHAPE: Final = re.compile(rb"[A-Za-z0-9]{5}(?:-[A-Za-z0-9]{5}){4}")


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
    """Collects where any of the secrets stands: the first 20 however they are spelled, the others in plain."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = list(secrets)
        self._needles = {spelling: secret for secret in known[:_SPELLED] for spelling in spellings(secret)}
        self._plain = {secret.upper().encode(): secret for secret in known[_SPELLED:]}
        self.found: set[Finding] = set()
        self.looked_at = 0

    def look(self, place: str, content: bytes) -> None:
        """Look through some bytes; `place` says where they are from."""
        self.looked_at += 1
        self.found |= {(secret, place) for needle, secret in self._needles.items() if needle in content}
        if self._plain:
            shaped = {word.upper() for word in _SHAPE.findall(content)}
            self.found |= {(self._plain[word], place) for word in shaped & self._plain.keys()}

    def files(self, root: Path) -> None:
        """Look through all files below a directory."""
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            self.look(f"{root.name}/{path.relative_to(root)}", path.read_bytes())

    async def kafka(self, bootstrap: str) -> None:
        """Look through every record of every topic."""
        async for r in records.everything(bootstrap):
            headers = b"".join(name.encode() + value for name, value in r.headers)
            self.look(f"{r.topic}@{r.offset}", (r.key or b"") + b"\n" + (r.value or b"") + b"\n" + headers)

    def rocksdb(self, root: Path, scratch: Path) -> None:
        """Look through every entry of every RocksDB below a directory."""
        for place, content in _entries(root, scratch):
            self.look(place, content)

    async def postgres(self, dsn: str) -> None:
        """Look through every row of every table."""
        async for place, content in _rows(dsn):
            self.look(place, content)

    async def mails(self, sandbox_url: str) -> None:
        """Look through what the mail provider got."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.get(f"{sandbox_url}/_mail")
        self.look("mails", answer.raise_for_status().content)


async def scan(stack: Mapping[str, Any], secrets: Iterable[str], scratch: Path, *, servers: bool = True) -> Scanner:
    """Look through every store of a running stack but the one where codes belong.

    `servers` says whether to read the files of Kafka and Postgres too, gigabytes after a long run, beside what they
    hold.
    """
    scanner, data = Scanner(secrets), stack["data_dirs"]
    await scanner.kafka(stack["kafka"])
    scanner.rocksdb(Path(data["tables"]), scratch)
    await scanner.postgres(stack["postgres"])
    if servers:
        for name in ("kafka", "tables", "postgres"):
            scanner.files(Path(data[name]))
    scanner.files(Path(stack["log_dir"]))
    await scanner.mails(stack["sandbox_url"])
    return scanner


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
