"""Who gets our credentials, and by which way, is said by settings alone."""

import ast
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bitloot.errors import Refused
from bitloot.http_client import open_client
from delivery import r2
from delivery.clock import now
from delivery.signature import Bucket

ROOT = Path(__file__).parents[3]
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[str]:
    """A server that answers with the credentials it got, in an environment that has a proxy and others for it."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, NOBODY)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(netrc))

    async def told(request: web.Request) -> web.Response:
        return web.Response(status=404, text=request.headers.get("Authorization", "none"))

    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("/told")

    app = web.Application()
    app.router.add_get("/elsewhere", elsewhere)
    app.router.add_route("*", "/{rest:.*}", told)
    async with TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/")


async def test_no_proxy_and_no_netrc_of_the_environment(provider: str):
    async with open_client(at_once=1) as client:
        assert (await client.get(f"{provider}/told")).text == "none"


async def test_redirects_are_not_followed(provider: str):
    async with open_client(at_once=1) as client:
        assert (await client.get(f"{provider}/elsewhere")).status_code == 307


async def test_the_object_store_is_reached_without_a_proxy_too(provider: str):
    async with r2.open_client() as client:
        storage = r2.R2(
            client, Bucket(provider, "bucket", "key", SecretStr("secret")), link_age=timedelta(days=1), clock=now
        )
        with pytest.raises(Refused, match="storage answered 404"):  # an answer, though no good one
            await storage.get("none")


def test_nobody_opens_a_client_of_their_own():
    calls = [
        f"{path}:{node.lineno}"
        for part in ("shared", "services")
        for path in (ROOT / part).rglob("*.py")
        if "node_modules" not in path.parts and "http_client" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"httpx.AsyncClient", "httpx.Client"}
    ]
    assert calls == []
