"""What changes shows by itself: by a stream of notices, and by asking now and then while there is none."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime

import pytest

from admin_api.api.live import Live
from bitloot.contracts.state import OrderStatus
from embedded.ports import free_port
from tests.integration.admin_api.api import Api, serve_api
from tests.integration.admin_ui.desk import BUILT, Desk, complaint_of, open_desk
from tests.integration.delivery.browser import CHROMIUM
from tests.unit.admin_api import records

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not BUILT, reason="the desk is not built: make ui"),
]

AS_OF = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def stream(database: str) -> Live:
    return Live(database)


@pytest.fixture
async def watched(database: str, stream: Live) -> AsyncIterator[Api]:
    """The API with its stream, which tells what the sink writes."""
    listening = asyncio.create_task(stream.run())
    async with serve_api(database, live=stream, fresh_as_of=lambda: AS_OF) as api:
        yield api
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


async def questions(desk: Desk, path: str) -> int:
    """Return how often the page has asked for something so far."""
    found = (
        f"performance.getEntriesByType('resource').filter((each) => new URL(each.name).pathname === '{path}').length"
    )
    return int(await desk.tab.js(found))


async def test_an_order_and_a_list_change_without_a_click(watched: Api):
    await watched.seed(watched.ports.topics.state, records.snapshot(1))
    async with open_desk(watched) as desk:
        await desk.go(f"/orders/{records.order(1)}")
        await desk.see("fulfilled", within="h1")
        await desk.see("Live", within="header")
        changed = records.snapshot(1, status=OrderStatus.NEEDS_REVIEW, version=99)
        await watched.seed(watched.ports.topics.state, changed)
        await desk.see("needs review", within="h1")
        await desk.picture("order-live")

        await desk.go("/orders")
        await desk.see("Live", within="header")
        await watched.seed(watched.ports.topics.state, records.snapshot(2))
        await desk.see(records.order(2)[:8], within="tbody")
        await desk.see("All that had happened by 01 Jan, 13:30:00")
        hover = await desk.tab.js("document.querySelector('.fresh time').title")
        assert hover.startswith("2026-01-01 12:30:00 UTC")


async def test_a_thousand_notices_are_few_questions(watched: Api, stream: Live):
    async with open_desk(watched) as desk:
        await desk.go("/orders")
        await desk.see("Live", within="header")
        before = await questions(desk, "/admin/orders")
        for number in range(1000):
            stream.tell(json.dumps({"kind": "order", "ids": [str(number)]}))
        await watched.seed(watched.ports.topics.state, records.snapshot(1))
        await desk.see(records.order(1)[:8], within="main")
        # One at once and one every two seconds, however long this took: far from a thousand.
        assert await questions(desk, "/admin/orders") - before < 50


async def test_without_a_stream_the_desk_asks_now_and_then(api: Api):
    async with open_desk(api) as desk:
        await desk.go("/orders")
        await desk.see("Polling", within="header")
        await api.seed(api.ports.topics.state, records.snapshot(1))
        await desk.see(records.order(1)[:8], within="main")


async def test_nothing_found_is_known_only_as_far_as_the_read_model_is(watched: Api):
    async with open_desk(watched) as desk:
        await desk.go("/orders?q=nobody")
        await desk.see("Nothing fits these filters.")
        await desk.see("All that had happened by 01 Jan, 13:30:00")
        await desk.picture("nothing-fits")


async def test_nothing_found_is_not_known_where_the_read_model_may_be_behind(api: Api):
    async with open_desk(api) as desk:
        await desk.go("/orders?q=nobody")
        await desk.see("Nothing was found so far.")
        await desk.see("How far the read model has come is not known")


async def test_a_server_that_begins_anew_is_followed_again_and_what_was_missed_is_read(api: Api, database: str):
    port = free_port()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(serve_api(database, live=Live(database), port=port))
        desk = await stack.enter_async_context(open_desk(first))
        await desk.go("/orders")
        await desk.see("Live", within="header")
        await first.client.close()
        await desk.see("Polling", within="header")
        await api.seed(api.ports.topics.state, records.snapshot(1))
        stream = Live(database)
        listening = asyncio.create_task(stream.run())
        stack.callback(listening.cancel)
        await stack.enter_async_context(serve_api(database, live=stream, port=port))
        await desk.see("Live", within="header")
        await desk.see(records.order(1)[:8], within="main")
        await api.seed(api.ports.topics.state, records.snapshot(2))
        await desk.see(records.order(2)[:8], within="main")
        complaint_of(desk.tab, "ERR_")


async def test_a_hidden_page_asks_nothing_and_catches_up_when_it_is_seen_again(watched: Api):
    async with open_desk(watched) as desk:
        await desk.go("/orders")
        await desk.see("Live", within="header")
        await desk.tab.call("Runtime.evaluate", expression="window.open('about:blank'); true", userGesture=True)
        await desk.tab.wait("document.hidden")
        await desk.see("Polling", within="header")
        asked = await questions(desk, "/admin/orders")
        await watched.seed(watched.ports.topics.state, records.snapshot(1))
        assert await questions(desk, "/admin/orders") == asked
        await desk.tab.call("Page.bringToFront")
        await desk.tab.wait("!document.hidden")
        await desk.see(records.order(1)[:8], within="main")
        await desk.see("Live", within="header")
