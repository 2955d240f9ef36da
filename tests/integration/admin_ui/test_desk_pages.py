"""Every page of the desk, in a real browser on a real API: it shows what is there, and axe finds nothing wrong."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.admin_api.api import Api, serve_api
from tests.integration.admin_ui.desk import AXE, BUILT, open_desk
from tests.integration.admin_ui.seeds import WAITING, seed_day
from tests.integration.delivery.browser import CHROMIUM

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not BUILT or not AXE.is_file(), reason="the desk is not built: make ui"),
]

PAGES = {
    "overview": ("/", "Overview"),
    "orders": ("/orders", "@example.test"),
    "order": (f"/orders/{WAITING}", "Waits for you: out of stock"),
    "reviews": ("/reviews", "insufficient balance"),
    "payments": ("/payments", "accepted"),
    "reservations": ("/reservations", "res-1"),
    "webhook-logs": ("/webhook-logs", "kinguin · delivered"),
    "dead-letters": ("/dead-letters", "bad record"),
    "stock": ("/stock", "No codes have been imported yet."),
}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serve_api(database) as api:
        yield api


async def test_every_page_shows_its_rows_and_axe_finds_nothing_in_light_and_dark(api: Api):
    await seed_day(api)
    found: dict[str, list[str]] = {}
    async with open_desk(api) as desk:
        for name, (path, text) in PAGES.items():
            await desk.go(path)
            await desk.see(text)
            for theme in ("light", "dark"):
                await desk.theme(theme)
                await desk.picture(f"{name}-{theme}")
                if broken := await desk.violations():
                    found[f"{name}-{theme}"] = broken
    assert found == {}
