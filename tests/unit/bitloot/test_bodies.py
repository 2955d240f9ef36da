"""What every service takes of a body. How slow ones end: `tests/unit/ingress/test_ingress_body.py`."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bitloot.bodies import read_body
from bitloot.problem import problem_middleware

ROOT = Path(__file__).parents[3]

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A server that takes 100 bytes of any body, and 10 at `/short`."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=await read_body(request, most=10 if request.path == "/short" else None))

    app = web.Application(client_max_size=100, middlewares=[problem_middleware])
    app.router.add_post("/", handle)
    app.router.add_post("/short", handle)
    async with TestClient(TestServer(app)) as client:
        yield client


async def pieces(*lengths: int) -> AsyncIterator[bytes]:
    for length in lengths:
        yield b"x" * length


@pytest.mark.parametrize(("path", "most"), [("/", 100), ("/short", 10)])
async def test_so_many_bytes_and_not_one_more_announced_or_not(client: Client, path: str, most: int):
    for body in (b"x" * most, pieces(most - 1, 1)):
        answer = await client.post(path, data=body)
        assert (answer.status, await answer.read()) == (200, b"x" * most)
    for body in (b"x" * (most + 1), pieces(most, 1)):
        answer = await client.post(path, data=body)
        assert (answer.status, answer.content_type) == (413, "application/problem+json")


def test_nobody_reads_a_body_of_their_own():
    files = [each for folder in ("shared/bitloot", "services") for each in (ROOT / folder).rglob("*.py")]
    reading = re.compile(r"\brequest\.(?:read|post|json|text|multipart)\(")
    found = {each.relative_to(ROOT).as_posix() for each in files if reading.search(each.read_text())}

    assert len(files) > 100
    assert found == {"shared/bitloot/bodies.py"}
