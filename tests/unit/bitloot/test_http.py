import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from bitloot import http, trace
from bitloot.health import Health
from embedded.ports import free_port

Client = TestClient[web.Request, web.Application]

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def page(request: web.Request) -> web.Response:
    span = trace.current.get()
    http.note(request, order_id="o-1", trace_seen=span.trace_id if span else None)
    return web.Response(text=http.request_id(request), headers={"Cache-Control": "private"})


async def crash(_request: web.Request) -> web.Response:
    raise RuntimeError("broken")


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def told(request: web.Request) -> web.Response:
    http.note(request, order_id="o-1")
    http.tell(request, "thing.refused", {"reason": "odd"}, level="warning")
    return web.Response(status=409)


async def redirect(_request: web.Request) -> web.Response:
    raise web.HTTPFound("/elsewhere")


@pytest.fixture
def app() -> web.Application:
    app = http.create_app(Health(), client_max_size=1000)
    app.router.add_get("/o/{token}", page)
    app.router.add_get("/crash", crash)
    app.router.add_get("/redirect", redirect)
    app.router.add_post("/echo", echo)
    app.router.add_post("/told", told)
    return app


@pytest.fixture
async def client(app: web.Application) -> AsyncIterator[Client]:
    async with TestClient(TestServer(app)) as each:
        yield each


async def test_one_line_for_each_request_without_path_or_query(client: Client):
    with capture_logs() as logs:
        answer = await client.get("/o/secret-token?code=secret-code", headers={"traceparent": PARENT})

    (line,) = logs
    assert answer.status == 200
    assert "secret" not in repr(line)
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "http.request",
        "log_level": "info",
        "method": "GET",
        "route": "/o/{token}",
        "status": 200,
        "request_id": answer.headers["X-Request-Id"],
        "remote": "127.0.0.1",
        "order_id": "o-1",
        "trace_seen": "0af7651916cd43dd8448eb211c80319c",
    }


async def test_a_handler_may_make_the_line_one_about_its_work(client: Client):
    with capture_logs() as logs:
        await client.post("/told")

    (line,) = logs
    expected = {"event": "thing.refused", "log_level": "warning", "reason": "odd", "order_id": "o-1", "status": 409}
    assert line.items() >= (expected | {"route": "/told"}).items()


async def test_the_callers_request_id_is_kept_if_it_is_plausible(client: Client):
    kept = await client.get("/o/x", headers={"X-Request-Id": "caller-id-1"})
    replaced = await client.get("/o/x", headers={"X-Request-Id": "<script>"})

    assert kept.headers["X-Request-Id"] == await kept.text() == "caller-id-1"
    assert len(replaced.headers["X-Request-Id"]) == 32


@pytest.mark.parametrize(
    ("method", "path", "status", "route"),
    [
        ("GET", "/crash", 500, "/crash"),
        ("GET", "/nowhere/secret", 404, "unmatched"),
        ("GET", "/echo", 405, "unmatched"),
        ("GET", "/redirect", 302, "/redirect"),
        ("PROPFIND", "/nowhere", 404, "unmatched"),
    ],
)
async def test_errors_are_counted_and_logged_with_their_status(
    client: Client, method: str, path: str, status: int, route: str
):
    labels = {"method": method if method == "GET" else "OTHER", "route": route, "status": str(status)}
    before = REGISTRY.get_sample_value("bitloot_http_requests_total", labels) or 0
    with capture_logs() as logs:
        answer = await client.request(method, path, allow_redirects=False)

    assert answer.status == status
    assert REGISTRY.get_sample_value("bitloot_http_requests_total", labels) == before + 1
    line = logs[-1]
    assert (line["event"], line["status"], line["route"]) == ("http.request", status, route)
    assert answer.headers["X-Request-Id"] == line["request_id"]


async def test_answers_have_safe_headers_unless_the_handler_knows_better(client: Client):
    own = await client.get("/o/x")
    missing = await client.get("/nowhere")

    assert own.headers["Cache-Control"] == "private"
    assert missing.headers["Cache-Control"] == "no-store"
    for answer in (own, missing):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers


async def test_bodies_are_limited(client: Client):
    assert (await client.post("/echo", data=b"x" * 1000)).status == 200
    assert (await client.post("/echo", data=b"x" * 1001)).status == 413


async def test_probes_are_served_and_not_logged_as_traffic(client: Client):
    with capture_logs() as logs:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await client.get(path)).status == 200

    assert {line["log_level"] for line in logs} == {"debug"}


async def test_stopping_lets_the_request_at_hand_finish():
    started, release, ending = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        started.set()
        await release.wait()
        return web.Response(text="done")

    health = Health()
    app = http.create_app(health)
    app.router.add_get("/slow", slow)

    async def on_shutdown(_app: web.Application) -> None:
        ending.set()

    app.on_shutdown.append(on_shutdown)
    stop = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(http.serve_until(stop, app, "127.0.0.1", 0, on_listening=listening.set_result))
    async with aiohttp.ClientSession() as session:
        request = asyncio.create_task(session.get(f"http://127.0.0.1:{await listening}/slow"))
        await started.wait()
        stop.set()
        await ending.wait()
        assert await health.failures() == {"process": "shutting down"}
        assert not server.done()
        release.set()
        assert await (await request).text() == "done"
    await server


async def test_probes_can_have_a_port_of_their_own():
    health = Health()
    app = http.create_app(health, probes=False)
    stop = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    probe_port = free_port()
    server = asyncio.create_task(
        http.serve_until(stop, app, "127.0.0.1", 0, probe_port=probe_port, on_listening=listening.set_result)
    )
    public = f"http://127.0.0.1:{await listening}"
    async with aiohttp.ClientSession() as session:
        for path in ("/healthz", "/readyz", "/metrics"):
            async with session.get(f"{public}{path}") as outside:
                assert outside.status == 404
            async with session.get(f"http://127.0.0.1:{probe_port}{path}") as inside:
                assert inside.status == 200
    stop.set()
    await server


async def test_everything_but_the_probes_can_be_below_a_path():
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info.get("token", "plain"))

    app = http.create_app(Health())
    app.router.add_get("/", answer)
    app.router.add_get("/plain", answer)
    app.router.add_get("/o/{token}/status", answer)
    stop = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        http.serve_until(stop, app, "127.0.0.1", 0, base_path="/shop/keys", on_listening=listening.set_result)
    )
    address = f"http://127.0.0.1:{await listening}"
    found = {}
    async with aiohttp.ClientSession() as session:
        for path in (
            "/shop/keys/",
            "/shop/keys/plain",
            "/shop/keys/o/abc/status",
            "/plain",
            "/o/abc/status",
            "/readyz",
        ):
            async with session.get(f"{address}{path}") as response:
                found[path] = (response.status, await response.text() if response.ok else response.content_type)
    stop.set()
    await server
    assert found == {
        "/shop/keys/": (200, "plain"),
        "/shop/keys/plain": (200, "plain"),
        "/shop/keys/o/abc/status": (200, "abc"),
        "/plain": (404, "application/problem+json"),
        "/o/abc/status": (404, "application/problem+json"),
        "/readyz": (200, '{"status": "ok", "failing": {}}'),
    }
