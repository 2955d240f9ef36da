"""Whether Kafka has the topics of a service, laid out as declared: told at the start, and by `/readyz`."""

import time

from aiokafka.errors import KafkaError

from bitloot.cluster import layout_complaint, look_at
from bitloot.contracts.topics import TOPICS, Service, Topic
from bitloot.health import Health
from bitloot.settings import KafkaSettings

_TRUSTED_SECONDS = 60.0  # topics do not change by themselves; probes come every few seconds


def topics_of(service: Service) -> tuple[Topic, ...]:
    """Return the topics that a service writes or reads."""
    return tuple(topic for topic in TOPICS if service in topic.producers or service in topic.consumers)


class Layout:
    """A check that asks the cluster, and believes for a minute that all is well."""

    def __init__(self, settings: KafkaSettings, service: Service) -> None:
        self._settings = settings
        self._names = [topic.name for topic in topics_of(service)]
        self._trusted_until = 0.0

    def register(self, health: Health, *, advisory: bool = False) -> None:
        """Add the check; `advisory` for a service that does most of its work without Kafka."""
        health.register("topics", self.check, advisory=advisory)

    async def check(self) -> str | None:
        """Return why nothing can be sent or read as it should be, or None."""
        if time.monotonic() < self._trusted_until:
            return None
        try:
            cluster = await look_at(self._settings, self._names)
        except KafkaError as error:
            return f"no broker answers at KAFKA_BOOTSTRAP_SERVERS ({type(error).__name__})"
        complaint = layout_complaint(cluster, self._names)
        if complaint is None:
            self._trusted_until = time.monotonic() + _TRUSTED_SECONDS
        return complaint
