"""Lists at the desk: from page to page by cursors, links into the middle of them, and files that the API writes."""

import csv
import io

import pytest

from admin_api.access.passwords import Passwords
from tests.integration.admin_api.api import Api
from tests.integration.admin_ui.desk import BUILT, Desk, complaint_of, open_desk
from tests.integration.delivery.browser import CHROMIUM
from tests.unit.admin_api import records

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not BUILT, reason="the desk is not built: make ui"),
]

SHOWN = 50
ROWS = "[...document.querySelectorAll('tbody tr')].map((each) => each.dataset.row)"


async def seed_orders(api: Api, first: int, last: int) -> list[str]:
    """Write orders; return their ids, newest first."""
    await api.seed(api.ports.topics.state, *(records.snapshot(number) for number in range(first, last + 1)))
    return [str(records.order(number)) for number in range(last, first - 1, -1)]


async def shows(desk: Desk, rows: list[str]) -> None:
    await desk.tab.wait(f"JSON.stringify({ROWS}) === {str(rows)!r}.replaceAll(\"'\", '\"').replaceAll(' ', '')")


async def test_rows_that_come_meanwhile_shift_no_page_and_links_lead_to_the_same_rows(api: Api):
    orders = await seed_orders(api, 1, 120)
    async with open_desk(api) as desk:
        await desk.go("/orders")
        await shows(desk, orders[:SHOWN])
        await desk.see("50 of 120", within=".pager")
        newer = await seed_orders(api, 201, 203)
        await desk.click("Next →", within=".pager")
        await shows(desk, orders[SHOWN : 2 * SHOWN])
        await desk.see("50 of 123", within=".pager")
        assert await desk.violations() == []
        await desk.picture("orders-second-page")
        link = await desk.tab.js("location.pathname + location.search")
        assert "cursor=" in link

        await desk.click("Next →", within=".pager")
        await shows(desk, orders[2 * SHOWN :])
        await desk.tab.js("history.back(); true")
        await shows(desk, orders[SHOWN : 2 * SHOWN])
        await desk.click("← Previous", within=".pager")
        await shows(desk, orders[:SHOWN])
        await desk.click("← Previous", within=".pager")
        await shows(desk, [*newer, *orders][:SHOWN])
        await desk.tab.wait("document.querySelector('.pager button').disabled")

        await desk.go("/payments")
        await desk.go(link)  # as somebody who was sent it
        await shows(desk, orders[SHOWN : 2 * SHOWN])
        await desk.choose("Status", "fulfilled")
        await desk.tab.wait("location.search === '?status=fulfilled'")


async def test_a_link_with_an_offset_still_leads_there_and_on_from_there(api: Api):
    orders = await seed_orders(api, 1, 120)
    async with open_desk(api) as desk:
        await desk.go("/orders?offset=60")
        await shows(desk, orders[60:110])
        await desk.click("← Previous", within=".pager")
        await shows(desk, orders[10:60])
        await desk.click("To the first", within=".pager")
        await shows(desk, orders[:SHOWN])
        await desk.tab.wait("location.search === ''")


async def test_a_place_that_is_not_there_any_more_says_so_and_leads_to_the_first_page(api: Api):
    orders = await seed_orders(api, 1, 3)
    async with open_desk(api) as desk:
        await desk.go("/orders?cursor=WyJ4Il0.AAAAAAAAAAAAAAAAAAAAAA")
        await desk.see("This place in the list is not there any more.")
        assert complaint_of(desk.tab, "400")
        await desk.click("To the first page")
        await shows(desk, orders)
        await desk.go("/orders?offset=50")
        await desk.see("This place in the list is not there any more.")


async def saved(desk: Desk, number: int) -> list[dict[str, str]]:
    await desk.tab.wait(f"window.saved.length === {number}")
    return list(csv.DictReader(io.StringIO(await desk.tab.js(f"window.saved[{number - 1}]"))))


async def test_people_get_files_masked_and_unmasked_ones_for_a_reason(api: Api):
    await seed_orders(api, 1, 3)
    await api.ports.pool.execute(
        "insert into admin_accounts (name, password_hash, roles) values ('olga', $1, '{operator}')",
        Passwords().hash("a long enough password"),
    )
    async with open_desk(api, signed_in=False) as desk:
        await desk.tab.open(f"{desk.url}/orders")
        await desk.sign_in("olga", "a long enough password")
        await desk.see("3 of 3", within=".pager")
        await desk.tab.js(
            "window.saved = []; URL.createObjectURL = (blob) => { blob.text().then((text) => window.saved.push(text)); return 'blob:nothing'; }; true"
        )
        await desk.click("CSV")
        assert [row["email"] for row in await saved(desk, 1)] == ["b***@example.test"] * 3
        await desk.click("Unmasked CSV…")
        await desk.focus("Reason")
        await desk.type("A recall of one product")
        assert await desk.violations() == []
        await desk.picture("unmasked-csv")
        await desk.click("Save", within="[role=dialog]")
        await desk.see("Done: Saved, ", within="[role=dialog]")
        assert [row["email"] for row in await saved(desk, 2)] == [f"buyer{number}@example.test" for number in (3, 2, 1)]
        complaint_of(desk.tab, "blob:")
        complaint_of(desk.tab, "401")
    entries = (await api.page("/admin/audit", action="listOrdersAsUnmaskedCsv"))["items"]
    assert [(each["actor"], each["result"], each["reason"]) for each in entries] == [
        ("olga", "done", "A recall of one product"),
        ("olga", "asked", "A recall of one product"),
    ]
