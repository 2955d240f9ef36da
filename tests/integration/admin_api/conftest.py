"""Fixtures of the admin API's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.admin_api.api import Api, serve_api
from tests.integration.admin_api.read_model import ReadModel, read_model


@pytest.fixture
async def model(kafka_bootstrap: str, database: str, topic_prefix: str) -> AsyncIterator[ReadModel]:
    async with read_model(kafka_bootstrap, database, topic_prefix) as model:
        yield model


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    """The API without Kafka: for all that only reads."""
    async with serve_api(database) as api:
        yield api


@pytest.fixture
async def bare(nowhere: str) -> AsyncIterator[Api]:
    """The API with neither Kafka nor a database: for all that is refused before they are asked."""
    async with serve_api(nowhere) as api:
        yield api


@pytest.fixture
def nowhere() -> str:
    """The address of a database that is away."""
    return "postgresql://nobody@127.0.0.1:1/nothing"
