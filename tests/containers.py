"""Keeps one server of the tests in a container: `python -m tests.containers NAME RUN_DIR OWNER_PID`.

The other half of `embedded.keeper`: the same facts in RUN_DIR/NAME.json, and the same end. Images are pinned in
deploy/images.env. A container whose run was killed is removed by the next run.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

# Containers end with their keeper; a reaper would be one more image, from a registry.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")

import asyncpg
import docker
import docker.errors
import psutil
from aiobotocore.session import get_session
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from botocore.exceptions import BotoCoreError, ClientError
from testcontainers.core.container import DockerContainer

from embedded.compose import identities
from embedded.files import write_whole
from embedded.paths import CHECKOUT
from embedded.ports import free_port
from embedded.processes import lives

_OWNER = "bitloot.tests.owner"
_READY_SECONDS = 90.0
_POLL_SECONDS = 0.1
IMAGES = {"kafka": "KAFKA_IMAGE", "postgres": "POSTGRES_IMAGE", "s3": "S3_IMAGE"}


def pinned(name: str) -> str:
    """Return the image of a server."""
    lines = (CHECKOUT / "deploy" / "images.env").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{IMAGES[name]}="))


def missing() -> str | None:
    """Return why the tests cannot run on containers here, or None."""
    if why := _unreachable():
        return why
    try:
        engine = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return "no container engine answers"
    try:
        absent = [pinned(name) for name in IMAGES if not _has(engine, pinned(name))]
    except (docker.errors.DockerException, OSError):
        return "the container engine does not answer"
    finally:
        engine.close()
    return f"the engine lacks {', '.join(absent)}: docker pull" if absent else None


def _unreachable() -> str | None:
    """Look at the engine's socket first.

    A Docker client that finds none leaves its socket open, and what the garbage collector said of that has ended a
    test run in the middle of an import.
    """
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        return None
    with socket.socket(socket.AF_UNIX) as knock:
        knock.settimeout(5)
        try:
            knock.connect(address.removeprefix("unix://"))
        except OSError:
            return "no container engine answers"
    return None


def _has(engine: docker.DockerClient, image: str) -> bool:
    try:
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        return False
    return True


@dataclass(frozen=True)
class Server:
    """A container, what clients need to reach it, and whether it answers its own protocol."""

    container: DockerContainer
    facts: dict[str, str]
    answers: Callable[[], Awaitable[bool]]


def kafka(_run_dir: Path) -> Server:
    port = free_port()  # clients are told this address by the broker, so it has to know it before it starts
    settings = {
        "NODE_ID": "1",
        "PROCESS_ROLES": "broker,controller",
        "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "LISTENERS": "PLAINTEXT://:9092,CONTROLLER://localhost:9093",
        "ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
        "AUTO_CREATE_TOPICS_ENABLE": "false",
        "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "OFFSETS_TOPIC_NUM_PARTITIONS": "10",
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "LOG_CLEANER_DEDUPE_BUFFER_SIZE": "16777216",
        "LOG_INDEX_SIZE_MAX_BYTES": "1048576",
        "HEAP_OPTS": "-Xms128m -Xmx512m",
    }
    container = DockerContainer(pinned("kafka")).with_bind_ports(9092, port)
    for name, value in settings.items():
        container.with_env(f"KAFKA_{name}", value)

    async def answers() -> bool:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=2_000)
        try:
            await client.bootstrap()
            return bool(client.cluster.brokers())
        except KafkaError:
            return False
        finally:
            await client.close()

    return Server(container, {"bootstrap": f"127.0.0.1:{port}"}, answers)


def postgres(_run_dir: Path) -> Server:
    port, password = free_port(), secrets.token_hex(16)
    container = (
        DockerContainer(pinned("postgres"))
        .with_bind_ports(5432, port)
        .with_env("POSTGRES_USER", "bitloot")
        .with_env("POSTGRES_PASSWORD", password)
        .with_env("POSTGRES_DB", "bitloot")
        .with_env("LANG", "C.UTF-8")  # what the database's encoding follows from
        # Nothing has to outlive the run.
        .with_command("postgres -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200")
    )
    dsn = f"postgresql://bitloot:{password}@127.0.0.1:{port}/bitloot"

    async def answers() -> bool:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False
        await connection.close()
        return True

    return Server(container, {"dsn": dsn}, answers)


def s3(run_dir: Path) -> Server:
    port, access, secret = free_port(), secrets.token_hex(8), secrets.token_hex(16)
    config = run_dir / "s3-identities.json"
    write_whole(config, json.dumps(identities(access, secret)))
    container = (
        DockerContainer(pinned("s3"))
        .with_bind_ports(8333, port)
        .with_volume_mapping(str(config), "/run/s3.json", "ro")
        .with_command(
            "mini -dir=/data -ip.bind=0.0.0.0 -s3.port=8333 -s3.config=/run/s3.json -s3.autoCreateBucket=false "
            "-bucket=bitloot-probe -admin.ui=false -webdav=false -master.telemetry=false -master.volumeSizeLimitMB=64"
        )
        .with_env("WEED_MASTER_VOLUME_GROWTH_COPY_1", "1")
    )
    endpoint = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        async with get_session().create_client(
            "s3",
            endpoint_url=endpoint,
            region_name="auto",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
        ) as client:
            try:
                await client.put_object(Bucket="bitloot-probe", Key="probe", Body=b"ready")
            except (ClientError, BotoCoreError):
                return False
            return True

    return Server(container, {"endpoint": endpoint, "access_key": access, "secret_key": secret}, answers)


async def keep(server: Server, facts_file: Path, owner_pid: int) -> None:
    """Start it, publish its facts, and hold it until the owner is gone or we are told to stop."""
    told = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, told.set)
    owner = psutil.Process(owner_pid)
    server.container.with_kwargs(labels={_OWNER: str(owner_pid)})
    try:
        await asyncio.to_thread(server.container.start)
        async with asyncio.timeout(_READY_SECONDS):
            while not await server.answers():
                await asyncio.sleep(_POLL_SECONDS)
        write_whole(facts_file, json.dumps({"keeper_pid": os.getpid(), **server.facts}))
        while lives(owner) and not told.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), 0.2)
    finally:
        facts_file.unlink(missing_ok=True)  # noqa: ASYNC240 - nobody else waits on this loop
        await asyncio.to_thread(server.container.stop)


def sweep() -> None:
    """Remove what runs that were killed have left."""
    engine = docker.from_env()
    for container in engine.containers.list(all=True, filters={"label": _OWNER}):
        if not psutil.pid_exists(int(container.labels[_OWNER])):
            container.remove(force=True, v=True)
    engine.close()


def main() -> None:
    name, run_dir, owner_pid = sys.argv[1:]
    sweep()
    server = {"kafka": kafka, "postgres": postgres, "s3": s3}[name](Path(run_dir))
    asyncio.run(keep(server, Path(run_dir) / f"{name}.json", int(owner_pid)))


if __name__ == "__main__":
    main()
