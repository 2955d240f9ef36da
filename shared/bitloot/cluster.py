"""Which cluster and which topics these are: so that a log that was lost is never taken for a new one.

A broker that comes back with an empty disk, or a topic that was deleted and made anew, has the same name and
starts at offset 0. Whoever went on there as if nothing had happened would skip or repeat events without a word.
Kafka gives every cluster and every topic an id of its own; a `Cluster` holds them (docs/adr/0009).
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError

from bitloot import log
from bitloot.backoff import delay
from bitloot.broker import options
from bitloot.metadata_request import MetadataRequest, MetadataResponse
from bitloot.settings import KafkaSettings

_REQUEST_TIMEOUT_MS = 5_000
_CLOSE_SECONDS = 5.0
_FIRST_WAIT = timedelta(seconds=0.5)
_LONGEST_WAIT = timedelta(seconds=5)
RUNBOOK = "docs/runbooks/broker-lost.md"

_log = log.get(__name__)


class LogLost(Exception):  # noqa: N818 - it names what happened
    """The records that were worked on are gone: going on would skip some or begin at zero. A person has to look."""

    def __init__(self, *complaints: str) -> None:
        super().__init__(
            f"{'; '.join(complaints)}. Nothing is read or committed here until a person decides: {RUNBOOK}"
        )


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, and those of the topics asked for that it has."""

    cluster_id: str
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    partitions: Mapping[str, int] = field(default_factory=dict)
    """How many each topic has."""

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return which of these topics it does not have, sorted."""
        return sorted(set(names) - self.topic_ids.keys())


class WaitingRoom(Protocol):
    """Told why we wait; `bitloot.health.Gate` is one."""

    def close(self, reason: str) -> None:
        """Wait for this reason."""


def layout_complaint(cluster: Cluster, wanted: Iterable[str]) -> str | None:
    """Return why these topics are not laid out as declared, as far as every process may see it, or None.

    A key must be in the same partition of every topic, so all have the same number. What only an admin of Kafka may
    see, such as clean-up and retention, is compared by `python -m bitloot.topics`.
    """
    names = frozenset(wanted)
    if missing := cluster.missing(names):
        return f"Kafka does not have the topics {', '.join(missing)}: run `python -m bitloot.topics`"
    counts = {name: cluster.partitions[name] for name in sorted(names)}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        return f"topics differ in their partitions ({told}): run `python -m bitloot.topics` and see what it says"
    return None


def complaints(before: Cluster, now: Cluster) -> list[str]:
    """Return a sentence for everything that shows that `now` does not hold what `before` held.

    Topics that are missing are none of it: a broker that starts may not know of them yet.
    """
    if before.cluster_id != now.cluster_id:
        return [f"this is Kafka cluster {now.cluster_id}, not {before.cluster_id}"]
    return [
        f"topic {name} was deleted and made anew: its id is {topic_id}, not {known}"
        for name, topic_id in sorted(now.topic_ids.items())
        if (known := before.topic_ids.get(name, topic_id)) != topic_id
    ]


async def look(client: AIOKafkaClient, names: Iterable[str]) -> Cluster:
    """Ask a connected client's cluster for these topics. Raises KafkaError; needs Kafka 3.1 or later."""
    node = client.get_random_node()
    if node is None:
        raise NodeNotReadyError("no broker is known")
    return read(await client.send(node, asked(names)))


def asked(names: Iterable[str]) -> MetadataRequest:
    """Return the request that `read` reads the answer to."""
    return MetadataRequest(sorted(names))


def read(answer: MetadataResponse) -> Cluster:
    """Return what the answer tells."""
    topics = [topic for topic in answer.topics if not topic[0]]  # without an error
    return Cluster(
        cluster_id=answer.cluster_id,
        topic_ids={name: topic_id for _, name, topic_id, *_ in topics},
        partitions={name: len(partitions) for _, name, _, _, partitions, *_ in topics},
    )


async def look_at(settings: KafkaSettings, names: Iterable[str]) -> Cluster:
    """Connect and ask once. Raises KafkaError."""
    client = AIOKafkaClient(**options(settings), client_id="look", request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await client.bootstrap()
        return await look(client, names)
    finally:
        await finish(client.close())


async def await_cluster(settings: KafkaSettings, names: Iterable[str], waiting: WaitingRoom | None = None) -> Cluster:
    """Wait, for as long as it takes, for a broker that has all these topics, with as many partitions each.

    Returns what it told. `waiting` hears the reason each time. Meanwhile a process is not ready, but alive: a
    restart cures nothing.
    """
    wanted, failures = frozenset(names), 0
    while True:
        try:
            cluster = await look_at(settings, wanted)
            wrong = layout_complaint(cluster, wanted)
            if wrong is None:
                return cluster
            reason = wrong
        except KafkaError as error:
            reason = f"Kafka does not answer ({type(error).__name__})"
        failures += 1
        wait = delay(failures, _FIRST_WAIT, seed=settings.service_instance, cap=_LONGEST_WAIT).total_seconds()
        if waiting is not None:
            waiting.close(f"waiting: {reason}")
        _log.warning("kafka.awaited", reason=reason, seconds=round(wait, 2))
        await asyncio.sleep(wait)


async def finish(closing: Coroutine[Any, Any, None], seconds: float = _CLOSE_SECONDS) -> None:
    """Let a client of aiokafka close, for at most so long; however that ends, it is the client's end only.

    Without a broker aiokafka cancels tasks of its own and lets their CancelledError out, or swallows ours, so
    the closing is a task of its own. Only the cancelation of the caller is raised.
    """
    task = asyncio.create_task(closing)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_ended)
    if task.done():
        _ended(task)


def _ended(task: asyncio.Task[None]) -> None:
    """Take note of an error, so that asyncio does not complain about one that nobody looked at."""
    with contextlib.suppress(asyncio.CancelledError):
        if (error := task.exception()) is not None:
            _log.warning("kafka.closed_badly", error=repr(error))
