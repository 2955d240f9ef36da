"""A buyer's mail address is sealed wherever it cannot be deleted, and after an erasure it is nowhere."""

import asyncio
import os
import sys
import uuid
from pathlib import Path

import asyncpg
import httpx
import pytest

from chaos.leaks import Scanner
from tests.e2e.test_orders import Shop, when

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


@pytest.fixture
async def shop(stack):
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield Shop(stack, client)


async def look(stack: dict, addresses: list[str], scratch: Path) -> set[str]:
    """Return the stores of ours in which an address stands, in whatever spelling and through every compression."""
    scanner, data = Scanner(addresses), stack["data_dirs"]
    await scanner.kafka(stack["kafka"])
    scanner.rocksdb(Path(data["tables"]), scratch)
    await scanner.postgres(stack["postgres"])
    for directory in (data["kafka"], data["tables"], data["s3"], stack["log_dir"]):
        scanner.files(Path(directory))
    assert scanner.looked_at > 100
    return {place for _, place in scanner.found}


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


async def bitloot(stack: dict, *words: str) -> tuple[int, str]:
    """Run a command as whoever runs the installation."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "admin_api.cli", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"],
            "BITLOOT_ADMIN_URL": stack["admin_url"],
            "BITLOOT_TOKEN": stack["admin_token"],
            "DATABASE_URL": stack["postgres"],
            "KAFKA_BOOTSTRAP_SERVERS": stack["kafka"],
            "COLUMNS": "200",
        },
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def delivered(shop: Shop, address: str) -> dict:
    """Place and pay an order, until its keys are delivered and the mail provider has told so."""
    answer = await shop.client.post(
        f"{shop.stack['ingress_url']}/orders",
        headers={"Authorization": f"Bearer {shop.stack['shop_token']}", "Idempotency-Key": uuid.uuid4().hex},
        json={
            "email": address,
            "currency": "eur",
            "items": [{"productId": "alpha", "title": "Game", "quantity": 1, "unitPrice": "12.50"}],
        },
    )
    placed = answer.raise_for_status().json()
    await shop.pay(placed["orderId"])
    await shop.until(placed["statusUrl"], "fulfilled")
    return placed


async def test_an_erased_buyer_is_nowhere(stack, shop, tmp_path):
    label = uuid.uuid4().hex[:12]
    # The sandbox's mail provider tells of mails to these, and names them.
    address, other = f"delivered+{label}@resend.dev", f"delivered+other{label}@resend.dev"
    placed = await delivered(shop, address)
    kept = await delivered(shop, f"kept.{label}@example.com")
    order = placed["orderId"]
    # Another address is asked for, so that more than one kind of record carries one.
    asked = await shop.client.post(f"{placed['statusUrl']}/email", data={"email": other})
    assert asked.status_code == 202
    connection = await asyncpg.connect(stack["postgres"])
    try:
        await when(connection, "select 1 from emails where recipient = $1 and accepted_at is not null", other)
        logged = "select 1 from webhook_logs where order_id = $1 and provider = 'resend'"
        await when(connection, logged, order)
    finally:
        await connection.close()

    before = await look(stack, [address, other], _made(tmp_path / "before"))
    assert before == {"postgres public.orders", "postgres public.emails"}, "plain where it can be deleted, else sealed"

    code, told = await bitloot(stack, "orders", "erase", "--address", address, "--reason", "asked for", "--yes")
    assert (code, "what was sealed does not open any more" in told) == (0, True), told
    assert await look(stack, [address, other], _made(tmp_path / "after")) == set()

    status = (await shop.client.get(f"{placed['statusUrl']}/status")).json()
    assert (status["revealable"], status["mailedTo"]) == (True, None)
    again = await shop.client.post(f"{placed['statusUrl']}/mail")
    assert (again.status_code, "was erased" in again.text) == (409, True)
    assert len(await shop.mails(address)) == 1
    found = (await shop.admin(f"orders/{kept['orderId']}"))["email"]
    assert found == f"kept.{label}@example.com", "another buyer's stays"


async def test_the_proof_tells_where_an_address_still_stands(stack, shop):
    address = f"stays.{uuid.uuid4().hex[:12]}@example.com"
    placed = await delivered(shop, address)

    code, told = await bitloot(stack, "orders", "prove-erased", placed["orderId"], "--address", address)

    assert code == 1
    assert f"FOUND at id {placed['orderId']}" in told
    assert "sealed texts STILL OPEN" in told
