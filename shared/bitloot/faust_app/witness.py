"""What a worker's disk remembers of Kafka: which logs its tables were made of, and which partitions it has begun."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from aiokafka import TopicPartition

from bitloot.cluster import Cluster, LogLost, complaints

_FILE = "kafka.json"


class DiskWitness:
    """A `bitloot.witness.Witness` beside the tables, so that orders do not wait for Postgres.

    It knows of what this worker has handled; a worker that begins with an empty disk knows nothing, as its tables
    do, and believes the broker. To let a worker begin anew, remove the whole directory.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE

    async def confirm(self, cluster: Cluster) -> None:
        """Remember topics that are new to us. Raises `LogLost` when one is not the one that we know."""
        known = self._read() or cluster
        if found := complaints(known, cluster):
            raise LogLost(*found)
        self._write(Cluster(cluster.cluster_id, {**known.topic_ids, **cluster.topic_ids}), self._begun())

    async def begun(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """Return which of these partitions the group has begun to read."""
        begun = self._begun()
        return {each for each in partitions if begun.get(_name(group, each)) == cluster.topic_ids[each.topic]}

    async def begin(self, group: str, cluster: Cluster, partitions: Iterable[TopicPartition]) -> None:
        """Note that the group has begun these; its offsets must be committed before."""
        begun = {_name(group, each): cluster.topic_ids[each.topic] for each in partitions}
        if begun:
            self._write(self._read() or cluster, self._begun() | begun)

    def _read(self) -> Cluster | None:
        if not self._path.exists():
            return None
        content = json.loads(self._path.read_text())
        return Cluster(content["cluster_id"], content["topic_ids"])

    def _begun(self) -> dict[str, str]:
        return dict(json.loads(self._path.read_text())["begun"]) if self._path.exists() else {}

    def _write(self, known: Cluster, begun: dict[str, str]) -> None:
        """Replace the file in one step: half of one would stop the worker for good."""
        content = {"cluster_id": known.cluster_id, "topic_ids": dict(known.topic_ids), "begun": begun}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with new.open("w") as file:
            json.dump(content, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)


def _name(group: str, partition: TopicPartition) -> str:
    return f"{group} {partition.topic}/{partition.partition}"
