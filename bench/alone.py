"""The ingress with nothing but a broker beside it, and the bare echo: who shares the cores with it is known.

PostgreSQL is away, as it may be: notifications are accepted without it.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from bitloot import topics
from bitloot.settings import KafkaSettings
from embedded.child import Child
from embedded.environment import Addresses, environment_of, settings
from embedded.kafka import Kafka
from embedded.paths import CHECKOUT
from embedded.ports import free_port
from embedded.services import SERVICES, Instance, Service

PARTITIONS = 12
_NOWHERE = "http://127.0.0.1:1"
_READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers, and the id of its process."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Pair:
    """The two that are measured side by side, and the broker that one of them needs."""

    ingress: Served
    echo: Served
    kafka_pid: int
    secret: SecretStr
    """What notifications of NOWPayments are signed with."""


@asynccontextmanager
async def pair(directory: Path) -> AsyncIterator[Pair]:
    """Start a broker, the ingress and the echo below `directory`; on the way out end them."""
    async with AsyncExitStack() as stack:
        kafka = Kafka(directory)
        stack.push_async_callback(kafka.stop)
        await kafka.start()
        await topics.ensure(
            KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap), partitions=PARTITIONS, replication=1
        )
        everything = settings(_addresses(kafka), {})
        ingress = await stack.enter_async_context(_ingress(directory, everything))
        port = free_port()
        echo = await stack.enter_async_context(
            _process("echo", ["bench.echo", str(port)], dict(os.environ), directory, f"http://127.0.0.1:{port}")
        )
        yield Pair(ingress, echo, kafka.pid, SecretStr(everything["NOWPAYMENTS_IPN_SECRET"]))


def _addresses(kafka: Kafka) -> Addresses:
    return Addresses(
        kafka=kafka.bootstrap,
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


def _service(name: str) -> Service:
    return next(service for service in SERVICES if service.name == name)


@asynccontextmanager
async def _ingress(directory: Path, everything: dict[str, str]) -> AsyncIterator[Served]:
    instance = Instance(_service("ingress"), 1, free_port())
    env = environment_of(instance, everything, directory, os.environ)
    async with _process("ingress", [instance.service.module], env, directory, instance.url) as served:
        async with httpx.AsyncClient(base_url=served.url, trust_env=False) as client, asyncio.timeout(_READY_SECONDS):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.1)
        yield served


@asynccontextmanager
async def _process(
    name: str, module: list[str], env: dict[str, str], directory: Path, url: str
) -> AsyncIterator[Served]:
    child = Child(name, [sys.executable, "-m", *module], log_file=directory / f"{name}.log", env=env, cwd=CHECKOUT)
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
