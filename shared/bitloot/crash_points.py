"""Named places at which a process can be told to die, so that chaos runs strike where it hurts.

Failpoints, as FreeBSD's fail(9) and TiKV's fail-rs have them. `reach` costs one look at a global where they are off,
which is always but in tests: the setting CRASH_POINTS names a directory, and a file in it named after a point arms
that point. The process that gets there first takes the file away and sends itself SIGKILL: nothing is cleaned up,
nothing is flushed. One file is one crash, however many processes watch and however often they are started again.

    arm(directory, CrashPoint.LEDGER_CLAIMED)
    ...
    hits(directory)  # [Hit(point=..., service="kinguin", instance="kinguin-1", pid=4711, at=...)]
"""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

_HIT = ".hit"


class CrashPoint(StrEnum):
    """Every place, named `part.what has just happened`."""

    INGRESS_PUBLISHED = "ingress.published"  # a notification is in Kafka, its sender has no answer
    INGRESS_BILLED = "ingress.billed"  # an invoice is made and recorded, its order is not in Kafka
    INGRESS_ORDERED = "ingress.ordered"  # an order is in Kafka, the shop has no answer
    ORDERS_STORED = "orders.stored"  # the table has the order's new state, its effects are not sent
    ORDERS_SENT = "orders.sent"  # the effects are handed to the producer, the event is not acknowledged
    ROUTER_STORED = "router.stored"  # the table has the reservation's order, nothing is forwarded
    ROUTER_SENT = "router.sent"  # what was held is handed to the producer, the record is not acknowledged
    TIMERS_SENT = "timers.sent"  # a timer's event is handed to the producer
    AGENTS_SETTLED = "agents.settled"  # all that agents sent is in Kafka, the offsets are not committed
    AGENTS_COMMITTED = "agents.committed"  # the offsets are committed
    RESTORE_HALFWAY = "restore.halfway"  # a part of a changelog is in the table
    LEDGER_CLAIMED = "ledger.claimed"  # the effect is ours, nobody was called
    LEDGER_ACTED = "ledger.acted"  # the provider did it (or not), nothing is recorded
    LEDGER_RECORDED = "ledger.recorded"  # the outcome is in the ledger, not in Kafka
    LEDGER_PUBLISHED = "ledger.published"  # the outcome is in Kafka, the offset is not committed
    READ_ANSWERED = "read.answered"  # the provider answered a question, the answer is not in Kafka
    STORAGE_WRITTEN = "storage.written"  # the codes are in R2, nobody knows
    MAIL_RENDERED = "mail.rendered"  # the mail is kept and its try begun, it is not sent
    MAIL_ACCEPTED = "mail.accepted"  # the provider has the mail, nothing is recorded
    SINK_WRITTEN = "sink.written"  # rows and offsets are written, the transaction is open
    SINK_COMMITTED = "sink.committed"  # the transaction is committed, the sink does not know
    DEAD_LETTER_SENT = "dead_letter.sent"  # the dead letter is in Kafka, the offset of its record is not committed


@dataclass(frozen=True, slots=True)
class Hit:
    """A process that died at a point."""

    point: CrashPoint
    service: str
    instance: str
    pid: int
    at: datetime


@dataclass(frozen=True, slots=True)
class _Watch:
    directory: Path
    service: str
    instance: str


_watch: _Watch | None = None


def watched(directory: Path) -> Path:
    """Return a directory that may be watched. Raises ValueError when it is none, or arms what does not exist."""
    if not directory.is_dir():
        raise ValueError("it is not a directory")
    known = {point.value for point in CrashPoint}
    unknown = sorted(path.name for path in directory.iterdir() if path.suffix != _HIT and path.name not in known)
    if unknown:
        raise ValueError(f"there is no crash point {', '.join(unknown)}")
    return directory


def watch(directory: Path | None, service: str, instance: str) -> None:
    """Die in this process at the points that files in `directory` arm; None turns that off."""
    global _watch  # noqa: PLW0603 - a process has one; whoever reaches a point must not have to carry it along
    _watch = None if directory is None else _Watch(watched(directory), service, instance)


def reach(point: CrashPoint, kill: Callable[[int, int], None] = os.kill) -> None:
    """Die here if the point is armed. `kill` is for tests."""
    if _watch is None:
        return
    armed = _watch.directory / point
    if not armed.exists():
        return
    pid = os.getpid()
    hit = armed.with_name(f"{point}.{pid}{_HIT}")
    try:
        armed.rename(hit)
    except FileNotFoundError:
        return  # another process was faster
    who = {"service": _watch.service, "instance": _watch.instance, "pid": pid}
    hit.write_text(json.dumps({"point": point, **who, "at": datetime.now(UTC).isoformat()}))
    kill(pid, signal.SIGKILL)


def arm(directory: Path, point: CrashPoint) -> None:
    """Let the next process that gets to a point die there."""
    (directory / point).touch()


def disarm(directory: Path) -> None:
    """Let all go on."""
    for point in CrashPoint:
        (directory / point).unlink(missing_ok=True)


def armed(directory: Path) -> frozenset[CrashPoint]:
    """Return the points at which nobody has died yet."""
    return frozenset(point for point in CrashPoint if (directory / point).exists())


def hits(directory: Path) -> Sequence[Hit]:
    """Return who died where, the first one first."""
    found = []
    for path in directory.glob(f"*{_HIT}"):
        with contextlib.suppress(ValueError):  # not written to its end yet
            told = json.loads(path.read_text())
            told["at"] = datetime.fromisoformat(told["at"])
            found.append(Hit(**told | {"point": CrashPoint(told["point"])}))
    return sorted(found, key=lambda hit: hit.at)
