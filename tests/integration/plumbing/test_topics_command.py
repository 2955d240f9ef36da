"""The command that creates topics, against a real broker."""

import asyncio
import os
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import asyncpg

from bitloot import topics
from bitloot.contracts.topics import CHANGELOGS, ORDER_EVENTS, ORDER_STATE, TOPICS
from embedded.child import Child
from tests.integration.plumbing.broker import Broker


async def test_all_topics_are_created_as_declared_and_a_second_run_changes_nothing(broker: Broker):
    declared = [replace(topic, name=broker.prefix + topic.name) for topic in TOPICS]
    for _ in range(2):
        assert await topics.ensure(broker.settings, declared, partitions=3, replication=1) == []


async def test_runs_side_by_side_do_not_disturb_each_other(broker: Broker):
    declared = [replace(topic, name=broker.prefix + topic.name) for topic in TOPICS]
    runs = [topics.ensure(broker.settings, declared, partitions=1, replication=1) for _ in range(3)]
    assert await asyncio.gather(*runs) == [[], [], []]


async def test_differences_are_told_and_left_alone(broker: Broker):
    topic = await broker.topic(ORDER_STATE, partitions=2)
    other = replace(topic, cleanup="delete")
    complaints = await topics.ensure(broker.settings, [other], partitions=3, replication=1)
    assert complaints == [
        f"{topic.name} has 2 partitions, 3 are declared",
        f"{topic.name} has cleanup.policy=compact, delete is declared",
    ]
    assert await topics.ensure(broker.settings, [topic], partitions=2, replication=1) == []


async def test_the_command_tells_by_its_status(broker: Broker, tmp_path):
    """It names the real topics; no other test makes them on the shared broker with another number of partitions."""
    count = len(TOPICS) + len(CHANGELOGS)
    assert await run_command(broker, tmp_path, partitions=12) == (0, f"{count} topics are there with 12 partitions.\n")
    status, output = await run_command(broker, tmp_path, partitions=13)
    assert status == 1
    assert "orders.events.v1 has 12 partitions, 13 are declared\n" in output


async def test_what_was_lost_is_made_anew_only_when_a_person_says_so(broker: Broker, tmp_path: Path, database: str):
    name = ORDER_EVENTS.name
    await run_command(broker, tmp_path, partitions=12)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("insert into kafka_topics values ($1, 'another id', 'another cluster')", name)
        await connection.execute("insert into sink_offsets values ($1, 0, 500)", name)
        status, output = await run_command(broker, tmp_path, partitions=12, database=database)
        assert status == topics.EXIT_LOST
        assert "not another cluster" in output
        assert "docs/runbooks/broker-lost.md" in output
        assert await connection.fetchval("select next_offset from sink_offsets") == 500

        status, output = await run_command(broker, tmp_path, "--begin-anew", partitions=12, database=database)
        assert (status, f"{name} is begun anew.\n" in output) == (0, True)
        assert await connection.fetchval("select count(*) from sink_offsets") == 0
        assert (await run_command(broker, tmp_path, partitions=12, database=database))[0] == 0
    finally:
        await connection.close()


async def run_command(
    broker: Broker, tmp_path: Path, *arguments: str, partitions: int, database: str | None = None
) -> tuple[int, str]:
    environment = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap, "TOPIC_PARTITIONS": str(partitions)}
    command = Child(
        "topics",
        [sys.executable, "-m", "bitloot.topics", *arguments],
        log_file=tmp_path / f"{uuid.uuid4().hex}.log",
        env={**os.environ, **environment, "TOPIC_REPLICATION": "1", "DATABASE_URL": database or ""},
    )
    return await command.wait(), command.output()
