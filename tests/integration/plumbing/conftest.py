"""Fixtures of the plumbing's tests."""

from collections.abc import Iterator

import pytest
import structlog

from bitloot.settings import KafkaSettings
from tests.integration.plumbing.broker import Broker


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Plain tracebacks: structlog's own for terminals take seconds, with the values of all locals."""
    processors = [structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()]
    structlog.configure(processors=processors)
    yield
    structlog.reset_defaults()


@pytest.fixture
def broker(kafka_bootstrap, topic_prefix) -> Broker:
    return Broker(KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap), topic_prefix)
