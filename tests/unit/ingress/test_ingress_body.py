"""Bodies that come as no client library would send them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ingress.body import read_body
from ingress.notification import NotAccepted

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server that answers with the reason for which it did not take a body."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return web.Response(text=(await read_body(request, patience=0.05)).decode())
        except NotAccepted as refusal:
            return web.Response(status=refusal.status, text=refusal.reason)

    app = web.Application(client_max_size=100)
    app.router.add_post("/", handle)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


async def answer(port: int, raw: bytes) -> bytes:
    """Send bytes; return the answer up to its end or the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        async with asyncio.timeout(10):
            return await reader.readuntil(b"\r\n\r\n") + await reader.read(100)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_body_is_returned_as_it_came(port: int):
    got = await answer(port, HEAD + b"Content-Length: 4\r\n\r\n \xc3\xa9 ")

    assert got.startswith(b"HTTP/1.1 200")
    assert got.endswith(b" \xc3\xa9 ")


async def test_a_body_that_does_not_come(port: int):
    got = await answer(port, HEAD + b"Content-Length: 4\r\n\r\n12")

    assert got.startswith(b"HTTP/1.1 408")
    assert got.endswith(b"too_slow")


async def test_a_body_that_is_announced_as_too_large_is_not_waited_for(port: int):
    got = await answer(port, HEAD + b"Content-Length: 101\r\n\r\n")

    assert got.startswith(b"HTTP/1.1 413")


async def test_broken_chunks_are_not_waited_for_longer(port: int):
    got = await answer(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")

    assert got.startswith(b"HTTP/1.1 408")
