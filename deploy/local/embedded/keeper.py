"""Keeps one server running for another process: `python -m embedded.keeper NAME RUN_DIR OWNER_PID`.

The test run's fixtures use it to share a server between processes. The server's connection facts appear in
RUN_DIR/NAME.json, written at once and whole; the keeper stops the server and ends when it is told to (SIGTERM)
or when its owner is gone, however the owner ended.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import psutil

from embedded.errors import EmbeddedError
from embedded.files import write_whole
from embedded.kafka import Kafka
from embedded.postgres import Postgres
from embedded.processes import lives
from embedded.s3 import S3
from embedded.server import Server

_OWNER_POLL_SECONDS = 0.2


def _server(name: str, run_dir: Path) -> Server:
    match name:
        case "kafka":
            return Kafka(run_dir)
        case "postgres":
            return Postgres(run_dir, durable=False)
        case "s3":
            return S3(run_dir)
        case _:
            raise SystemExit(f"there is no server called {name}")


def _facts(server: Server) -> dict[str, str | int]:
    """Return what clients need, and the keeper's own process id."""
    facts: dict[str, str | int] = {"keeper_pid": os.getpid(), "data_dir": str(server.data_dir)}
    match server:
        case Kafka():
            facts |= {"bootstrap": server.bootstrap}
        case Postgres():
            facts |= {"dsn": server.dsn}
        case S3():
            facts |= {
                "endpoint": server.endpoint,
                "access_key": server.access_key,
                "secret_key": server.secret_key,
            }
    return facts


async def keep(server: Server, facts_file: Path, owner_pid: int) -> None:
    """Start the server, publish its facts, and hold it until the owner is gone or we are told to stop."""
    told = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, told.set)
    owner = psutil.Process(owner_pid)  # remembers the start time, so a reused id is not taken for the owner
    try:
        await server.start()
        write_whole(facts_file, json.dumps(_facts(server)))
        while lives(owner) and not told.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), _OWNER_POLL_SECONDS)
    finally:
        facts_file.unlink(missing_ok=True)  # noqa: ASYNC240 - nobody else waits on this loop
        await server.stop()


def main() -> None:
    """Keep the server that the command line names."""
    name, run_dir, owner_pid = sys.argv[1:]
    try:
        asyncio.run(keep(_server(name, Path(run_dir)), Path(run_dir) / f"{name}.json", int(owner_pid)))
    except EmbeddedError as error:
        sys.exit(str(error))
    except psutil.NoSuchProcess:
        sys.exit("the owner is gone already")


if __name__ == "__main__":
    main()
