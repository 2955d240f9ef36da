"""What an order costs when many lie in the table already, and how long so many take to be restored.

The changelog is filled with orders as the whole system had left them, the orders agent starts with an empty disk,
restores them all, and reads the times at which they want to be woken. Then it handles events of other orders.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.recording import Told, copies
from bench.stage import Drained, Stage
from bitloot.contracts.topics import ORDER_EVENTS, ORDERS_CHANGELOG
from fulfillment.app import APP_ID

_LAST_FILLED = "sales"
"""The last table of which the timers read when its rows want to be woken."""


@dataclass(frozen=True, slots=True)
class Size:
    """One measurement. `start` is from the start of the process, with an empty disk, to its readiness, in seconds."""

    rows: int
    start: float
    memory: int
    """Bytes resident after the events."""
    drained: Drained


async def measure(
    directory: Path,
    settings: Mapping[str, str],
    recorded: Mapping[str, Sequence[Told]],
    *,
    sizes: Sequence[int],
    times: int,
) -> Sequence[Size]:
    """Return a measurement for each size, with `times` the recorded events."""
    return [await _measure(directory, settings, recorded, rows, times) for rows in sizes]


async def _measure(
    directory: Path, settings: Mapping[str, str], recorded: Mapping[str, Sequence[Told]], rows: int, times: int
) -> Size:
    events = recorded[ORDER_EVENTS.name]
    async with Stage(directory, settings) as stage:
        await stage.fill(ORDERS_CHANGELOG, _left(recorded[ORDERS_CHANGELOG.name], rows))
        begun = time.monotonic()
        async with stage.service("fulfillment") as process:
            start = time.monotonic() - begun
            await stage.until_told(process, "timers.filled", source=_LAST_FILLED)
            await stage.fill(ORDER_EVENTS, copies(events, times))
            drained = await stage.drained(ORDER_EVENTS, APP_ID, [process], len(events) * times)
            return Size(rows, start, psutil.Process(process.pid).memory_info().rss, drained)


def _left(changelog: Sequence[Told], rows: int) -> Iterator[Told]:
    """Tell the last state of each recorded order again and again, under so many ids of other orders."""
    last = list({told.key: told for told in changelog}.values())
    yield from (told for _, told in zip(range(rows), copies(last, -(-rows // len(last)), "left"), strict=False))
