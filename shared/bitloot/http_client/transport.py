"""Carries httpx's requests by aiohttp: the same calls and the same errors, for a third of what httpcore takes.

What an error means for an effect hangs on whether the request can have left. There is a package for this
(httpx-aiohttp), but it says "no connection" of a request that was sent and never answered: an order would be bought
again for it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp
import httpx
from yarl import URL

_KEPT_SECONDS: Final = 5.0
"""How long a connection may be idle: httpx's own default."""

_NOT_BY_ITSELF: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add: httpx has said all there is to say."""

_MEANINGS: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    # Nothing has left.
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    # It may have: it was on its way, or its answer was.
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (TimeoutError, httpx.WriteTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),  # an answer that is no HTTP
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),  # half an answer
    (aiohttp.ClientError, httpx.ReadError),
    (OSError, httpx.ReadError),
)
"""The first that fits counts. The texts are left out: they may quote what was sent or came back."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Carries at most `at_once` requests at the same time; what comes later waits, which is part of connecting."""

    def __init__(self, *, at_once: int) -> None:
        self._at_once = at_once
        self._session: aiohttp.ClientSession | None = None  # belongs to a loop, so it is opened when there is one

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`. Raises httpx's `TransportError`."""
        session = self._session = self._session or self._open()
        limits = request.extensions.get("timeout", {})
        body = await request.aread()
        with _in_words_of_httpx():
            # aiohttp itself waits for as long as it takes until a request is written.
            async with asyncio.timeout(_longest(limits)):
                response = await session.request(
                    request.method,
                    _url(request.url),
                    data=body or None,
                    headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                    skip_auto_headers=_NOT_BY_ITSELF,
                    allow_redirects=False,
                    timeout=_timeout(limits),
                )
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Body(response),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        context = httpx.create_ssl_context(trust_env=False)
        context.set_alpn_protocols(["http/1.1"])
        connector = aiohttp.TCPConnector(limit=self._at_once, keepalive_timeout=_KEPT_SECONDS, ssl=context)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # the client does it
            trust_env=False,
        )
        # A read whose answer is lost would be asked once more, beside the provider's rate and the breaker's count.
        session._retry_connection = False  # noqa: SLF001 - there is no public way
        return session


class _Body(httpx.AsyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _in_words_of_httpx():
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        """Close the connection if the answer was not read to its end; else it was given back then."""
        self._response.close()


@contextmanager
def _in_words_of_httpx() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:  # with TimeoutError
        meaning = next(meaning for kind, meaning in _MEANINGS if isinstance(error, kind))
        raise meaning(type(error).__name__) from None


def _url(url: httpx.URL) -> URL:
    """Return where to ask, to the letter; who asks is in the headers."""
    return URL(f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}", encoded=True)


def _timeout(limits: dict[str, float | None]) -> aiohttp.ClientTimeout:
    """Return httpx's time-outs as aiohttp knows them."""
    return aiohttp.ClientTimeout(
        connect=_sum(limits.get("pool"), limits.get("connect")),
        sock_connect=limits.get("connect"),
        sock_read=limits.get("read"),
    )


def _longest(limits: dict[str, float | None]) -> float | None:
    """Return how long the head of an answer may take, in seconds: as long as all steps that have a limit."""
    return _sum(*(limits.get(step) for step in ("pool", "connect", "write", "read")))


def _sum(*limits: float | None) -> float | None:
    return None if None in limits else sum(limit for limit in limits if limit is not None)
