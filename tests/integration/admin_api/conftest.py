"""Fixtures of the admin API's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.admin_api.read_model import ReadModel, read_model


@pytest.fixture
async def model(kafka_bootstrap: str, database: str, topic_prefix: str) -> AsyncIterator[ReadModel]:
    async with read_model(kafka_bootstrap, database, topic_prefix) as model:
        yield model
