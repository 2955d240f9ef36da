"""How long the partitions of a killed or frozen worker lay idle, as the logs of its kind tell it."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

READY = {
    "fulfillment": "tables.ready",
    "payments": "consumer.assigned",
    "kinguin": "consumer.assigned",
    "delivery": "consumer.assigned",
    "sink": "sink.placed",
}
"""What a worker logs, with its partitions, when it can work on them."""
_SETTLING = timedelta(seconds=10)
"""So long after a server answers again its clients still reconnect and its groups form anew."""


class Circumstances(StrEnum):
    """What a takeover may be compared with."""

    KILLED = "killed"
    FROZEN = "frozen"  # SIGSTOP for longer than a session
    IN_OUTAGE = "a server away"  # either; nobody can take over before the server is back


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker that can work on its partitions."""

    at: datetime
    instance: str
    partitions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Blow:
    """Something that took a worker away."""

    service: str
    instance: str
    at: datetime
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Away:
    """A time in which a server did not answer."""

    server: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Takeover:
    """How many seconds it took from a blow until all partitions of the victim were in work again."""

    service: str
    circumstances: Circumstances
    seconds: float


def takeovers(
    blows: Sequence[Blow], away: Sequence[Away], ready: Mapping[str, Sequence[Ready]]
) -> tuple[Takeover, ...]:
    """Return a takeover for each blow to a worker that owned partitions.

    `ready` has when workers of a service were ready, in order of time. Who had not become ready since an earlier blow
    had nothing to be taken over; a blow that nobody recovered from is left out too.
    """
    found, blows = [], sorted(blows, key=lambda blow: blow.at)
    for number, blow in enumerate(blows):
        of_service = ready.get(blow.service, ())
        owned = _owned(blow, blows[:number], of_service)
        later = _all_taken(owned, (each for each in of_service if each.at > blow.at)) if owned else None
        if later is not None:
            seconds = (later - blow.at).total_seconds()
            found.append(Takeover(blow.service, _circumstances(blow, later, away), seconds))
    return tuple(found)


def _owned(blow: Blow, earlier: Sequence[Blow], ready: Sequence[Ready]) -> frozenset[str]:
    """Return the partitions that the victim had when it was struck."""
    since = max((each.at for each in earlier if each.instance == blow.instance and not each.frozen), default=None)
    mine = [
        each.partitions
        for each in ready
        if each.instance == blow.instance and each.at < blow.at and (since is None or each.at > since)
    ]
    return mine[-1] if mine else frozenset()


def _all_taken(wanted: frozenset[str], later: Iterable[Ready]) -> datetime | None:
    """Return when the last of the partitions was in work again, None when that never was."""
    for each in later:
        wanted -= each.partitions
        if not wanted:
            return each.at
    return None


def _circumstances(blow: Blow, later: datetime, away: Sequence[Away]) -> Circumstances:
    if any(each.since <= later and blow.at <= each.until + _SETTLING for each in away):
        return Circumstances.IN_OUTAGE
    return Circumstances.FROZEN if blow.frozen else Circumstances.KILLED


def grouped(found: Iterable[Takeover]) -> Mapping[tuple[str, Circumstances], Sequence[float]]:
    """Return the seconds by service and circumstances."""
    groups: dict[tuple[str, Circumstances], list[float]] = defaultdict(list)
    for each in found:
        groups[each.service, each.circumstances].append(each.seconds)
    return {key: groups[key] for key in sorted(groups)}


def read_logs(log_dir: Path) -> dict[str, list[Ready]]:
    """Return when workers of each service were ready, from the logs of a stack."""
    found = {
        service: [ready for path in log_dir.glob(f"{service}-*.log") for ready in _ready(path, event)]
        for service, event in READY.items()
    }
    return {service: sorted(ready, key=lambda ready: ready.at) for service, ready in found.items()}


def _ready(path: Path, event: str) -> Iterable[Ready]:
    marker = f'"event": "{event}"'
    with path.open(errors="replace") as lines:
        for line in lines:
            if marker in line:
                told = json.loads(line)
                yield Ready(datetime.fromisoformat(told["time"]), path.stem, _partitions(told["partitions"]))


def _partitions(told: str | int) -> frozenset[str]:
    """Return the names of partitions; the sink tells only how many it has, and there is one sink."""
    if isinstance(told, int):
        return frozenset({"all"} if told else ())
    return frozenset(told.split())
