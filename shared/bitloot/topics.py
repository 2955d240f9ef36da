"""The command that creates and verifies all topics: `python -m bitloot.topics`.

Run it before any service starts; running it again changes nothing. A topic that exists with other partitions,
cleanup or retention than declared is an error and is left alone: a key would change its partition, and so its
order of events, and that needs a migration, not a command.
"""

import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from pydantic import Field

from bitloot.contracts.topics import CHANGELOGS, DEFAULT_PARTITIONS, TOPICS, Topic
from bitloot.settings import KafkaSettings

_EXIT_FAILED = 1
_LEADER_SECONDS = 30.0
_POLL_SECONDS = 0.02


class Settings(KafkaSettings):
    """What the command reads from the environment."""

    topic_partitions: int = Field(DEFAULT_PARTITIONS, ge=1, description="how many partitions each topic gets")
    topic_replication: int = Field(1, ge=1, description="how many brokers hold each partition")


async def ensure(
    bootstrap_servers: str, topics: Iterable[Topic] = (*TOPICS, *CHANGELOGS), *, partitions: int, replication: int
) -> list[str]:
    """Create the topics that are missing and compare the others with their declaration.

    Returns a sentence for each difference; an empty list means that all is as declared. Raises KafkaError
    when the broker cannot be reached or refuses, TimeoutError when it takes too long.
    """
    declared = {topic.name: topic for topic in topics}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
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


def main() -> int:
    """Run the command; returns its exit status."""
    settings = Settings.load()
    try:
        complaints = asyncio.run(
            ensure(
                settings.kafka_bootstrap_servers,
                partitions=settings.topic_partitions,
                replication=settings.topic_replication,
            )
        )
    except (KafkaError, TimeoutError) as error:
        sys.stderr.write(f"The topics could not be created at {settings.kafka_bootstrap_servers}: {error!r}\n")
        return _EXIT_FAILED
    for complaint in complaints:
        sys.stderr.write(f"{complaint}\n")
    if not complaints:
        sys.stdout.write(
            f"{len(TOPICS) + len(CHANGELOGS)} topics are there with {settings.topic_partitions} partitions.\n"
        )
    return _EXIT_FAILED if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
