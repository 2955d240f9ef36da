"""Every page of the desk, in a real browser on a real API: it shows what is there, and axe finds nothing wrong."""

import pytest

from tests.integration.admin_api.api import Api
from tests.integration.admin_ui.desk import AXE, BUILT, COLORS, open_desk
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
    "mails": ("/mails", "No mail has been rendered yet."),
    "settings": ("/settings", "a secret, set"),
    "actions": ("/actions", "Nobody has asked for anything yet."),
    "audit": ("/audit", "Nobody has done anything yet."),
    "replays": ("/dead-letters/replays", "Nothing has been replayed in bulk yet."),
    "unknown": ("/nowhere", "There is no such page."),
    "stock": ("/stock", "No codes have been imported yet."),
}


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_every_page_shows_its_rows_and_axe_finds_nothing_in_light_and_dark(api: Api, part: int):
    await seed_day(api)
    found: dict[str, list[str]] = {}
    async with open_desk(api) as desk:
        for name, (path, text) in list(PAGES.items())[part::3]:
            await desk.go(path)
            await desk.see(text)
            for theme in ("light", "dark"):
                await desk.theme(theme)
                await desk.picture(f"{name}-{theme}")
                if broken := await desk.violations(*([COLORS] if theme == "dark" else [])):
                    found[f"{name}-{theme}"] = broken
    assert found == {}
