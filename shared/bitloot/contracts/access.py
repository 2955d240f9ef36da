"""What each process may do at the brokers, and nothing else: derived from who writes and reads which topic.

The manifests of Kafka's users and a test broker that refuses everything else are made from this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from bitloot.contracts.topics import CHANGELOGS, DEAD_LETTERS, TOPICS, WEBHOOKS_LOG, Service, Topic

Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]

TOPICS_COMMAND = "topics"
"""The user of `python -m bitloot.topics`, which makes topics and writes nothing into them."""

GROUPS: Mapping[Service, str] = {
    "fulfillment": "fulfillment",
    "kinguin": "kinguin",
    "payments": "payments",
    "delivery": "delivery",
    "seller": "seller",
    "sink": "sink",
}
"""The consumer group of each process that is in one."""

_READ_BY_PLACE: Mapping[Service, tuple[Topic, ...]] = {"admin-api": (WEBHOOKS_LOG, DEAD_LETTERS)}
"""What is read one record at a time, outside of any group: the originals of what is done again."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Some operations on one topic or group, by its whole name."""

    kind: Literal["topic", "group"]
    name: str
    operations: tuple[Operation, ...]


def users() -> tuple[str, ...]:
    """Return all of the brokers' users: one for each process, and the topics command's."""
    return (*get_args(Service), TOPICS_COMMAND)


def grants(user: str) -> tuple[Grant, ...]:
    """Return what the user may do, by topic and then its group. Raises ValueError for a user that is none of ours."""
    every = (*TOPICS, *CHANGELOGS)
    if user == TOPICS_COMMAND:
        return tuple(Grant("topic", topic.name, ("Create", "Describe", "DescribeConfigs")) for topic in every)
    service = next((each for each in get_args(Service) if each == user), None)
    if service is None:
        raise ValueError(f"{user} is none of {', '.join(users())}")
    on_topics = (Grant("topic", topic.name, _operations(service, topic)) for topic in every)
    in_group = (Grant("group", GROUPS[service], ("Read",)),) if service in GROUPS else ()
    return (*(grant for grant in on_topics if grant.operations), *in_group)


def _operations(service: Service, topic: Topic) -> tuple[Operation, ...]:
    reads = service in topic.consumers or topic in _READ_BY_PLACE.get(service, ())
    writes = service in topic.producers or (service == "admin-api" and topic in replayable())
    allowed: list[Operation] = ["Describe"] if reads or writes else []
    return (*(("Read",) if reads else ()), *(("Write",) if writes else ()), *allowed)


def replayable() -> tuple[Topic, ...]:
    """Return the topics that an admin may send a record to again.

    A letter is not sent to the letters: it would only be put aside once more.
    """
    return tuple(topic for topic in TOPICS if topic is not DEAD_LETTERS)
