"""The three servers by themselves: what they acknowledged is there after a crash, and they leave nothing behind."""

import json
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from embedded.infrastructure import infrastructure
from embedded.kafka import Kafka
from embedded.postgres import Postgres
from embedded.s3 import S3
from tests.fakes.eventually import eventually

pytestmark = pytest.mark.stack


@pytest.fixture
async def own_kafka(tmp_path):
    server = Kafka(tmp_path)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def own_postgres(tmp_path):
    server = Postgres(tmp_path)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def own_s3(tmp_path):
    server = S3(tmp_path)
    await server.start()
    yield server
    await server.stop()


async def test_kafka_keeps_what_it_acknowledged(own_kafka):
    admin = AIOKafkaAdminClient(bootstrap_servers=own_kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("orders", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=own_kafka.bootstrap, acks="all") as producer:
        await producer.send_and_wait("orders", b"paid")
    await own_kafka.kill()
    await own_kafka.start()
    async with AIOKafkaConsumer(
        "orders", bootstrap_servers=own_kafka.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        assert (await consumer.getone()).value == b"paid"


async def test_postgres_keeps_what_it_committed_and_ends_whole(own_postgres):
    connection = await asyncpg.connect(own_postgres.dsn)
    await connection.execute("CREATE TABLE orders AS SELECT 'paid' AS status")
    backends = psutil.Process(own_postgres.pid).children()
    await own_postgres.kill()
    assert backends
    assert not any(backend.is_running() for backend in backends)
    await connection.close()
    await own_postgres.start()
    connection = await asyncpg.connect(own_postgres.dsn)
    assert await connection.fetchval("SELECT status FROM orders") == "paid"
    await connection.close()


async def test_postgres_comes_back_by_itself_when_only_its_head_was_cut_off(own_postgres):
    """An outside `kill -9` hits the one process; its backends notice and leave."""
    psutil.Process(own_postgres.pid).kill()
    await own_postgres.wait()
    await own_postgres.start()
    connection = await asyncpg.connect(own_postgres.dsn)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_postgres_wants_its_password(own_postgres):
    wrong = own_postgres.dsn.replace(own_postgres.dsn.split(":")[2].split("@")[0], "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused by PostgreSQL")
async def test_postgres_runs_for_root_below_a_directory_that_only_root_may_enter(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "run", durable=False)
    await server.start()
    try:
        assert psutil.Process(server.pid).username() in {"postgres", "nobody"}
        assert closed.stat().st_mode & 0o077 == 0
        assert server.data_dir.stat().st_uid == pwd.getpwnam(psutil.Process(server.pid).username()).pw_uid
    finally:
        await server.stop()


def sockets_of(server):
    return [path for port in server.ports for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock")]  # noqa: S108


async def test_s3_lets_pages_of_the_order_page_alone_read_signed_links(own_s3):
    await own_s3.create_bucket("keys")
    await own_s3.let_read("keys", ["http://page.test"])
    async with own_s3.client() as client, httpx.AsyncClient() as browser:
        await client.put_object(Bucket="keys", Key="keys/x.json", Body=b"{}")
        url = await client.generate_presigned_url("get_object", Params={"Bucket": "keys", "Key": "keys/x.json"})
        ours, others = [await browser.get(url, headers={"Origin": f"http://{name}.test"}) for name in ("page", "other")]

    assert ours.headers["Access-Control-Allow-Origin"] == "http://page.test"
    assert "Access-Control-Allow-Origin" not in others.headers


async def test_s3_keeps_what_it_stored(own_s3):
    await own_s3.create_bucket("keys")
    await own_s3.create_bucket("keys")
    async with own_s3.client() as client:
        await client.put_object(Bucket="keys", Key="one.json", Body=b"codes")
    await own_s3.kill()
    assert not sockets_of(own_s3)
    await own_s3.start()
    async with own_s3.client() as client:
        answer = await client.get_object(Bucket="keys", Key="one.json")
        assert await answer["Body"].read() == b"codes"


def keep(tmp_path, owner):
    """Start a keeper of a PostgreSQL for `owner`; return it and the server once that is ready."""
    keeper = subprocess.Popen([sys.executable, "-m", "embedded.keeper", "postgres", str(tmp_path), str(owner.pid)])
    facts = eventually((tmp_path / "postgres.json").exists) and json.loads((tmp_path / "postgres.json").read_text())
    assert facts["keeper_pid"] == keeper.pid
    (server,) = psutil.Process(keeper.pid).children()
    return keeper, server


@pytest.mark.parametrize("end", ["owner killed", "keeper told", "keeper killed"])
def test_a_kept_server_ends_with_its_owner_or_its_keeper(tmp_path, end):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as owner:
        keeper, server = keep(tmp_path, owner)
        match end:
            case "owner killed":
                owner.kill()
            case "keeper told":
                keeper.terminate()
            case "keeper killed":
                keeper.kill()
        assert keeper.wait(timeout=20) == (-signal.SIGKILL if end == "keeper killed" else 0)
        eventually(lambda: not server.is_running())
        owner.kill()


async def test_together_they_listen_on_the_loopback_address_only_and_leave_no_process(tmp_path):
    async with infrastructure(tmp_path, durable=False) as infra:
        processes = [psutil.Process(server.pid) for server in infra.servers]
        addresses = {
            connection.laddr.ip
            for process in processes
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert not any(process.is_running() for process in processes)
