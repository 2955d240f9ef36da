"""Somebody has a code: the desk leads to its order, and the code is nowhere but in the body of that one question."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bitloot.code_hashes import CodeHasher, generate_key
from bitloot.contracts.events import LineCodes
from bitloot.sealing import Sealer, generate_key_pair
from tests.integration.admin_api.api import Api, serve_api
from tests.integration.admin_ui.desk import AXE, BUILT, Desk, complaint_of, open_desk
from tests.integration.delivery.browser import CHROMIUM
from tests.unit.admin_api import records

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not BUILT or not AXE.is_file(), reason="the desk is not built: make ui"),
]

KEY = generate_key("new")
CODES = {1: "AAAAA-BBBBB-CCCC1", 2: "DDDDD-EEEEE-FFFF2", 3: "GGGGG-HHHHH-CCCC1"}


@pytest.fixture
async def coded(database: str) -> AsyncIterator[Api]:
    """Orders 1 to 3, each with a code; 1 and 3 have codes that end alike."""
    async with serve_api(database, hasher=CodeHasher([KEY])) as api:
        await api.seed(api.ports.topics.state, *(records.snapshot(number) for number in CODES))
        await api.seed(api.ports.topics.events, *(received(number) for number in CODES))
        yield api


def received(number: int) -> Any:
    sealed = Sealer(generate_key_pair("k1").public, CodeHasher([KEY])).seal(CODES[number])
    event = records.codes_received(number)
    return event.model_copy(update={"lines": (LineCodes(item_id=event.lines[0].item_id, codes=(sealed,)),)})


async def traces(desk: Desk, code: str) -> str:
    """Return all that a browser keeps or tells of what was done: addresses, storage, history."""
    kept = await desk.tab.js("""JSON.stringify([
        location.href, history.state, {...localStorage}, {...sessionStorage},
        performance.getEntriesByType('resource').map((each) => each.name),
        performance.getEntriesByType('navigation').map((each) => each.name)])""")
    history = await desk.tab.call("Page.getNavigationHistory")
    whole = f"{kept} {json.dumps(history)} {desk.tab.complaints}".lower()
    return ", ".join(part for part in code.lower().split("-") if part in whole)


async def search(desk: Desk, code: str) -> None:
    """Search by keys alone, from any page."""
    await desk.key("g")
    await desk.key("c")
    await desk.see("Find an order by a code")
    await desk.type(code)
    await desk.key("Enter")


async def test_a_pasted_code_leads_to_its_order_and_leaves_no_trace(coded: Api, capsys: pytest.CaptureFixture[str]):
    async with open_desk(coded) as desk:
        await desk.go("/")
        await desk.key("k", control=True)
        await desk.see("Find or go to")
        await desk.type(CODES[2])
        await desk.see("Find the order that has this code")
        assert "All orders with" not in await desk.text()
        await desk.key("Enter")
        await desk.tab.wait(f"location.pathname === '/orders/{records.order(2)}'")
        await desk.see(records.order(2)[:8], within="h1")
        await desk.tab.wait("document.querySelector('[role=dialog]') === null")
        assert await traces(desk, CODES[2]) == ""
    assert not any(part in capsys.readouterr().out for part in CODES[2].split("-"))


async def test_the_end_of_a_code_leads_to_all_orders_that_it_may_be(coded: Api):
    async with open_desk(coded) as desk:
        await desk.go("/orders")
        await search(desk, "cccc1")
        await desk.see("No order has this very code. These have one with the same last five characters")
        for number in (1, 3):
            await desk.see(records.order(number), within="[role=dialog]")
        await desk.see("How far the read model has come is not known", within="[role=dialog]")
        assert await desk.violations() == []
        await desk.picture("code-search")
        await desk.click(records.order(3), within="[role=dialog]")
        await desk.tab.wait(f"location.pathname === '/orders/{records.order(3)}'")
        assert await traces(desk, "CCCC1") == ""


async def test_a_code_in_a_filter_gets_into_no_address(coded: Api):
    async with open_desk(coded) as desk:
        await desk.go("/orders")
        await desk.focus("Mail address or any id")
        await desk.type(CODES[1])
        await desk.see("A code? Find its order")
        assert await desk.violations() == []
        await desk.key("Enter")
        await desk.tab.wait(f"location.pathname === '/orders/{records.order(1)}'")
        assert await traces(desk, CODES[1]) == ""


async def test_nothing_found_is_said_with_how_far_was_searched(coded: Api):
    async with open_desk(coded) as desk:
        await desk.go("/")
        await search(desk, "ZZZZZ-ZZZZZ-ZZZZZ")
        await desk.see("Nothing was found.", within="[role=dialog]")
        await desk.see("How far the read model has come is not known", within="[role=dialog]")
        await desk.picture("code-search-nothing")
        assert await desk.violations() == []


async def test_a_search_that_is_not_set_up_says_so(api: Api):
    async with open_desk(api) as desk:
        await desk.go("/")
        await search(desk, "ZZZZZ-ZZZZZ-ZZZZZ")
        await desk.see("The search by code is not set up.", within="[role=dialog]")
        assert complaint_of(desk.tab, "409")
