"""The command that creates topics, against a real broker."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from bitloot import topics
from bitloot.contracts.topics import CHANGELOGS, ORDER_STATE, TOPICS
from embedded.child import Child
from tests.integration.plumbing.broker import Broker


async def test_all_topics_are_created_as_declared_and_a_second_run_changes_nothing(broker: Broker):
    declared = [replace(topic, name=broker.prefix + topic.name) for topic in TOPICS]
    for _ in range(2):
        assert await topics.ensure(broker.bootstrap, declared, partitions=3, replication=1) == []


async def test_runs_side_by_side_do_not_disturb_each_other(broker: Broker):
    declared = [replace(topic, name=broker.prefix + topic.name) for topic in TOPICS]
    runs = [topics.ensure(broker.bootstrap, declared, partitions=1, replication=1) for _ in range(3)]
    assert await asyncio.gather(*runs) == [[], [], []]


async def test_differences_are_told_and_left_alone(broker: Broker):
    topic = await broker.topic(ORDER_STATE, partitions=2)
    other = replace(topic, cleanup="delete")
    complaints = await topics.ensure(broker.bootstrap, [other], partitions=3, replication=1)
    assert complaints == [
        f"{topic.name} has 2 partitions, 3 are declared",
        f"{topic.name} has cleanup.policy=compact, delete is declared",
    ]
    assert await topics.ensure(broker.bootstrap, [topic], partitions=2, replication=1) == []


async def test_the_command_tells_by_its_status(broker: Broker, tmp_path):
    """It names the real topics; no other test makes them on the shared broker with another number of partitions."""
    count = len(TOPICS) + len(CHANGELOGS)
    assert await run_command(broker, tmp_path, partitions=12) == (0, f"{count} topics are there with 12 partitions.\n")
    status, output = await run_command(broker, tmp_path, partitions=13)
    assert status == 1
    assert "orders.events.v1 has 12 partitions, 13 are declared\n" in output


async def run_command(broker: Broker, tmp_path: Path, *, partitions: int) -> tuple[int, str]:
    environment = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap, "TOPIC_PARTITIONS": str(partitions)}
    command = Child(
        "topics",
        [sys.executable, "-m", "bitloot.topics"],
        log_file=tmp_path / f"{partitions}.log",
        env={**os.environ, **environment, "TOPIC_REPLICATION": "1"},
    )
    return await command.wait(), command.output()
