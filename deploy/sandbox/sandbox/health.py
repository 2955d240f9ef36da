"""`/healthz`, `/readyz` and `/metrics`. Everything is in memory: who answers is ready."""

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest


async def alive(_: web.Request) -> web.Response:
    """Answer both probes."""
    return web.json_response({"status": "ok"})


def routes(registry: CollectorRegistry) -> list[web.RouteDef]:
    """Return the endpoints that every service has."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    return [web.get("/healthz", alive), web.get("/readyz", alive), web.get("/metrics", metrics)]
