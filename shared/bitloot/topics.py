"""The command that creates and verifies all topics: `python -m bitloot.topics`.

Run it before any service starts; running it again changes nothing. A topic that exists with other partitions,
cleanup or retention than declared is an error and is left alone: a key would change its partition, and so its
order of events, and that needs a migration, not a command.

With `DATABASE_URL` it also refuses, with status 3, to make topics anew that this installation has worked with:
they were deleted, or the broker lost its disk, and whatever can be brought back should be brought back first.
`python -m bitloot.topics --begin-anew` is how a person who has looked says that the topics of now, empty or not,
are the right ones (docs/runbooks/broker-lost.md).
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from pydantic import Field

from bitloot.broker import options
from bitloot.cluster import RUNBOOK, look_at
from bitloot.contracts.topics import CHANGELOGS, DEFAULT_PARTITIONS, TOPICS, Topic
from bitloot.errors import Transient
from bitloot.ledger import open_pool
from bitloot.settings import DatabaseUrl, KafkaSettings
from bitloot.witness import PostgresWitness

_EXIT_FAILED = 1
EXIT_LOST = 3
_LEADER_SECONDS = 30.0
_POLL_SECONDS = 0.02


class Settings(KafkaSettings):
    """What the command reads from the environment."""

    topic_partitions: int = Field(DEFAULT_PARTITIONS, ge=1, description="how many partitions each topic gets")
    topic_replication: int = Field(1, ge=1, description="how many brokers hold each partition")
    database_url: DatabaseUrl | None = Field(
        None, description="the database's address: it knows which topics were worked with, and nothing is made anew"
    )


async def ensure(
    settings: KafkaSettings, topics: Iterable[Topic] = (*TOPICS, *CHANGELOGS), *, partitions: int, replication: int
) -> list[str]:
    """Create the topics that are missing and compare the others with their declaration.

    Returns a sentence for each difference; an empty list means that all is as declared. Raises KafkaError
    when the broker cannot be reached or refuses, TimeoutError when it takes too long.
    """
    declared = {topic.name: topic for topic in topics}
    admin = AIOKafkaAdminClient(**options(settings))
    try:
        await admin.start()
        await _create(admin, declared.values(), partitions, replication)
        return [
            *_partition_differences(await _described(admin, list(declared)), partitions),
            *_config_differences(await _configs(admin, declared), declared),
        ]
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, topics: Iterable[Topic], partitions: int, replication: int) -> None:
    existing = set(await admin.list_topics())
    missing = [
        NewTopic(topic.name, partitions, replication, topic_configs=topic.config)
        for topic in topics
        if topic.name not in existing
    ]
    if not missing:
        return
    answer = await admin.create_topics(missing)
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        # Somebody else's run of this command may have been faster.
        if code and error is not TopicAlreadyExistsError:
            raise error(f"{name}: {message[0] if message else code}")


async def _described(admin: AIOKafkaAdminClient, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the metadata of the topics once all their partitions have leaders: brokers learn of them a bit later.

    Raises TimeoutError when that takes too long.
    """
    async with asyncio.timeout(_LEADER_SECONDS):
        while True:
            topics: list[dict[str, Any]] = await admin.describe_topics(list(names))
            if not any(each["error_code"] for topic in topics for each in (topic, *topic["partitions"])):
                return topics
            await asyncio.sleep(_POLL_SECONDS)


def _partition_differences(described: Iterable[Mapping[str, Any]], partitions: int) -> list[str]:
    return [
        f"{topic['topic']} has {len(topic['partitions'])} partitions, {partitions} are declared"
        for topic in described
        if len(topic["partitions"]) != partitions
    ]


async def _configs(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for answer in await admin.describe_configs(resources)
        for _code, _message, _kind, name, entries in answer.resources
    }


def _config_differences(found: Mapping[str, Mapping[str, str]], declared: Mapping[str, Topic]) -> list[str]:
    return [
        f"{name} has {setting}={found.get(name, {}).get(setting)}, {value} is declared"
        for name, topic in declared.items()
        for setting, value in topic.config.items()
        if found.get(name, {}).get(setting) != value
    ]


async def losses(settings: KafkaSettings, names: Sequence[str], witness: PostgresWitness) -> list[str]:
    """Return a sentence for each topic that this installation has worked with and that is gone or another one.

    Raises KafkaError, and `Transient` when the database is away.
    """
    if not await witness.migrated():
        return []
    cluster = await look_at(settings, names)
    gone = (await witness.known(names)).intersection(cluster.missing(names))
    return [
        *await witness.differences(cluster, names),
        *(f"topic {name} is gone, though it was worked with" for name in sorted(gone)),
    ]


async def run(settings: Settings, *, begin_anew: bool = False) -> int:
    """Create and compare; returns the exit status. Raises KafkaError, TimeoutError and `Transient`."""
    names = [topic.name for topic in (*TOPICS, *CHANGELOGS)]
    if settings.database_url is None:
        if begin_anew:
            return _complain(["--begin-anew needs DATABASE_URL."])
        return await _ensure(settings)
    async with open_pool(settings.database_url.get_secret_value(), max_size=1) as pool:
        witness = PostgresWitness(pool)
        if not begin_anew and (lost := await losses(settings, names, witness)):
            return _complain([*lost, f"Nothing was created. Look first, then see {RUNBOOK}."], EXIT_LOST)
        status = await _ensure(settings)
        if begin_anew and not status:
            for name in await witness.begin_anew(await look_at(settings, names)):
                sys.stdout.write(f"{name} is begun anew.\n")
        return status


async def _ensure(settings: Settings) -> int:
    complaints = await ensure(
        settings,
        partitions=settings.topic_partitions,
        replication=settings.topic_replication,
    )
    if complaints:
        return _complain(complaints)
    sys.stdout.write(f"{len(TOPICS) + len(CHANGELOGS)} topics are there with {settings.topic_partitions} partitions.\n")
    return 0


def _complain(complaints: Iterable[str], status: int = _EXIT_FAILED) -> int:
    for complaint in complaints:
        sys.stderr.write(f"{complaint}\n")
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bitloot.topics", description="Create and verify all topics.")
    parser.add_argument(
        "--begin-anew", action="store_true", help=f"take the topics of now for the right ones; read {RUNBOOK} first"
    )
    options = parser.parse_args(arguments)
    settings = Settings.load()
    try:
        return asyncio.run(run(settings, begin_anew=options.begin_anew))
    except (KafkaError, TimeoutError, Transient) as error:
        address = settings.kafka_bootstrap_servers
        return _complain([f"The topics could not be created at {address}: {error!r}"])


if __name__ == "__main__":
    sys.exit(main())
