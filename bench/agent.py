"""How many events the orders agent handles, beside the plainest loop with the same `step`.

Both get the same events, in rounds of their own broker: first one, then the other. The plain loop writes to the same
topics.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.recording import Told, copies
from bench.stage import Drained, Stage
from bitloot.contracts.topics import ORDER_EVENTS
from embedded.child import Child
from embedded.paths import CHECKOUT
from fulfillment.app import APP_ID


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of both, one after the other."""

    agent: Drained
    plain: Drained

    @property
    def ratio(self) -> float:
        """Return the agent's events per second as a part of the plain loop's."""
        return self.agent.per_second / self.plain.per_second

    @property
    def cpu_ratio(self) -> float:
        """Return the plain loop's CPU for an event as a part of the agent's."""
        return self.plain.cpu_each / self.agent.cpu_each


async def measure(
    directory: Path, settings: Mapping[str, str], events: Sequence[Told], *, rounds: int, times: int
) -> Sequence[Round]:
    """Return `rounds` measurements of `times` the recorded events."""
    return [await _round(directory, settings, events, times) for _ in range(rounds)]


async def _round(directory: Path, settings: Mapping[str, str], events: Sequence[Told], times: int) -> Round:
    async with Stage(directory, settings) as stage:
        await stage.fill(ORDER_EVENTS, copies(events, times))
        count = len(events) * times
        async with stage.service("fulfillment") as process:
            agent = await stage.drained(ORDER_EVENTS, APP_ID, [process], count)
        return Round(agent, await _plain(stage.directory, stage.kafka.bootstrap, count))


async def _plain(directory: Path, bootstrap: str, count: int) -> Drained:
    log = directory / "plain.log"
    command = [sys.executable, "-m", "bench.plain_agent", bootstrap, str(count)]
    child = Child("plain loop", command, log_file=log, env=dict(os.environ), cwd=CHECKOUT)
    try:
        if await child.wait() != 0:
            raise child.failure("failed")
    finally:
        await child.kill()
    return Drained(**json.loads(log.read_text().splitlines()[-1]))
