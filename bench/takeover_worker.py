"""A Faust worker to kill: `python -m bench.takeover_worker DIRECTORY`, with KAFKA_BOOTSTRAP_SERVERS set.

Its agent stores each event in a table of bytes. It writes a JSON line for each thing that happens, with the time: it
gave partitions up, it has restored tables, the first event of each partition since then, its copies are kept up.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bitloot import faust_app, log
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.kafka import Producer
from bitloot.process import loop_factory
from bitloot.settings import KafkaSettings

APP = "takeover"
TABLE = "orders"
CHANGELOG = f"{APP}-{TABLE}-changelog"
PARTITIONS = 12


def tell(what: str, **facts: object) -> None:
    """Write a line that says what has just happened."""
    print(json.dumps({"what": what, "at": time.time(), **facts}), flush=True)


class Worker:
    """The agent and its table."""

    def __init__(self, app: faust_app.App) -> None:
        self._app = app
        self._seen: set[int] = set()
        self._table = faust_app.bytes_table(app, TABLE)
        app.on_recovered(self._recovered)
        app.on_revoked(lambda: tell("revoked"))
        app.agent(faust_app.bytes_topic(app, ORDER_EVENTS), name=APP)(self.run)

    async def run(self, stream: Any) -> None:
        """Store each event under its key."""
        async for event in stream.events():
            self._table[event.message.key] = event.message.value
            if event.message.partition not in self._seen:
                self._seen.add(event.message.partition)
                tell("handled", partition=event.message.partition)

    async def tell_copies(self) -> None:
        """Say once for each assignment that all copies are kept up."""
        kept_up = False
        while True:
            await asyncio.sleep(0.1)
            now = self._app.ready and set(self._app.standbys.lags.values()) == {0}
            if now and not kept_up:
                tell("kept_up", copies=len(self._app.standbys.lags))
            kept_up = now

    def _recovered(self) -> None:
        self._seen.clear()
        tell("recovered")


async def serve(directory: Path) -> None:
    """Run until SIGTERM."""
    settings = KafkaSettings(kafka_bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Producer(settings, client_id=APP) as producer:
        app = faust_app.create_app(settings, app_id=APP, datadir=directory, partitions=PARTITIONS, outputs=producer)
        worker = Worker(app)
        await faust_app.run(app, stop, background=[worker.tell_copies, producer.watch])


if __name__ == "__main__":
    log.configure(APP, "bench")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(Path(sys.argv[1])))
