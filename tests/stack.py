"""Real Kafka, PostgreSQL and S3 for tests: started when first asked for, shared by all workers, isolated by names.

They run in containers (testcontainers) when an engine answers and has the images of deploy/images.env, else as processes
of the embedded stack; `TEST_STACK=containers` or `TEST_STACK=embedded` says which. Tests that stop, kill or restart a
server bring an embedded one of their own.

Each server is held by a keeper process that belongs to the test run as a whole (the xdist controller, or pytest
itself), so it does not matter which worker asks first or ends first, and nothing outlives the run: the run stops its
keepers when it ends, and a keeper whose run was killed stops by itself.

A test that asks for one of these fixtures is marked `stack`; `pytest -m "not stack"` leaves them out.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from aiobotocore.session import get_session

from embedded.paths import CHECKOUT

_RUN_DIR = "BITLOOT_TEST_STACK_DIR"
_RUN_PID = "BITLOOT_TEST_STACK_PID"
_KEEPER = "BITLOOT_TEST_STACK_KEEPER"
_KEEPERS = {"embedded": "embedded.keeper", "containers": "tests.containers"}
_FIXTURES = frozenset({"kafka", "postgres", "s3"})
_START_SECONDS = 100.0  # below the time limit of one test; the jars of Kafka may have to be fetched first
_STOP_SECONDS = 20.0
_TEMPLATE = "bitloot_template"

# Held so that a worker does not warn about a child that it does not wait for.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class KafkaFacts:
    bootstrap: str


@dataclass(frozen=True)
class PostgresFacts:
    dsn: str
    """Address of the server's own database: tests use `database` instead."""

    def dsn_of(self, database: str) -> str:
        return f"{self.dsn.rsplit('/', 1)[0]}/{database}"


@dataclass(frozen=True)
class S3Facts:
    endpoint: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Bucket:
    """A fresh bucket and what a client needs to use it."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    region: str = "auto"


# --- the run -------------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # a worker of xdist: it inherits the environment of the controller
    chosen, _ = _choice()
    os.environ[_KEEPER] = _KEEPERS[chosen]
    os.environ[_RUN_DIR] = tempfile.mkdtemp(prefix="bitloot-tests-")
    os.environ[_RUN_PID] = str(os.getpid())


def pytest_report_header() -> str:
    chosen, reason = _choice()
    return f"test stack: {chosen} ({reason})"


@cache
def _choice() -> tuple[str, str]:
    """Return what the shared servers run on, and why. A choice that cannot be had ends the run."""
    wanted = os.environ.get("TEST_STACK", "")
    if wanted not in {"", *_KEEPERS}:
        raise pytest.UsageError(f"TEST_STACK is one of {', '.join(_KEEPERS)}")
    if wanted == "embedded":
        return wanted, "TEST_STACK"
    from tests.containers import missing  # noqa: PLC0415 - slow to import, and needed by no worker

    reason = missing()
    if reason is None:
        return "containers", "TEST_STACK" if wanted else "an engine has the images"
    if wanted == "containers":
        raise pytest.UsageError(f"TEST_STACK=containers: {reason}")
    return "embedded", reason


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    run_dir = Path(os.environ.pop(_RUN_DIR))
    keepers = [psutil.Process(int(path.read_text())) for path in run_dir.glob("*.keeper") if _lives(path)]
    for keeper in keepers:
        with contextlib.suppress(psutil.NoSuchProcess):
            keeper.terminate()
    _, stuck = psutil.wait_procs(keepers, timeout=_STOP_SECONDS)
    for keeper in stuck:
        keeper.kill()
    shutil.rmtree(run_dir, ignore_errors=True)  # the servers of a keeper that had to be killed may still write


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("stack")


def _lives(path: Path) -> bool:
    return psutil.pid_exists(int(path.read_text()))


def _facts(name: str) -> dict[str, Any]:
    """Return the facts of a server, starting its keeper when nobody has yet."""
    run_dir = Path(os.environ[_RUN_DIR])
    facts_file = run_dir / f"{name}.json"
    with (run_dir / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not facts_file.exists():
            _start_keeper(name, run_dir, facts_file)
    return json.loads(facts_file.read_text())


def _start_keeper(name: str, run_dir: Path, facts_file: Path) -> None:
    log_file = run_dir / f"{name}.keeper.log"
    with log_file.open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", os.environ[_KEEPER], name, str(run_dir), os.environ[_RUN_PID]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            start_new_session=True,  # Ctrl-C is for pytest, which then stops us in order
        )
    _started.append(keeper)
    (run_dir / f"{name}.keeper").write_text(str(keeper.pid))
    deadline = time.monotonic() + _START_SECONDS
    while not facts_file.exists():
        if keeper.poll() is not None:
            pytest.fail(f"{name} could not be started:\n{log_file.read_text()}", pytrace=False)
        if time.monotonic() > deadline:
            pytest.fail(f"{name} was not ready after {_START_SECONDS:.0f} s:\n{log_file.read_text()}", pytrace=False)
        time.sleep(0.02)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine from a synchronous fixture, away from the loop of the tests."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()


# --- Kafka ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kafka() -> KafkaFacts:
    facts = _facts("kafka")
    return KafkaFacts(bootstrap=facts["bootstrap"])


@pytest.fixture
def kafka_bootstrap(kafka: KafkaFacts) -> str:
    """`host:port` of the shared broker: make the names of topics and groups unique with `topic_prefix`."""
    return kafka.bootstrap


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test has, for the names of topics, groups and apps."""
    return f"t{uuid.uuid4().hex[:12]}."


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> PostgresFacts:
    """The server, with a template that has all migrations applied, made once for all workers."""
    facts = _facts("postgres")
    server = PostgresFacts(dsn=facts["dsn"])
    run_dir = Path(os.environ[_RUN_DIR])
    with (run_dir / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (run_dir / "template.done").exists():
            _run(_make_template(server))
            (run_dir / "template.done").touch()
    return server


async def _make_template(server: PostgresFacts) -> None:
    connection = await asyncpg.connect(server.dsn)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{_TEMPLATE}"')  # of a migration that failed
        await connection.execute(f'CREATE DATABASE "{_TEMPLATE}"')
    finally:
        await connection.close()
    if importlib.util.find_spec("admin_api.migrations") is not None:
        from admin_api.migrations import migrate  # noqa: PLC0415 - tests of other services need no admin API

        await migrate(server.dsn_of(_TEMPLATE))


@pytest.fixture
async def database(postgres: PostgresFacts) -> AsyncIterator[str]:
    """Address of a migrated database that belongs to this test alone."""
    name = f"test_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(postgres.dsn)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE}"')
        yield postgres.dsn_of(name)
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


# --- S3 ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def s3() -> S3Facts:
    facts = _facts("s3")
    return S3Facts(
        endpoint=facts["endpoint"],
        access_key=facts["access_key"],
        secret_key=facts["secret_key"],
    )


@pytest.fixture
async def bucket(s3: S3Facts) -> Bucket:
    """An empty bucket that belongs to this test alone."""
    bucket = Bucket(f"test-{uuid.uuid4().hex[:20]}", s3.endpoint, s3.access_key, s3.secret_key)
    async with get_session().create_client(
        "s3",
        endpoint_url=bucket.endpoint,
        region_name=bucket.region,
        aws_access_key_id=bucket.access_key,
        aws_secret_access_key=bucket.secret_key,
    ) as client:
        await client.create_bucket(Bucket=bucket.name)
    return bucket
