"""What an event costs when more orders agents share the work, each a process with partitions of its own.

On few cores they cannot be faster together than the cores are; whether they get in each other's way shows in the CPU
seconds that an event costs over all of them.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.recording import Told, copies
from bench.stage import Drained, Stage
from bitloot.contracts.topics import ORDER_EVENTS
from fulfillment.app import APP_ID

PARTITIONS = 24


async def measure(
    directory: Path, settings: Mapping[str, str], events: Sequence[Told], *, counts: Sequence[int], times: int
) -> Mapping[int, Drained]:
    """Return for each number of processes what they came to together with `times` the recorded events."""
    return {count: await _measure(directory, settings, events, count, times) for count in counts}


async def _measure(
    directory: Path, settings: Mapping[str, str], events: Sequence[Told], count: int, times: int
) -> Drained:
    async with Stage(directory, settings, partitions=PARTITIONS) as stage, AsyncExitStack() as stack:
        # All are there before the first event is: none takes what another one is still to get.
        processes = [
            await stack.enter_async_context(stage.service("fulfillment", number)) for number in range(1, count + 1)
        ]
        await stage.fill(ORDER_EVENTS, copies(events, times))
        return await stage.drained(ORDER_EVENTS, APP_ID, processes, len(events) * times)
