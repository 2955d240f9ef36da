"""The three servers that stand in for the managed ones: started together, stopped together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from embedded.kafka import Kafka
from embedded.postgres import Postgres
from embedded.s3 import S3
from embedded.server import Server


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """The running servers."""

    kafka: Kafka
    postgres: Postgres
    s3: S3

    @property
    def servers(self) -> tuple[Server, ...]:
        """All of them, in no particular order."""
        return (self.kafka, self.postgres, self.s3)


@asynccontextmanager
async def infrastructure(
    run_dir: Path, *, log_dir: Path | None = None, durable: bool = True
) -> AsyncIterator[Infrastructure]:
    """Start Kafka, PostgreSQL and S3 below `run_dir` in parallel; on the way out stop what was started.

    `durable=False` spares PostgreSQL its syncs, for tests.
    """
    infra = Infrastructure(
        kafka=Kafka(run_dir, log_dir=log_dir),
        postgres=Postgres(run_dir, log_dir=log_dir, durable=durable),
        s3=S3(run_dir, log_dir=log_dir),
    )
    try:
        async with asyncio.TaskGroup() as starts:
            for server in infra.servers:
                starts.create_task(server.start())
        yield infra
    finally:
        await asyncio.gather(*(server.stop() for server in infra.servers))
