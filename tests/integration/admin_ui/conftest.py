"""Fixtures of the desk's tests: the API with and without Kafka."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.admin_api.api import Api, kafka_api, serve_api
from tests.integration.admin_api.read_model import ReadModel, read_model


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    """The API without Kafka: for all that only reads."""
    async with serve_api(database) as api:
        yield api


@pytest.fixture
async def model(kafka_bootstrap: str, database: str, topic_prefix: str) -> AsyncIterator[ReadModel]:
    async with read_model(kafka_bootstrap, database, topic_prefix) as model:
        yield model


@pytest.fixture
async def live(model: ReadModel) -> AsyncIterator[Api]:
    """The API on a real Kafka, for all that does something."""
    async with kafka_api(model) as api:
        yield api
