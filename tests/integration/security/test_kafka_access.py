"""Every client of ours against a broker that demands TLS and a password, and refuses what nobody granted."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from bitloot import contracts, topics
from bitloot.broker import options
from bitloot.cluster import look_at
from bitloot.contracts import codec
from bitloot.contracts.access import GROUPS, grants, users
from bitloot.contracts.topics import CHANGELOGS, ORDER_EVENTS, TOPICS
from bitloot.kafka import Producer
from bitloot.settings import KafkaSettings
from embedded.child import Child
from embedded.ports import free_ports
from tests.integration.security.secured import ADMIN, SecuredKafka

pytestmark = pytest.mark.stack

EXAMPLES = Path(contracts.__file__).parent / "examples"
PARTITIONS = 2
EVERY = [topic.name for topic in (*TOPICS, *CHANGELOGS)]


@pytest.fixture
async def kafka(tmp_path: Path) -> AsyncIterator[SecuredKafka]:
    server = SecuredKafka(tmp_path)
    await server.start()
    try:
        await server.grant()
        command = topics.Settings.model_validate(
            server.settings_of("topics").model_dump() | {"topic_partitions": PARTITIONS}
        )
        assert await topics.run(command) == 0
        yield server
    finally:
        await server.stop()


def allowed(user: str, operation: str) -> set[str]:
    return {each.name for each in grants(user) if each.kind == "topic" and operation in each.operations}


async def writable(kafka: SecuredKafka, user: str) -> set[str]:
    """Try to write to each topic; an answer of the broker is all that counts."""
    found: set[str] = set()
    async with AIOKafkaProducer(**options(kafka.settings_of(user)), enable_idempotence=False) as producer:
        for name in EVERY:
            try:
                await producer.send_and_wait(name, b"{}", key=b"key", partition=0)
            except TopicAuthorizationFailedError:
                continue
            found.add(name)
    return found


async def readable(kafka: SecuredKafka, user: str) -> set[str]:
    """Try to read a record of each topic; there is one on each. A consumer may tell of a refusal twice."""
    found: set[str] = set()
    for name in EVERY:
        consumer = AIOKafkaConsumer(
            **options(kafka.settings_of(user)), enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            await consumer._client._wait_on_metadata(name)
            consumer.assign([TopicPartition(name, 0)])
            await consumer.getone()
        except TopicAuthorizationFailedError:
            continue
        finally:
            await consumer.stop()
        found.add(name)
    return found


async def joinable(kafka: SecuredKafka, user: str) -> set[str]:
    found: set[str] = set()
    others = {"sink": "delivery"}.get(user, "sink")
    for group in {GROUPS.get(user, "somebody-elses"), others}:
        consumer = AIOKafkaConsumer(**options(kafka.settings_of(user)), group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            await consumer.committed(TopicPartition(min(allowed(user, "Read"), default=ORDER_EVENTS.name), 0))
        except GroupAuthorizationFailedError:
            continue
        finally:
            await consumer.stop()
        found.add(group)
    return found


@pytest.mark.timeout(240)
async def test_each_user_may_do_what_its_contract_says_and_nothing_else(kafka: SecuredKafka):
    assert await writable(kafka, ADMIN) == set(EVERY)
    for user in users():
        assert (user, await writable(kafka, user)) == (user, allowed(user, "Write"))
        assert (user, await joinable(kafka, user)) == (user, {g.name for g in grants(user) if g.kind == "group"})
        assert (user, await readable(kafka, user)) == (user, allowed(user, "Read"))
    for stranger in (
        {"KAFKA_PASSWORD": "another"},
        {"KAFKA_USERNAME": "nobody"},
    ):
        with pytest.raises(KafkaError):
            await look_at(kafka.settings_of("ingress", **stranger), [ORDER_EVENTS.name])
    plain = KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap)
    with pytest.raises(KafkaError):
        await look_at(plain, [ORDER_EVENTS.name])
    with pytest.raises(KafkaError):  # an authority that the system does not know
        await look_at(kafka.settings_of("ingress").model_copy(update={"kafka_ca_file": None}), [ORDER_EVENTS.name])


@pytest.mark.timeout(240)
async def test_the_processes_work_as_users_of_their_own(kafka: SecuredKafka, database: str, tmp_path: Path):
    """An order event of the ingress goes through the orders agent's tables and the sink into Postgres."""
    ports = dict(zip(("fulfillment", "sink"), free_ports(2), strict=True))
    modules = {"fulfillment": "fulfillment", "sink": "admin_api.sink"}
    running = [
        Child(
            name,
            [sys.executable, "-m", modules[name]],
            log_file=tmp_path / f"{name}.log",
            env={
                **os.environ,
                **kafka.environment_of(name),
                "DATABASE_URL": database,
                "FAUST_DATADIR": str(tmp_path / "tables"),
                "HTTP_PORT": str(port),
            },
        )
        for name, port in ports.items()
    ]
    (tmp_path / "tables").mkdir()
    connection = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(90), httpx.AsyncClient() as client:
            for name, port in ports.items():
                await until_ready(client, f"http://127.0.0.1:{port}/readyz", next(c for c in running if c.name == name))
            event = codec.decode(ORDER_EVENTS, (EXAMPLES / ORDER_EVENTS.name / "order.placed.json").read_bytes())
            async with Producer(kafka.settings_of("ingress"), client_id="test") as producer:
                await producer.send(ORDER_EVENTS, event.order_id, event)
            while await connection.fetchval("select status from orders where id = $1", event.order_id) is None:
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
        for child in running:
            assert await child.stop(30) == 0, child.output()


async def until_ready(client: httpx.AsyncClient, url: str, child: Child) -> None:
    while child.exit_code is None:
        try:
            if (await client.get(url)).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    pytest.fail(child.output())
