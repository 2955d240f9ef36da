"""A Faust process for tests that kill it: `python -m tests.integration.plumbing.tally PREFIX DIR [SESSION]`.

Its agent keeps for each key the ids of the events it has seen, and sends each event on. A file `WORD-EVENT_ID` in
DIR makes it misbehave at that event. DIR gets a file `ready` once events flow.
"""

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bitloot import faust_app, log
from bitloot.contracts.codec import decode
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.http import loop_factory
from bitloot.kafka import Producer
from bitloot.settings import KafkaSettings

PARTITIONS = 2
APP = "tally"
OUT = "out"


async def serve(prefix: str, directory: Path, session_seconds: float) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"])
    events, out = (replace(ORDER_EVENTS, name=prefix + name) for name in (ORDER_EVENTS.name, OUT))
    missing = replace(out, name=prefix + "missing")
    async with (
        faust_app.stop_on_signals() as stop,
        Producer(settings, client_id=APP, timeout_seconds=session_seconds / 2) as producer,
    ):
        app = faust_app.create_app(
            settings,
            app_id=prefix + APP,
            datadir=directory,
            partitions=PARTITIONS,
            outputs=producer,
            session_seconds=session_seconds,
        )
        table = faust_app.bytes_table(app, APP)

        def told(word: str, event_id: str) -> bool:
            return (directory / f"{word}-{event_id}").exists()

        async def agent(stream: Any) -> None:
            async for event in stream.events():
                record = decode(events, event.message.value)
                seen = json.loads(table.get(event.message.key) or "[]")
                if told("raise", record.event_id):
                    raise KeyError(record.event_id)
                if record.event_id not in seen:
                    padding = " " * 2**21 if told("big", record.event_id) else ""
                    table[event.message.key] = (json.dumps([*seen, record.event_id]) + padding).encode()
                producer.post(missing if told("nowhere", record.event_id) else out, record.order_id, record)
                if told("slow", record.event_id):
                    (directory / f"begun-{record.event_id}").touch()
                    await asyncio.sleep(0.5)

        async def tell() -> None:
            while True:
                await asyncio.sleep(0.05)
                # What a service keeps in memory is filled from the table, like this.
                if app.ready:
                    rows = {key.decode(): json.loads(value) for key, value in table.items()}
                    (directory / "rows.new").write_text(json.dumps(rows))
                    (directory / "rows.new").rename(directory / "rows")
                    (directory / "ready").touch()
                else:
                    (directory / "ready").unlink(missing_ok=True)

        app.on_recovered((directory / "recovered").touch)
        app.on_revoked((directory / "revoked").touch)
        app.agent(faust_app.bytes_topic(app, events), name=APP)(agent)
        await faust_app.run(app, stop, background=[tell, producer.watch])


if __name__ == "__main__":
    log.configure(APP, "test")
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else faust_app.SESSION_SECONDS
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(sys.argv[1], Path(sys.argv[2]), seconds))
