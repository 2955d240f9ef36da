"""Delivery's adapters on real parts."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from bitloot.ledger import open_pool
from delivery import resend
from delivery.pace import Pace
from delivery.r2 import R2, open_client
from delivery.signature import Bucket
from tests.fakes.sandbox import running_sandbox


def now():
    return datetime.now(UTC)


@asynccontextmanager
async def open_r2(bucket, link_age=timedelta(minutes=15)):
    place = Bucket(bucket.endpoint, bucket.name, bucket.access_key, SecretStr(bucket.secret_key))
    async with open_client() as client:
        yield R2(client, place, link_age=link_age, clock=now)


@asynccontextmanager
async def open_mailer(sandbox):
    key = sandbox.settings.resend_api_key
    async with resend.open_client(f"{sandbox.url}/resend", key) as client:
        yield resend.Resend(client, pace=Pace(1000))


@pytest.fixture
async def r2(bucket):
    async with open_r2(bucket) as r2:
        yield r2


@pytest.fixture
async def pool(database):
    async with open_pool(database) as pool:
        yield pool


@pytest.fixture
async def sandbox():
    async with running_sandbox() as sandbox:
        yield sandbox
