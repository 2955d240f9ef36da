"""A worker that was stopped for weeks goes on where it was, in every deployment that brings a broker of its own."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from bitloot.contracts.topics import FOREVER, TOPICS
from embedded.kafka import Kafka

ROOT = Path(__file__).parents[3]


def brokers(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """Give each broker of ours and for how many minutes it keeps the offsets of a group that nobody is in."""
    yield "embedded", Kafka(tmp_path)._settings().get("offsets.retention.minutes")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    yield "compose", compose["services"]["kafka"]["environment"].get("KAFKA_OFFSETS_RETENTION_MINUTES")
    for each in yaml.safe_load_all((ROOT / "deploy/k8s/components/strimzi/kafka.yaml").read_text()):
        if each["kind"] == "Kafka":
            yield "strimzi", each["spec"]["kafka"]["config"].get("offsets.retention.minutes")
    for each in yaml.safe_load_all((ROOT / "deploy/k8s/overlays/local/kafka.yaml").read_text()):
        if each["kind"] == "StatefulSet":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            told = {variable["name"]: variable.get("value") for variable in container["env"]}
            yield "local cluster", told.get("KAFKA_OFFSETS_RETENTION_MINUTES")


def test_offsets_stay_as_long_as_what_there_is_to_read(tmp_path: Path):
    """By default Kafka forgets them after a week; a group that has lost its place is refused, until a person decides.

    The sink has its own offsets, so the log of notifications does not count.
    """
    read_by_groups = [topic for topic in TOPICS if set(topic.consumers) != {"sink"} and topic.retention != FOREVER]
    longest = max(topic.retention for topic in read_by_groups)
    kept = {name: timedelta(minutes=int(minutes or 7 * 24 * 60)) for name, minutes in brokers(tmp_path)}
    assert kept.keys() == {"embedded", "compose", "strimzi", "local cluster"}
    assert {name: time for name, time in kept.items() if time < longest} == {}
