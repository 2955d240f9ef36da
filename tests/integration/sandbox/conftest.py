import uuid

import pytest

from tests.fakes.sandbox import ManualClock, running_sandbox, webhook_receiver


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def receiver():
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def sandbox(receiver, clock):
    async with running_sandbox(receiver.url, clock) as sandbox:
        await sandbox.set(keyDelay=0, webhookBackoff=0.001, webhookAttempts=3)
        yield sandbox


@pytest.fixture
def order_id():
    return str(uuid.uuid4())
