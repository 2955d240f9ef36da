"""A Faust process for tests that kill it: `python -m tests.integration.plumbing.tally PREFIX DIR [SESSION]`.

Its agent keeps for each key the ids of the events it has seen, and sends each event on. A file `WORD-EVENT_ID` in
DIR makes it misbehave at that event, a file `shake` shakes it all the time. DIR gets a file `ready` once events flow.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bitloot import faust_app, log
from bitloot.contracts.base import Record
from bitloot.contracts.codec import decode
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.health import Health
from bitloot.kafka import Producer
from bitloot.process import loop_factory
from bitloot.settings import KafkaSettings

PARTITIONS = 2
APP = "tally"
OUT = "out"
CHANGELOG = f"{APP}-{APP}-changelog"


class Tally:
    """The agent and its table, in a directory that tells it how to misbehave."""

    def __init__(self, app: faust_app.App, prefix: str, directory: Path, producer: Producer) -> None:
        self._app = app
        self._directory = directory
        self._producer = producer
        self._events, self._out, self._missing = (
            replace(ORDER_EVENTS, name=prefix + name) for name in (ORDER_EVENTS.name, OUT, "missing")
        )
        self._table = faust_app.bytes_table(app, APP)
        app.on_recovered((directory / "recovered").touch)
        app.on_revoked((directory / "revoked").touch)
        app.agent(faust_app.bytes_topic(app, self._events), name=APP)(self.run)

    async def run(self, stream: Any) -> None:
        async for event in stream.events():
            record = decode(self._events, event.message.value)
            if self._told("raise", record):
                raise KeyError(record.event_id)
            if self._told("drop", record):
                self._table.pop(event.message.key, None)
            else:
                self._note(event.message.key, record)
            out = self._missing if self._told("nowhere", record) else self._out
            self._producer.post(out, record.order_id, record)
            if self._told("slow", record):
                (self._directory / f"begun-{record.event_id}").touch()
                await asyncio.sleep(0.5)
            if self._told("hold", record):
                (self._directory / f"begun-{record.event_id}").touch()
                while self._told("hold", record):  # until the file is gone
                    await asyncio.sleep(0.02)

    def _note(self, key: bytes, record: Record) -> None:
        seen = json.loads(self._table.get(key) or "[]")
        if record.event_id not in seen:
            padding = " " * 2**21 if self._told("big", record) else ""
            self._table[key] = (json.dumps([*seen, record.event_id]) + padding).encode()

    def _told(self, word: str, record: Record) -> bool:
        return (self._directory / f"{word}-{record.event_id}").exists()

    async def tell(self) -> None:
        """Write down the whole table while it may be read, as a service fills what it keeps in memory."""
        while True:
            await asyncio.sleep(0.05)
            self._write("lags", {f"{tp.topic}/{tp.partition}": lag for tp, lag in self._app.standbys.lags.items()})
            if self._app.ready:
                self._write("rows", {key.decode(): json.loads(value) for key, value in self._table.items()})
                (self._directory / "ready").touch()
            else:
                (self._directory / "ready").unlink(missing_ok=True)

    async def breaks(self) -> None:
        """Be a background task that fails when it is told to."""
        while not (self._directory / "break").exists():
            await asyncio.sleep(0.05)
        raise KeyError("told to")

    async def tell_health(self, health: Health) -> None:
        """Write down which checks fail, as whoever probes them would hear."""
        while True:
            failures = await health.failures(), await health.failures(vital_only=True)
            self._write("health", {"readyz": failures[0], "healthz": failures[1]})
            await asyncio.sleep(0.1)

    def _write(self, name: str, content: Any) -> None:
        new = self._directory / f"{name}.new"
        new.write_text(json.dumps(content))
        new.rename(self._directory / name)

    async def shake(self) -> None:
        """Suspend and resume, as Faust does around every recovery: it clears its queues each time."""
        while True:
            await asyncio.sleep(0.01)
            if (self._directory / "shake").exists() and self._app.ready:
                self._app.consumer.stop_flow()
                self._app.flow_control.suspend()
                await asyncio.sleep(0.002)
                self._app.flow_control.resume()
                self._app.consumer.resume_flow()


async def serve(prefix: str, directory: Path, session_seconds: float) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Producer(settings, client_id=APP, timeout_seconds=session_seconds / 2) as producer:
        app = faust_app.create_app(
            settings,
            app_id=prefix + APP,
            datadir=directory,
            partitions=PARTITIONS,
            outputs=producer,
            session_seconds=session_seconds,
            limits=faust_app.WatchLimits(look=0.5),
        )
        tally = Tally(app, prefix, directory, producer)
        health = Health()
        faust_app.register(app, health)
        telling = asyncio.create_task(tally.tell_health(health))
        await faust_app.run(app, stop, background=[tally.tell, tally.shake, tally.breaks, producer.watch])
        telling.cancel()


if __name__ == "__main__":
    log.configure(APP, "test")
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else faust_app.SESSION_SECONDS
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(sys.argv[1], Path(sys.argv[2]), seconds))
