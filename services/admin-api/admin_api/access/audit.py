"""The audit log: only ever added to, each entry holding the hash of the one before."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import asyncpg
from pydantic import JsonValue

from admin_api.access.rights import Asker
from admin_api.access.sql import SQL
from admin_api.database import Pool
from bitloot.ledger import translated

_AT_ONCE = 1000
NOTHING_BEFORE = bytes(32)


class Result(StrEnum):
    """How far an act came."""

    ASKED = "asked"  # written before anything happens, so that nothing happens unseen
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to what, and why. `details` never hold what is secret or masked."""

    asker: Asker
    action: str
    target: str
    result: Result
    reason: str = ""
    details: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at all entries has found. `broken` says what is wrong with which entry, or is None."""

    entries: int
    head: str
    broken: str | None


class AuditLog:
    """The log in Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, entry: Entry) -> int:
        """Add an entry and return its number. Raises `Transient`: then what it is about must not happen."""
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(SQL["lock_audit"])
                last = await connection.fetchrow(SQL["last_audit"])
                number, previous = (last["number"] + 1, last["hash"]) if last else (1, NOTHING_BEFORE)
                row: dict[str, object] = {
                    "number": number,
                    "at": datetime.now(UTC),
                    "actor": entry.asker.name,
                    "via": entry.asker.via,
                    "action": entry.action,
                    "target": entry.target,
                    "reason": entry.reason,
                    "result": entry.result,
                    "details": dict(entry.details),
                    "previous": previous,
                }
                await connection.execute(SQL["add_audit"], *row.values(), _hash(row))
        return number

    async def verify(self, known: str | None = None) -> Verdict:
        """Look at every entry, oldest first, up to the first that is wrong. Raises `Transient`.

        `known` is a hash, in hex, that an earlier look has told: without it a shortened end does not show.
        """
        number, head, met = 0, NOTHING_BEFORE, known is None
        while True:
            with translated():
                rows = await self._pool.fetch(SQL["audit_after"], number, _AT_ONCE)
            for row in rows:
                if complaint := _complaint(row, number, head):
                    return Verdict(number, head.hex(), complaint)
                number, head = row["number"], row["hash"]
                met = met or head.hex() == known
            if not rows:
                return Verdict(number, head.hex(), None if met else "What was the end once is not there any more.")


def _complaint(row: asyncpg.Record, number: int, head: bytes) -> str | None:
    if row["number"] != number + 1:
        return f"Entry {number + 1} is missing."
    if row["previous"] != head:
        return f"Entry {row['number']} does not follow the one before it."
    if row["hash"] != _hash(row):
        return f"Entry {row['number']} was changed."
    return None


def _hash(row: Mapping[str, object] | asyncpg.Record) -> bytes:
    at, previous = row["at"], row["previous"]
    assert isinstance(at, datetime)  # noqa: S101 - what both callers hand in
    assert isinstance(previous, bytes)  # noqa: S101
    texts = [row[name] for name in ("actor", "via", "action", "target", "reason", "result")]
    said = [row["number"], at.astimezone(UTC).isoformat(timespec="microseconds"), *texts, row["details"]]
    return hashlib.sha256(previous + json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).digest()
