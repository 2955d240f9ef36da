"""What an error of the HTTP client says about the request, on real connections: an effect hangs on it."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bitloot.http_client import open_client

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
SECRET = b"XXXX-SECRET-CODE"


@asynccontextmanager
async def listening(talk: Talk, *, head: bool = True) -> AsyncIterator[str]:
    """Serve each connection by `talk`, which has got the head of the request unless it wants none; then close it."""
    served = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        try:
            if head:
                await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    await asyncio.gather(*served)


def says(*parts: bytes) -> Talk:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return talk


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client goes away


async def test_nobody_listens():
    async with open_client(at_once=1) as client:
        with pytest.raises(httpx.ConnectError):
            await client.post("http://127.0.0.1:9/", content=b"order")


async def test_a_name_that_nobody_has():
    async with open_client(at_once=1) as client:
        with pytest.raises(httpx.ConnectError):
            await client.post("http://nobody.invalid/", content=b"order")


@pytest.mark.parametrize(
    ("parts", "meaning"),
    [
        ((), httpx.RemoteProtocolError),  # it hung up: what httpx-aiohttp calls "no connection"
        ((b"HTTP/1.1 200 OK\r\n",), httpx.RemoteProtocolError),
        ((b"220 mail.test ESMTP " + SECRET + b"\r\n",), httpx.RemoteProtocolError),
        ((HEAD, b"half"), httpx.RemoteProtocolError),
    ],
)
async def test_an_answer_that_is_lost_is_never_taken_for_no_connection(
    parts: tuple[bytes, ...], meaning: type[httpx.TransportError]
):
    async with listening(says(*parts)) as url, open_client(at_once=1) as client:
        with pytest.raises(httpx.TransportError) as caught:
            await client.post(url, content=b"order")
        assert type(caught.value) is meaning
        assert SECRET.decode() not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.request.method == "POST"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_nothing_is_asked_twice(method: str):
    asked = []

    async def talk(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        asked.append(method)

    async with listening(talk) as url, open_client(at_once=1) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.request(method, url)
    assert asked == [method]


async def test_an_answer_that_does_not_come_in_time():
    async with listening(silent) as url, open_client(at_once=1, timeout=httpx.Timeout(30, read=0.05)) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(url, content=b"order")


async def test_a_body_that_does_not_come_in_time():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"half")
        await silent(reader, writer)

    async with listening(talk) as url, open_client(at_once=1, timeout=httpx.Timeout(30, read=0.05)) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(url, content=b"order")


@pytest.mark.filterwarnings("ignore:Sending a large body")
async def test_a_request_that_is_not_taken_in_time_may_have_left():
    held = asyncio.Event()

    async def talk(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await held.wait()  # and read nothing of what is more than the buffers hold

    limits = httpx.Timeout(1.0, write=0.05, read=0.05)
    async with listening(talk) as url, open_client(at_once=1, timeout=limits) as client:
        with pytest.raises(httpx.WriteTimeout):
            await client.post(url, content=bytes(32 << 20))
        held.set()


async def test_waiting_for_a_connection_is_part_of_connecting():
    begun = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await silent(reader, writer)

    limits = httpx.Timeout(None, connect=0.05, pool=0.05)
    async with listening(talk) as url, open_client(at_once=1, timeout=limits) as client:
        first = asyncio.create_task(client.post(url, content=b"order"))
        await begun.wait()
        with pytest.raises(httpx.ConnectTimeout):
            await client.post(url, content=b"another")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


@pytest.fixture
async def mirror() -> AsyncIterator[TestServer]:
    """A server that tells what it was asked, and counts connections."""
    connections = set()

    async def told(request: web.Request) -> web.Response:
        connections.add(request.transport)
        headers = sorted((name.lower(), value) for name, value in request.headers.items())
        facts = {"target": request.raw_path, "headers": headers, "body": (await request.text())}
        answer = web.json_response(facts | {"connections": len(connections)})
        answer.set_cookie("seen", "yes")
        return answer

    async def packed(_request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"a text"), headers={"Content-Encoding": "gzip"})

    app = web.Application()
    app.router.add_get("/packed", packed)
    app.router.add_route("*", "/{rest:.*}", told)
    async with TestServer(app) as server:
        yield server


async def test_what_is_asked_arrives_to_the_letter(mirror: TestServer):
    async with open_client(at_once=1, headers={"User-Agent": "bitloot", "x-api-key": "key"}) as client:
        url = str(mirror.make_url("/"))
        answer = await client.post(f"{url}v1/a%2Fb%20c?x=1%2B2&y=a+b", content="ü".encode())
        told = answer.json()
        assert told["target"] == "/v1/a%2Fb%20c?x=1%2B2&y=a+b"
        assert told["body"] == "ü"
        assert [name for name, _ in told["headers"]] == [
            "accept",
            "accept-encoding",
            "connection",
            "content-length",
            "host",
            "user-agent",
            "x-api-key",
        ]


async def test_connections_are_used_again_and_cookies_are_not_kept(mirror: TestServer):
    async with open_client(at_once=3) as client:
        for _ in range(3):
            told = (await client.get(str(mirror.make_url("/")))).json()
        assert told["connections"] == 1
        assert [value for name, value in told["headers"] if name == "cookie"] == []
        assert not client.cookies


async def test_a_connection_whose_answer_was_not_read_is_not_used_again():
    def answer() -> Talk:
        return says(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))

    async with listening(answer()) as url, open_client(at_once=1) as client:
        for _ in range(2):
            async with client.stream("GET", url) as response:
                assert response.status_code == 200


async def test_packed_answers_are_unpacked_by_the_client(mirror: TestServer):
    async with open_client(at_once=1) as client:
        assert (await client.get(str(mirror.make_url("/packed")))).text == "a text"


async def test_a_server_without_tls_is_told_nothing():
    told = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test ESMTP\r\n")
        told.append(await reader.read())

    async with listening(talk, head=False) as url, open_client(at_once=1) as client:
        with pytest.raises(httpx.ConnectError):
            await client.post(url.replace("http:", "https:"), content=SECRET)
    assert len(told) == 1
    assert SECRET not in told[0]


async def test_an_address_that_is_none():
    async with open_client(at_once=1) as client:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")
