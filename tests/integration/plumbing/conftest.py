"""Fixtures of the plumbing's tests."""

import pytest

from bitloot.settings import KafkaSettings
from tests.integration.plumbing.broker import Broker


@pytest.fixture
def broker(kafka_bootstrap, topic_prefix) -> Broker:
    return Broker(KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap), topic_prefix)
