"""A Kinguin on localhost that says exactly what a test tells it to, and remembers what it was asked."""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

SECRET = "client-secret-8c1d6f"
TOKEN = "access-token-5b0e92"


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: object
    authorization: str | None
    api_key: str | None = None
    raw: bytes = b""


@dataclass
class Says:
    """One answer. `body` is JSON unless it is bytes."""

    status: int = 200
    body: object = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class HangsUp:
    """Reads the request, then ends the connection without a byte."""


@dataclass
class Hangs:
    """Reads the request and never answers; `reached` tells that it has been read."""

    reached: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


Line = Says | HangsUp | Hangs


class Kinguin:
    """Answers each call from its script; the last line of a script is said for ever."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.tokens_issued = 0
        self.token_life: object = 3600
        self.rejected: set[str] = set()
        self.before_token: Callable[[], Awaitable[None]] | None = None
        self._scripts: dict[str, deque[Line]] = defaultdict(deque)
        self._closing = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self.server = TestServer(app)

    def script(self, call: str, *lines: Line) -> None:
        """Set what `call` answers, one line each time: `token`, `reserve`, `give`, `delivered`, `lookup`, or of the
        buyer API `place_order`, `order`, `search`, `keys`, `return_keys`, `balance`, `product`."""
        self._scripts[call] = deque(lines)

    def calls(self, call: str) -> list[Asked]:
        return [asked for asked in self.asked if _call_of(asked.method, asked.path) == call]

    @property
    def base_url(self) -> str:
        return str(self.server.make_url("/kinguin"))

    @property
    def auth_url(self) -> str:
        return str(self.server.make_url("/kinguin-id"))

    @property
    def esa_url(self) -> str:
        return str(self.server.make_url("/kinguin-esa"))

    async def close(self) -> None:
        self._closing.set()
        await self.server.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        is_json = request.content_type == "application/json"
        body = json.loads(raw) if is_json and raw else dict(await request.post()) or None
        self.asked.append(
            Asked(
                request.method,
                request.path,
                dict(request.query),
                body,
                request.headers.get("Authorization"),
                request.headers.get("X-Api-Key"),
                raw,
            )
        )
        call = _call_of(request.method, request.path)
        if call != "token":
            bearer = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
            if bearer in self.rejected:
                return web.json_response({"kind": "Authorization", "status": 401}, status=401)
        script = self._scripts[call]
        if call == "token" and not script:
            return await self._issue()
        line = script.popleft() if len(script) > 1 else script[0]
        return await self._say(request, line)

    async def _issue(self) -> web.Response:
        if self.before_token is not None:
            await self.before_token()
        self.tokens_issued += 1
        token = {"access_token": f"{TOKEN}-{self.tokens_issued}", "token_type": "Bearer"}
        life = {} if self.token_life is None else {"expires_in": self.token_life}
        return web.json_response(token | life)

    async def _say(self, request: web.Request, line: Line) -> web.StreamResponse:
        match line:
            case HangsUp():
                assert request.transport is not None
                request.transport.abort()
            case Hangs():
                line.reached.set()
                await self._closing.wait()
            case Says(status, bytes() as raw, headers):
                return web.Response(status=status, body=raw, headers=headers)
            case Says(status, body, headers):
                return web.json_response(body, status=status, headers=headers)
        return web.Response()


def _call_of(method: str, path: str) -> str:
    if path.startswith("/kinguin-esa/"):
        return _esa_call_of(method, path)
    if path.endswith("/token"):
        return "token"
    if path.endswith("/give"):
        return "give"
    if path.endswith("/delivered"):
        return "delivered"
    return "reserve" if method == "POST" else "lookup"


def _esa_call_of(method: str, path: str) -> str:
    if path.endswith("/keys/return"):
        return "return_keys"
    for part, call in (("/keys", "keys"), ("/balance", "balance"), ("/products/", "product"), ("/order/", "order")):
        if part in path:
            return call
    return "place_order" if method == "POST" else "search"


@asynccontextmanager
async def scripted_kinguin() -> AsyncIterator[Kinguin]:
    kinguin = Kinguin()
    await kinguin.server.start_server()
    try:
        yield kinguin
    finally:
        await kinguin.close()
