"""The ground that every HTTP service of ours stands on.

    app = create_app(health)
    app.router.add_post("/orders", place_order)
    run(app, settings.http_host, settings.http_port)

gives health, readiness and metrics, problem documents for all errors, a request id, a trace, one log line for each
request, safe headers, and an end that lets requests at hand finish.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from aiohttp import web
from prometheus_client import Counter, Histogram

from bitloot import log, trace
from bitloot.canonical_json import MAX_SIZE
from bitloot.health import Health, add_routes, announced
from bitloot.health import serve as serve_probes
from bitloot.metrics import HTTP_REQUESTS, HTTP_SECONDS
from bitloot.problem import problem_middleware

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

HEALTH: web.AppKey[Health] = web.AppKey("health", Health)
REQUEST_ID_HEADER = "X-Request-Id"

SECURITY_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What an answer has unless its handler says otherwise; pages with styles need a policy of their own."""


@dataclass(slots=True)
class _Line:
    """The log line of a request, as far as it is known."""

    event: str = "http.request"
    level: Literal["debug", "info", "warning", "error"] = "info"
    fields: dict[str, object] = field(default_factory=dict)


_REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
_LINE: web.RequestKey[_Line] = web.RequestKey("log_line", _Line)

LONGEST_LINE = 8190
"""The longest address that is read where nothing else is said, in bytes: aiohttp's own bound."""
_SHUTDOWN_SECONDS = 10.0  # below the 30 s that an orchestrator waits before it kills
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_PROBES = frozenset(("/healthz", "/readyz", "/metrics"))

_log = log.get(__name__)


def create_app(health: Health, *, client_max_size: int = MAX_SIZE, probes: bool = True) -> web.Application:
    """Return an application with everything but its own routes; bodies larger than the limit get 413 (bytes).

    Without `probes` health and metrics are not among its routes: they have a port of their own, see `serve_until`.
    """
    app = web.Application(middlewares=[_observe], client_max_size=client_max_size)
    app[HEALTH] = health
    app.on_response_prepare.append(_add_headers)
    if probes:
        add_routes(app, health)
    return app


def request_id(request: web.Request) -> str:
    """Return the id of a request: the caller's own, if it is a plausible one, else a new one."""
    return request[_REQUEST_ID]


def note(request: web.Request, **fields: object) -> None:
    """Add fields, such as `order_id` or `reason`, to the request's log line."""
    request[_LINE].fields.update(fields)


def tell(
    request: web.Request,
    event: str,
    fields: Mapping[str, object],
    *,
    level: Literal["info", "warning", "error"] = "info",
) -> None:
    """Let the request's log line be about more than the request: name what happened, and add fields to it."""
    line = request[_LINE]
    line.event, line.level = event, level
    line.fields.update(fields)


@web.middleware
async def _observe(request: web.Request, handler: "Handler") -> web.StreamResponse:
    """Give the request an id and a trace; count it and log it when it is over."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    request[_REQUEST_ID] = given if _GOOD_ID.fullmatch(given) else secrets.token_hex(16)
    started = time.perf_counter()
    status = 499  # the client went away, as nginx has it
    route = _route(request)
    method = request.method if request.method in _METHODS else "OTHER"
    line = request[_LINE] = _Line(level="debug" if route in _PROBES else "info")
    name = "" if route in _PROBES else f"{method} {route}"
    with trace.use(trace.parse(request.headers.get(trace.HEADER)), name, "server"):
        try:
            response = await problem_middleware(request, handler)  # here: aiohttp goes a long way to each middleware
            status = response.status
        except web.HTTPException as redirect:
            status = redirect.status
            raise
        else:
            return response
        finally:
            trace.note(**{"http.response.status_code": status})
            _count(method, route, status, time.perf_counter() - started)
            _write(request, line, method, route, status, started)


def _count(method: str, route: str, status: int, seconds: float) -> None:
    requests, durations = _series(method, route, status)
    requests.inc()
    durations.observe(seconds)


@lru_cache(maxsize=1024)  # there are few routes, and few statuses that they answer with
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return HTTP_REQUESTS.labels(method, route, str(status)), HTTP_SECONDS.labels(method, route)


def _write(request: web.Request, line: _Line, method: str, route: str, status: int, started: float) -> None:
    fields: dict[str, object] = {
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": round((time.perf_counter() - started) * 1000, 2),
        "request_id": request[_REQUEST_ID],
        "remote": request.remote,
    }
    getattr(_log, line.level)(line.event, **(fields | line.fields))


def _route(request: web.Request) -> str:
    """Return the template: paths hold tokens, and would make a metric series for each order."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    if identity := request.get(_REQUEST_ID):
        headers[REQUEST_ID_HEADER] = identity
    headers.pop("Server", None)  # its version is nobody's business


async def serve_until(
    stop: asyncio.Event,
    app: web.Application,
    host: str,
    port: int,
    *,
    probe_port: int | None = None,
    base_path: str = "",
    reuse_port: bool = False,
    longest_line: int = LONGEST_LINE,
    on_listening: Callable[[int], None] = lambda _port: None,
) -> None:
    """Serve until `stop` is set, then let requests at hand finish; `port` 0 takes a free one.

    `on_listening` gets the port. With `reuse_port` several processes share one. Health and metrics are served at
    `probe_port` where it is given; else by the application itself, and never below `base_path`, as all else is.
    An address longer than `longest_line` (bytes) is refused before the application sees it.
    """
    _put_below(app, base_path)
    async with AsyncExitStack() as stack:
        if HEALTH in app and probe_port is not None:
            await stack.enter_async_context(serve_probes(app[HEALTH], host, probe_port))
        elif HEALTH in app:
            await stack.enter_async_context(announced(app[HEALTH]))
        await _serve(stop, app, host, port, reuse_port=reuse_port, longest_line=longest_line, on_listening=on_listening)


def _put_below(app: web.Application, base_path: str) -> None:
    """Serve all but the probes below a path. Pages and mails name their links relatively, or by PUBLIC_URL."""
    if not base_path:
        return
    for resource in list(app.router.resources()):
        if resource.canonical not in _PROBES:
            app.router.unindex_resource(resource)
            resource.add_prefix(base_path)
            app.router.index_resource(resource)

    async def to_its_root(_request: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently(f"{base_path}/")

    app.router.add_get(base_path, to_its_root)


async def _serve(
    stop: asyncio.Event,
    app: web.Application,
    host: str,
    port: int,
    *,
    reuse_port: bool,
    longest_line: int,
    on_listening: Callable[[int], None],
) -> None:
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        max_line_size=longest_line,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_port=reuse_port or None).start()
        bound = int(runner.addresses[0][1])
        _log.info("http.listening", host=host, port=bound)
        on_listening(bound)
        await stop.wait()
        _log.info("http.stopping")
    finally:
        if HEALTH in app:
            app[HEALTH].begin_shutdown()
        await runner.cleanup()
