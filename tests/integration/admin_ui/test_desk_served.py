"""How the admin API serves the desk: its files for ever, its pages never from a cache, and a way to build it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from admin_api.api.desk import add_desk
from bitloot.health import Health
from bitloot.http import create_app

Client = TestClient[web.Request, web.Application]
Serve = Callable[[Path], Awaitable[Client]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    clients: list[Client] = []

    async def serve(root: Path) -> Client:
        async def nothing(_request: web.Request) -> web.Response:
            return web.Response()

        app = create_app(Health())
        app.router.add_post("/admin/orders/{id}/reprocess", nothing)
        add_desk(app, root)
        client = TestClient(TestServer(app))
        clients.append(client)
        await client.start_server()
        return client

    yield serve
    for client in clients:
        await client.close()


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>The desk</title>")
    (tmp_path / "icon.svg").write_text("<svg/>")
    (tmp_path / "assets" / "index-abc123.js").write_text("const answer = 42;")
    (tmp_path / ".stamp").write_text("secret of the build")
    return tmp_path


@pytest.mark.parametrize(
    "path", ["/", "/orders", "/orders/1234?status=paid", "/dead-letters/replays/5", "/administration"]
)
async def test_every_page_is_the_desk_itself_and_never_from_a_cache(serve: Serve, built: Path, path: str):
    client = await serve(built)
    response = await client.get(path)

    assert (response.status, response.content_type) == (200, "text/html")
    assert "The desk" in await response.text()
    assert response.headers["Cache-Control"] == "no-store"


async def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(serve: Serve, built: Path):
    client = await serve(built)
    headers = (await client.get("/")).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("accepted", ["gzip, br", "identity"])
async def test_assets_are_kept_for_ever_and_compressed_where_that_is_accepted(serve: Serve, built: Path, accepted: str):
    client = await serve(built)
    response = await client.get("/assets/index-abc123.js", headers={"Accept-Encoding": accepted})

    assert (response.status, response.content_type) == (200, "text/javascript")
    assert await response.text() == "const answer = 42;"
    assert "immutable" in response.headers["Cache-Control"]
    assert response.headers.get("Content-Encoding") == ("gzip" if "gzip" in accepted else None)
    assert response.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/admin/nothing",
        "/assets/other.js",
        "/static/other.css",
        "/favicon.ico",
        "/.stamp",
        "/assets/%2e%2e/.stamp",
    ],
)
async def test_what_is_no_page_stays_unknown(serve: Serve, built: Path, path: str):
    client = await serve(built)
    response = await client.get(path)

    assert (response.status, response.content_type) == (404, "application/problem+json")


async def test_a_wrong_method_stays_405(serve: Serve, built: Path):
    client = await serve(built)

    assert (await client.get("/admin/orders/1/reprocess")).status == 405
    assert (await client.post("/orders")).status == 405


@pytest.mark.parametrize("path", ["/", "/orders"])
async def test_a_desk_that_was_not_built_says_how(serve: Serve, tmp_path: Path, path: str):
    client = await serve(tmp_path / "nothing")
    response = await client.get(path)

    assert response.status == 200
    assert "make ui" in await response.text()
