import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from bitloot.errors import Cause, Transient
from bitloot.health import Health, serve
from bitloot.metrics import BUILD_INFO


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def ask(health: Health) -> AsyncIterator[Any]:
    async with serve(health, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:

        async def get(path: str) -> tuple[int, Any]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status, await answer.json()

        yield get


async def fine() -> None:
    return None


async def broken() -> str:
    return "no broker"


async def test_without_checks_all_is_well(ask: Any):
    assert await ask("/healthz") == (200, {"status": "ok", "failing": {}})
    assert await ask("/readyz") == (200, {"status": "ok", "failing": {}})


async def test_readiness_names_what_fails_and_liveness_stays(health: Health, ask: Any):
    health.register("kafka", broken)
    health.register("postgres", fine)

    assert await ask("/readyz") == (503, {"status": "failing", "failing": {"kafka": "no broker"}})
    assert await ask("/healthz") == (200, {"status": "ok", "failing": {}})


async def test_a_vital_check_turns_liveness_red(health: Health, ask: Any):
    health.register("consumer", broken, vital=True)

    assert await ask("/healthz") == (503, {"status": "failing", "failing": {"consumer": "no broker"}})
    assert (await ask("/readyz"))[0] == 503


async def test_a_check_that_hangs_fails_in_time(health: Health, ask: Any):
    async def hang() -> None:
        await asyncio.Event().wait()

    health.register("slow", hang, timeout=timedelta(milliseconds=20))
    health.register("fine", fine)

    assert await ask("/readyz") == (503, {"status": "failing", "failing": {"slow": "no answer in 0.02 s"}})


async def test_a_check_that_raises_fails_without_saying_more_than_is_safe(health: Health, ask: Any):
    async def ours() -> None:
        raise Transient(Cause.DATABASE_UNAVAILABLE, "no connection")

    async def foreign() -> None:
        raise OSError("cannot connect to postgresql://u:hunter2@host")

    health.register("ours", ours)
    health.register("foreign", foreign)

    assert await ask("/readyz") == (
        503,
        {
            "status": "failing",
            "failing": {"ours": "database_unavailable: no connection", "foreign": "OSError"},
        },
    )


async def test_checks_run_side_by_side(health: Health):
    both = asyncio.Barrier(2)

    async def meet() -> None:
        await both.wait()

    health.register("one", meet)
    health.register("two", meet)

    assert await health.failures() == {}


async def test_a_gate_is_opened_and_closed_by_hand(health: Health):
    gate = health.gate("tables", "recovering")
    assert await health.failures() == {"tables": "recovering"}
    gate.open()
    assert await health.failures() == {}
    gate.close("rebalancing")
    assert await health.failures() == {"tables": "rebalancing"}


async def test_shutdown_turns_readiness_red_only(health: Health, ask: Any):
    health.begin_shutdown()

    assert await ask("/readyz") == (503, {"status": "failing", "failing": {"process": "shutting down"}})
    assert (await ask("/healthz"))[0] == 200


async def test_changes_are_logged_once(health: Health):
    gate = health.gate("kafka", "no broker")
    with capture_logs() as logs:
        await health.failures()
        await health.failures()
        gate.open()
        await health.failures()
        await health.failures()

    assert [(line["event"], line["check"]) for line in logs] == [
        ("health.failed", "kafka"),
        ("health.recovered", "kafka"),
    ]


def test_names_are_taken_once(health: Health):
    health.register("kafka", fine)
    with pytest.raises(ValueError, match="kafka"):
        health.register("kafka", fine)


async def test_metrics_are_served(health: Health):
    BUILD_INFO.labels("health-test", "1").set(1)
    assert REGISTRY.get_sample_value("bitloot_build_info", {"service": "health-test", "version": "1"}) == 1
    async with (
        serve(health, "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert answer.status == 200
        assert answer.content_type in {"text/plain", "application/openmetrics-text"}
        assert 'bitloot_build_info{service="health-test",version="1"} 1.0' in await answer.text()


async def test_what_is_advisory_is_told_and_turns_nothing_red(health: Health, ask: Any):
    health.register("database version", broken, advisory=True)

    status, body = await ask("/readyz")
    assert (status, body) == (200, {"status": "ok", "failing": {}, "notes": {"database version": "no broker"}})
    assert await ask("/healthz") == (200, {"status": "ok", "failing": {}})


async def test_the_start_is_told_without_a_probe_that_asks(health: Health):
    gate = health.gate("kafka", "no broker")
    with capture_logs() as logs:
        telling = asyncio.create_task(health.announce())
        async with asyncio.timeout(20):
            while not any(line["event"] == "health.failed" for line in logs):
                await asyncio.sleep(0.01)
            gate.open()
            await telling
    assert [line["event"] for line in logs] == ["health.failed", "health.recovered", "process.ready"]
    assert logs[0]["reason"] == "no broker"
