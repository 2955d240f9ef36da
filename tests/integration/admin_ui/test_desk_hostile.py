"""Hostile payloads in everything that comes from outside: the desk shows them, and runs none."""

import html
import json
from datetime import timedelta

import pytest

from bitloot.contracts.state import OrderStatus, Review
from tests.integration.admin_api.api import Api
from tests.integration.admin_ui.desk import BUILT, open_desk
from tests.integration.admin_ui.hostile import MARK, PAYLOADS
from tests.integration.admin_ui.seeds import NOW, snapshot
from tests.integration.delivery.browser import CHROMIUM
from tests.unit.admin_api import records

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not BUILT, reason="the desk is not built: make ui"),
]


async def _seed(api: Api) -> None:
    """Put each payload into one field at least of something that a page shows."""
    topics = api.ports.topics
    orders = []
    for number, payload in enumerate(PAYLOADS, 1):
        base = snapshot(number)
        item = base.items[0].model_copy(update={"title": payload})
        orders.append(
            base.model_copy(
                update={
                    "status": OrderStatus.NEEDS_REVIEW,
                    "email": records.address(number, payload[:250]),
                    "items": (item,),
                    "pay_url": payload,
                    "invoice_id": payload,
                    "review": Review(cause=payload[:60], detail=payload, since=NOW),
                }
            )
        )
    await api.seed(topics.state, *orders)
    await api.seed(
        topics.webhooks,
        *(
            records.webhook(
                number,
                occurred_at=NOW - timedelta(seconds=number),
                event_type=payload[:100],
                external_id=f"{number} {payload}"[:100],
                body=json.dumps({payload: payload, "list": [payload]}) if number % 2 else payload,
                headers={"x-header": payload},
                note=payload,
                remote_address=payload[:45],
            )
            for number, payload in enumerate(PAYLOADS, 1)
        ),
    )
    await api.seed(
        topics.dead_letters,
        *(
            records.letter(
                number,
                occurred_at=NOW - timedelta(seconds=number),
                reason=payload[:60],
                error=payload,
                stack=payload,
                consumer=payload[:60],
            )
            for number, payload in enumerate(PAYLOADS, 1)
        ),
    )


async def test_500_hostile_payloads_are_shown_and_none_runs(api: Api):
    assert len(set(PAYLOADS)) == 500
    await _seed(api)
    seen: set[str] = set()
    async with open_desk(api) as desk:
        await desk.tab.call("Page.setInterceptFileChooserDialog", enabled=True)
        for page in ("orders", "reviews", "webhook-logs", "dead-letters"):
            for offset in range(0, 500, 50):
                await desk.go(f"/{page}?offset={offset}")
                rows = await desk.tab.js("document.querySelectorAll('tbody tr').length")
                assert rows == 50, (page, offset, rows, await desk.text())
                seen |= {text for text in await desk.tab.js(_TEXTS) if MARK in text}
                assert await desk.tab.js(_OWNED) == []
        for path in (
            f"/orders/{records.order(12)}",
            f"/orders/{records.order(13)}",
            *[await _first(api, "/admin/webhook-logs"), await _first(api, "/admin/dead-letters")],
        ):
            await desk.go(path)
            assert await desk.tab.js(_OWNED) == []
        # As filters, in the address and in the palette.
        await desk.tab.open(f"{desk.url}/orders?q=%3Cscript%3Ewindow.{MARK}%3D1%3C/script%3Enobody&offset=-1&nothing=1")
        await desk.see("Nothing was found so far.")
        await desk.key("k", control=True)
        await desk.see("Find or go to")
        await desk.type(f"<img src=x onerror=window.{MARK}=1>nobody")
        await desk.see("Nothing was found so far.", within=".palette")
        assert await desk.tab.js(_OWNED) == []
    whole = "\n".join(seen)
    missing = [payload for payload in PAYLOADS if " ".join(payload.split())[:40] not in " ".join(whole.split())]
    assert missing == [], html.escape(str(missing[:5]))


async def _first(api: Api, path: str) -> str:
    (found,) = await api.ids(path, limit=1)
    return f"{path.removeprefix('/admin')}/{found}"


_TEXTS = "[...document.querySelectorAll('td')].map((cell) => cell.textContent)"

# Nothing of theirs has run, and nothing that could run, load or lead elsewhere has come into the page.
_OWNED = f"""[
    ...('{MARK}' in window ? ['ran'] : []),
    ...[...document.querySelectorAll('script:not([src^="/assets/"]), iframe, object, embed, base, form[action], link[href^="data:"], meta[http-equiv], style, svg, video, audio, math, template')].map((each) => each.outerHTML),
    ...[...document.querySelectorAll('*')].flatMap((each) => [...each.attributes]).filter((each) => each.name.startsWith('on')).map((each) => each.name),
    ...[...document.querySelectorAll('a')].map((each) => each.href).filter((href) => !href.startsWith('http://127.0.0.1') && !href.startsWith('https://')),
    ...[...document.images].map((each) => each.getAttribute('src')).filter((src) => src !== '/icon.svg'),
]"""
