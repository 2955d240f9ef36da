"""A day of selling on Kinguin through the whole system, with workers that die: no code is used twice."""

import asyncio
import contextlib
import json
import os
import signal
import uuid
from collections import Counter
from pathlib import Path

import httpx
import pytest

from chaos.leaks import scan

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

RESERVATIONS = 500
CODES = 540
_SECONDS = 240


class Seller:
    """An admin of the shop, and Kinguin's customers."""

    def __init__(self, stack: dict, client: httpx.AsyncClient) -> None:
        self.stack = stack
        self.client = client
        self.product = f"game-{uuid.uuid4().hex[:8]}"

    async def sandbox(self, method: str, path: str, **options):
        answer = await self.client.request(method, self.stack["sandbox_url"] + path, **options)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def admin(self, method: str, path: str, **options):
        headers = {"Authorization": f"Bearer {self.stack['admin_token']}", **options.pop("headers", {})}
        answer = await self.client.request(method, self.stack["admin_url"] + path, headers=headers, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def stock(self) -> dict:
        (found,) = (await self.admin("GET", "/admin/stock", params={"productId": self.product}))["items"]
        return found

    async def offer(self) -> str:
        # Kinguin's API, with the account that the stack has made for itself.
        settings = json.loads((Path(self.stack["log_dir"]).parent / "environment.json").read_text())
        form = {
            "grant_type": "client_credentials",
            "client_id": settings["KINGUIN_SELLER_CLIENT_ID"],
            "client_secret": settings["KINGUIN_SELLER_CLIENT_SECRET"],
        }
        token = (await self.client.post(settings["KINGUIN_SELLER_AUTH_URL"], data=form)).json()["access_token"]
        answer = await self.client.post(
            settings["KINGUIN_SELLER_BASE_URL"] + "/offers",
            headers={"Authorization": f"Bearer {token}"},
            json={"productId": self.product, "price": {"amount": 999, "currency": "EUR"}},
        )
        return answer.json()["id"]

    async def sales(self, offer: str) -> list[dict]:
        found = (await self.sandbox("GET", "/_ledger", params={"parts": "sales"}))["sales"]
        return [each for each in found if each["offerId"] == offer]

    async def until(self, condition, seconds: float = _SECONDS):
        async with asyncio.timeout(seconds):
            while not (found := await condition()):
                await asyncio.sleep(0.2)
        return found


@pytest.fixture
async def seller(stack):
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield Seller(stack, client)


def kill(stack: dict, name: str) -> None:
    facts = json.loads((Path(stack["log_dir"]).parent / "stack.json").read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(facts["pids"][name][0], signal.SIGKILL)


async def test_a_day_of_sales_uses_no_code_twice(stack, seller: Seller):
    codes = [f"KEY-{uuid.uuid4().hex.upper()}" for _ in range(CODES)]
    imported = await seller.admin(
        "POST",
        f"/admin/stock/{seller.product}/import",
        content="code\n" + "\n".join([*codes, *codes[:20]]),
        headers={"Content-Type": "text/csv"},
    )
    assert (imported["imported"], imported["inFile"]) == (CODES, 20)

    offer = await seller.offer()
    await seller.until(lambda: _declared(seller, offer, CODES), 60)

    await seller.sandbox("PUT", "/_settings", json={"webhookDuplicates": 1, "webhookShuffle": 1.5, "payDelay": 1})
    rules = [
        {"provider": "kinguin-seller", "call": "stock", "kind": kind, "probability": 0.05, "seed": seed, "delay": 15}
        for seed, kind in enumerate(("error", "error_after", "timeout_after", "malformed"))
    ]
    await seller.sandbox("PUT", "/_faults", json={"rules": rules})
    try:
        wish = {"canceled": 0.2, "returned": 0.05, "refunded": 0.05, "reversed": 0.05, "seed": 7}
        for batch in range(5):
            await seller.sandbox("POST", "/_sell", json={"offerId": offer, "count": RESERVATIONS // 5, **wish})
            await asyncio.sleep(2)
            kill(stack, "seller" if batch % 2 else "fulfillment")
        repeats = [each["reservationId"] for each in (await seller.sales(offer))[::7]]
        for reservation in repeats:  # told out of turn, at any time
            for event in ("reserve", "give", "outofstock"):
                await seller.sandbox("POST", f"/_sell/{reservation}/{event}")
        await seller.until(lambda: _ended(seller, offer))
    finally:
        await seller.sandbox("DELETE", "/_faults")
        await seller.sandbox("PUT", "/_settings", json={"webhookDuplicates": 0, "webhookShuffle": 0, "payDelay": 0})

    sales = await seller.sales(offer)
    ends = Counter(each["status"] for each in sales)
    assert sum(ends.values()) == RESERVATIONS
    assert set(ends) == {"DELIVERED", "CANCELED", "RETURNED", "REFUNDED", "REVERSED"}
    assert not any(each["late"] for each in sales)

    shown = {each["reservationId"]: {handed["code"] for handed in each["handovers"]} for each in sales}
    assert max(len(each) for each in shown.values()) == 1
    used = Counter(code for each in shown.values() for code in each)
    assert set(used.values()) == {1}
    assert used.keys() <= set(codes)
    sold = [each["code"] for each in sales if each["code"]]
    assert len(sold) == len(set(sold)) == RESERVATIONS - ends["CANCELED"]
    taken = Counter(each["reservationId"] for each in sales for handed in each["handovers"] if handed["status"] == 201)
    assert set(taken.values()) == {1}

    stock = await seller.until(lambda: _settled(seller, len(used)))
    assert stock["total"] == CODES
    assert {name: stock[name] for name in ("returned", "refunded", "reversed")} == {
        name: ends[name.upper()] for name in ("returned", "refunded", "reversed")
    }
    assert stock["delivered"] == ends["DELIVERED"]
    # A payment that was told out of turn has sent a code to a sale that was canceled: Kinguin refused it, nobody got it.
    refused = [each for each in sales if each["status"] == "CANCELED" and each["handovers"]]
    assert stock["withheld"] == len(refused)
    assert stock["free"] == CODES - len(used)
    await seller.until(lambda: _declared(seller, offer, stock["free"]), 60)
    told = await seller.admin("GET", f"/admin/offers/{offer}/problems")
    assert told["problems"] == []


async def test_no_code_of_the_stock_stands_anywhere_in_plain_text(stack, seller: Seller, tmp_path):
    codes = [f"SECRET-{uuid.uuid4().hex.upper()}" for _ in range(3)]
    await seller.admin(
        "POST",
        f"/admin/stock/{seller.product}/import",
        content="code\n" + "\n".join(codes),
        headers={"Content-Type": "text/csv"},
    )
    offer = await seller.offer()
    await seller.until(lambda: _declared(seller, offer, 3), 60)
    await seller.sandbox("POST", "/_sell", json={"offerId": offer, "count": 2})
    await seller.until(lambda: _ended(seller, offer))
    sold = {each["code"] for each in await seller.sales(offer)}
    assert sold < set(codes)

    scanner = await scan(stack, codes, tmp_path)
    assert scanner.looked_at > 100
    assert scanner.found == set()


async def _declared(seller: Seller, offer: str, count: int) -> bool:
    found = (await seller.admin("GET", "/admin/offers", params={"productId": seller.product}))["items"]
    return any((each["offerId"], each["declared"]) == (offer, count) for each in found)


async def _ended(seller: Seller, offer: str) -> bool:
    return not any(each["status"] in ("BUYING", "BOUGHT", "OUT_OF_STOCK") for each in await seller.sales(offer))


async def _settled(seller: Seller, used: int) -> dict | None:
    stock = await seller.stock()
    return stock if stock["reserved"] == stock["sent"] == 0 and stock["total"] - stock["free"] == used else None
