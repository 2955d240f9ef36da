"""The ingress with nothing but a broker beside it, a plain one and a bare echo: who shares the cores is known.

PostgreSQL is away, as it may be: notifications are accepted without it.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from bench.stage import Stage
from embedded.child import Child
from embedded.environment import Addresses, settings
from embedded.paths import CHECKOUT
from embedded.ports import free_port

_NOWHERE = "http://127.0.0.1:1"
_NOBODY = Addresses(
    kafka="127.0.0.1:1",
    postgres="postgresql://bench@127.0.0.1:1/bench",
    s3_endpoint=_NOWHERE,
    s3_bucket="bench",
    s3_access_key="bench",
    s3_secret_key="bench",  # noqa: S106 - nobody is there
    ingress=_NOWHERE,
    admin=_NOWHERE,
    order_page=_NOWHERE,
    sandbox=_NOWHERE,
)
"""The broker's own is known when it is there."""
_READY_SECONDS = 30.0
_SECRET = "NOWPAYMENTS_IPN_SECRET"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers, and the id of its process."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Doors:
    """The three that are measured side by side, and the broker that two of them need."""

    ingress: Served
    plain: Served
    echo: Served
    kafka_pid: int
    secret: SecretStr
    """What notifications of NOWPayments are signed with."""


@asynccontextmanager
async def doors(directory: Path) -> AsyncIterator[Doors]:
    """Start a broker, the ingress, the plain one and the echo below `directory`; on the way out end them."""
    everything = settings(_NOBODY, {})
    env = {**os.environ, _SECRET: everything[_SECRET]}
    async with (
        Stage(directory, everything) as stage,
        stage.service("ingress") as ingress,
        _process("plain_ingress", [stage.kafka.bootstrap], env, directory) as plain,
        _process("echo", [], env, directory) as echo,
    ):
        yield Doors(Served(ingress.url, ingress.pid), plain, echo, stage.kafka.pid, SecretStr(everything[_SECRET]))


@asynccontextmanager
async def _process(name: str, arguments: list[str], env: dict[str, str], directory: Path) -> AsyncIterator[Served]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", f"bench.{name}", str(port), *arguments]
    child = Child(name, command, log_file=directory / f"{name}.log", env=env, cwd=CHECKOUT)
    try:
        await _answers(child, url)
        yield Served(url, child.pid)
    finally:
        await child.stop(10)


async def _answers(child: Child, url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(_READY_SECONDS):
        while child.exit_code is None:
            try:
                await client.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return
    raise child.failure("did not start")
