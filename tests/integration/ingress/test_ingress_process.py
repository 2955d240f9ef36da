"""The process as it is started: `python -m ingress`."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.unit.ingress import rig as rigs
from tests.unit.ingress.rig import leaks

SETTINGS = rigs.settings()
ENVIRONMENT = {
    "HTTP_PORT": "0",
    "KAFKA_BOOTSTRAP_SERVERS": SETTINGS.kafka_bootstrap_servers,
    "DATABASE_URL": SETTINGS.database_url.get_secret_value(),
    "PUBLIC_URL": SETTINGS.public_url,
    "INGRESS_PUBLIC_URL": SETTINGS.ingress_public_url,
    "SHOP_TOKEN": rigs.SHOP_TOKEN,
    "ORDER_LINK_SECRETS": rigs.LINK_SECRET.get_secret_value(),
    "SEALING_PUBLIC_KEY": SETTINGS.sealing_public_key,
    "NOWPAYMENTS_API_KEY": rigs.API_KEY,
    "NOWPAYMENTS_IPN_SECRET": rigs.IPN_SECRET.get_secret_value(),
    "KINGUIN_WEBHOOK_SECRET": rigs.KINGUIN_TOKEN,
    "RESEND_WEBHOOK_SECRET": rigs.RESEND_SECRET.get_secret_value(),
    "SERVICE_INSTANCE": "ingress-1",
}


@asynccontextmanager
async def started(**changes: str) -> AsyncIterator[Process]:
    environment = {"PATH": os.environ["PATH"], **ENVIRONMENT, **changes}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ingress", stdout=PIPE, stderr=PIPE, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_of(process: Process, event: str) -> dict[str, Any]:
    assert process.stdout is not None
    async for line in process.stdout:
        if (found := json.loads(line))["event"] == event:
            return dict(found)
    raise AssertionError(f"no line {event}")


async def test_it_listens_without_its_neighbors_and_ends_in_order():
    async with started() as process:
        line = await line_of(process, "http.listening")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{line['port']}") as client:
            health = await client.get("/healthz")
            ready = await client.get("/readyz")
            metrics = await client.get("/metrics")

        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()

    assert (line["service"], line["instance"]) == ("ingress", "ingress-1")
    assert (health.status_code, ready.status_code) == (200, 503)
    assert ready.json()["failing"].keys() == {"kafka", "producer connection", "topics"}
    assert ready.json()["notes"].keys() == {"postgres"}
    assert 'bitloot_build_info{service="ingress"' in metrics.text
    assert process.returncode == 0
    assert err == b""
    assert leaks(out.decode()) == []


async def test_a_missing_setting_is_one_sentence():
    async with started(SHOP_TOKEN="", KINGUIN_ALLOWED_IPS="10.0.0.0/8,nonsense") as process:
        out, err = await process.communicate()

    assert process.returncode == 2
    assert out == b""
    first, second = err.decode().splitlines()
    assert first.startswith("SHOP_TOKEN is not set.")
    assert second.startswith("KINGUIN_ALLOWED_IPS cannot be used")
