"""The ingress on its real adapters."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bitloot.health import Health
from ingress.app import build, open_ports
from ingress.settings import Settings
from tests.unit.ingress.rig import Fakes, Rig

Serve = Callable[[Settings], AbstractAsyncContextManager[Rig]]


@pytest.fixture
def serve() -> Serve:
    """Return what serves the ingress as the process does; the fakes of the rig are not used."""
    return _serve


@asynccontextmanager
async def _serve(settings: Settings) -> AsyncIterator[Rig]:
    health = Health()
    async with open_ports(settings, health) as ports, TestClient(TestServer(build(settings, ports, health))) as client:
        yield Rig(client, Fakes(), settings)
