"""A worker process for tests that kill it: `python -m tests.integration.plumbing.worker PREFIX GROUP DIR`.

It handles records of one partition. What is done leaves a file `done-OFFSET` in DIR; offsets of which DIR has a
file `stuck-OFFSET` never end.
"""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from bitloot.consumer import Consumed, Limits, OrderedConsumer
from bitloot.contracts.topics import DEAD_LETTERS, ORDER_EVENTS
from bitloot.health import Health
from bitloot.kafka import Producer
from bitloot.settings import KafkaSettings

# As short as the test broker allows: a killed member is missed after this long.
LIMITS = Limits(session=1.5, heartbeat=0.3, commit_interval=0.1, rebalance=5.0)


async def work(prefix: str, group: str, directory: Path) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"])

    async def handle(consumed: Consumed) -> None:
        if (directory / f"stuck-{consumed.offset}").exists():
            await asyncio.Event().wait()
        (directory / f"done-{consumed.offset}").touch()

    async with Producer(settings, client_id="worker") as producer:
        consumer = OrderedConsumer(
            settings,
            group=group,
            topics=[replace(ORDER_EVENTS, name=prefix + ORDER_EVENTS.name)],
            handle=handle,
            dead_letters=producer,
            dead_letters_topic=replace(DEAD_LETTERS, name=prefix + DEAD_LETTERS.name),
            name="worker",
            health=Health(),
            limits=LIMITS,
        )
        await consumer.run()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
