"""How long the partitions of a killed or stopped worker lay idle, as the logs of its kind tell it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

TAKES_OVER = {"fulfillment": "timers.filled", "kinguin": "consumer.assigned", "delivery": "consumer.assigned"}
"""What a worker logs when it has got its partitions and can go on."""


def takeovers(
    struck: Sequence[tuple[datetime, str]], assigned: Mapping[str, Sequence[datetime]]
) -> dict[str, list[float]]:
    """Return seconds by service from each blow to the next time that partitions were handed out and ready.

    `struck` are blows (when, service), `assigned` when workers of a service were ready again, in order of time.
    A blow after which nothing was handed out any more is left out.
    """
    found: dict[str, list[float]] = {}
    for when, service in struck:
        later = next((at for at in assigned.get(service, ()) if at > when), None)
        if later is not None:
            found.setdefault(service, []).append((later - when).total_seconds())
    return found


def read_logs(log_dir: Path) -> dict[str, list[datetime]]:
    """Return when workers of each service were ready, from the logs of a stack."""
    return {
        service: sorted(at for path in log_dir.glob(f"{service}-*.log") for at in _times(_lines(path), event))
        for service, event in TAKES_OVER.items()
    }


def _lines(path: Path) -> Iterable[str]:
    with path.open(errors="replace") as lines:
        yield from lines


def _times(lines: Iterable[str], event: str) -> Iterable[datetime]:
    marker = f'"event": "{event}"'
    for line in lines:
        if marker in line:
            yield datetime.fromisoformat(json.loads(line)["time"])
