"""How many effects the kinguin and the delivery worker carry out, against a sandbox that answers at once.

Each alone, on full topics, with the real broker, PostgreSQL and S3. The kinguin worker gets the purchases that the
whole system had asked for; the delivery worker gets what was to be stored and mailed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.buyers import give_keys, sealed_anew
from bench.recording import Told, copies
from bench.stage import Drained, Stage
from bitloot.contracts.topics import DELIVERIES, KINGUIN_CALLS

_DIALS = {"keyDelay": 0}


async def measure(
    directory: Path, settings: Mapping[str, str], recorded: Mapping[str, Sequence[Told]], *, times: int
) -> Mapping[str, Drained]:
    """Return what each worker came to with `times` the recorded effects."""
    found = {}
    purchases = [told for told in recorded[KINGUIN_CALLS.name] if json.loads(told.value or b"")["type"] == "buy_key"]
    work = {"kinguin": (KINGUIN_CALLS, purchases), "delivery": (DELIVERIES, recorded[DELIVERIES.name])}
    for name, (topic, effects) in work.items():
        async with Stage(directory, settings, stores=True) as stage, stage.sandbox(**_DIALS):
            await give_keys(stage.postgres.dsn, copies(effects, times))
            await stage.fill(topic, sealed_anew(copies(effects, times)))
            async with stage.service(name) as process:
                found[name] = await stage.drained(topic, name, [process], len(effects) * times)
    return found
