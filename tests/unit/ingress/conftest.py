import io
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer

from bitloot import log
from bitloot.health import Health
from ingress.app import build
from ingress.settings import Settings
from tests.fakes.producer import FakeProducer
from tests.unit.ingress import rig as rigs
from tests.unit.ingress.rig import Fakes, Rig

Start = Callable[..., Awaitable[Rig]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start an ingress with settings, and perhaps other parts, of the test's own."""
    async with AsyncExitStack() as stack:

        async def start(settings: Settings, producer: FakeProducer | None = None, **parts: Any) -> Rig:
            fakes = Fakes(producer or FakeProducer(), **parts)
            app = build(settings, fakes.ports, Health())
            client = await stack.enter_async_context(TestClient(TestServer(app)))
            return Rig(client, fakes, settings)

        yield start


@pytest.fixture
async def rig(start: Start) -> Rig:
    return await start(rigs.settings())


@dataclass
class Lines:
    """What the process logged."""

    stream: io.StringIO

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def of(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in lines if line["event"] == event]


@pytest.fixture(autouse=True)
def lines() -> Iterator[Lines]:
    """Log as in production; whatever a test does, no secret and no traceback may be written."""
    with _logging() as captured:
        yield captured
    assert rigs.leaks(captured.text) == []
    assert "Traceback" not in captured.text


@contextmanager
def _logging() -> Iterator[Lines]:
    """Configure logging; everything global that this touches is put back."""
    root = logging.root
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    levels = {
        name: each.level for name, each in logging.root.manager.loggerDict.items() if isinstance(each, logging.Logger)
    }
    captured = Lines(io.StringIO())
    log.configure("ingress", "ingress-1", "DEBUG", stream=captured.stream)
    try:
        yield captured
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)
        root.handlers[:], root.level, sys.excepthook = handlers, level, hook
        for name, each in levels.items():
            logging.getLogger(name).setLevel(each)
