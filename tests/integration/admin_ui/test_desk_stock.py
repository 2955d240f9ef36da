"""Codes for sale brought in at the desk, from files as people have them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from admin_api.api.intake import MAX_BYTES, Intake
from bitloot.sealing import Sealer, generate_key_pair
from tests.integration.admin_api.api import Api, serve_api
from tests.integration.admin_ui.desk import BUILT, Desk, complaint_of, open_desk
from tests.integration.delivery.browser import CHROMIUM

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not BUILT, reason="the desk is not built: make ui"),
]


@pytest.fixture
async def selling(database: str) -> AsyncIterator[Api]:
    sealer = Sealer(generate_key_pair("stock").public)
    async with serve_api(database, intake=Intake(sealer, SecretStr("a secret of the test"))) as api:
        yield api


async def choose(desk: Desk, file: Path, content: str) -> None:
    """Choose a file in the dialog, as the browser's own window does."""
    await asyncio.to_thread(file.write_text, content)
    await desk.tab.wait("document.querySelector('[role=dialog] input[type=file]') !== null")
    found = await desk.tab.call(
        "Runtime.evaluate", expression="document.querySelector('[role=dialog] input[type=file]')"
    )
    await desk.tab.call("DOM.setFileInputFiles", files=[str(file)], objectId=found["result"]["objectId"])


async def begin(desk: Desk, product: str) -> None:
    await desk.click("Import codes…")
    await desk.focus("Product", within="[role=dialog]")
    await desk.type(product)


async def test_codes_that_are_there_already_are_left_out_and_named_by_their_lines(selling: Api, tmp_path: Path):
    async with open_desk(selling) as desk:
        await desk.go("/stock")
        await begin(desk, "game-1")
        await choose(desk, tmp_path / "first.csv", "code,note\nAAAA-1,x\nBBBB-2,y\n")
        await desk.click("Import", within="[role=dialog]")
        await desk.see("Done: 2 of 2 codes were taken.", within="[role=dialog]")
        await desk.click("Close", within="[role=dialog]")
        await desk.see("game-1", within="tbody")

        await begin(desk, "game-1")
        await choose(desk, tmp_path / "second.csv", "code\nCCCC-3\nBBBB-2\nCCCC-3\n")
        await desk.click("Import", within="[role=dialog]")
        await desk.see("Done: 1 of 3 codes were taken.", within="[role=dialog]")
        await desk.see("Line 3\nin the stock already", within="[role=dialog]")
        await desk.see("Line 4\ntwice in this file", within="[role=dialog]")
        assert await desk.violations() == []
        await desk.picture("stock-import")
        for code in ("AAAA-1", "BBBB-2", "CCCC-3"):
            assert code not in await desk.text()
    assert await selling.ports.pool.fetchval("select count(*) from stock_codes") == 3


async def test_one_bad_line_and_nothing_is_taken(selling: Api, tmp_path: Path):
    async with open_desk(selling) as desk:
        await desk.go("/stock")
        await begin(desk, "game-1")
        await choose(desk, tmp_path / "bad.csv", "code\nAAAA-1\nBB\u202eBB\n")
        await desk.click("Import", within="[role=dialog]")
        await desk.see("Refused: ", within="[role=dialog]")
        await desk.see("line 3", within="[role=dialog]")
        await desk.picture("stock-import-refused")
        await choose(desk, tmp_path / "bare.csv", "AAAA-1\n")
        await desk.click("Import", within="[role=dialog]")
        await desk.see("first line", within="[role=dialog]")
        assert complaint_of(desk.tab, "400")
    assert await selling.ports.pool.fetchval("select count(*) from stock_codes") == 0


async def test_a_file_that_is_too_large_is_not_even_sent(selling: Api, tmp_path: Path):
    async with open_desk(selling) as desk:
        await desk.go("/stock")
        await begin(desk, "game-1")
        await choose(desk, tmp_path / "large.csv", "code\n" + "A" * MAX_BYTES)
        await desk.see(f"The file has more than {MAX_BYTES // 1024 // 1024} MiB.", within="[role=dialog]")
        buttons = await desk.tab.js(
            "[...document.querySelectorAll('[role=dialog] button')].map((each) => each.textContent)"
        )
        assert buttons == ["Not now"]
        await choose(desk, tmp_path / "many.csv", "code\n" + "".join(f"{number}\n" for number in range(50_001)))
        await desk.click("Import", within="[role=dialog]")
        await desk.see("Refused: ", within="[role=dialog]")
        assert complaint_of(desk.tab, "413")
    assert await selling.ports.pool.fetchval("select count(*) from stock_codes") == 0
