"""The desk below a path, served by two replicas: who signs in at one is known to the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from pydantic import SecretStr

from admin_api.access.passwords import Passwords
from admin_api.access.rights import Role
from admin_api.access.sql import SQL
from admin_api.api.app import build
from admin_api.api.live import Live
from admin_api.api.ports import Ports
from admin_api.settings import ApiSettings
from admin_api.sink.source import Topics
from bitloot.health import Health
from bitloot.http import serve_until
from bitloot.ledger import open_pool
from tests.integration.admin_api.api import TOKEN, Api, NoKafka
from tests.integration.admin_ui.desk import BUILT, Desk
from tests.integration.delivery.browser import CHROMIUM, browser_tab
from tests.unit.admin_api import records

PASSWORD = "correct horse battery"


@asynccontextmanager
async def replica(database: str) -> AsyncIterator[str]:
    """Serve the desk at a port of its own as its process does; gives its address."""
    settings = ApiSettings(
        kafka_bootstrap_servers="127.0.0.1:1",
        database_url=SecretStr(database),
        admin_token=(SecretStr(TOKEN),),
        base_path="/shop/desk",
    )
    live = Live(database)
    async with open_pool(database, max_size=4) as pool:
        kafka = NoKafka()
        ports = Ports(pool=pool, publisher=kafka, originals=kafka, topics=Topics(), replayable={}, live=live.events)
        stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
        listening = asyncio.create_task(live.run())
        app = build(settings, ports, Health(), None, live)
        serving = asyncio.create_task(
            serve_until(stop, app, "127.0.0.1", 0, base_path=settings.base_path, on_listening=port.set_result)
        )
        yield f"http://127.0.0.1:{await port}"
        stop.set()
        await serving
        listening.cancel()


@pytest.fixture
async def replicas(database: str) -> AsyncIterator[list[str]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(replica(database)) for _ in range(2)]


@pytest.fixture
async def ada(api: Api) -> None:
    """An account, and an order to look at."""
    await api.ports.pool.execute(SQL["store_account"], "ada", Passwords().hash(PASSWORD), [Role.SUPPORT])
    await api.seed(api.ports.topics.state, records.snapshot(1))


async def test_a_session_of_one_replica_is_one_of_the_other(replicas: list[str], ada: None):
    jar = aiohttp.CookieJar(unsafe=True)  # of an address without a name
    one, other = (f"{each}/shop/desk/admin" for each in replicas)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        signed_in = await session.post(f"{one}/session", json={"username": "ada", "password": PASSWORD})
        token = (await signed_in.json())["csrfToken"]
        assert (await session.get(f"{other}/orders")).status == 200
        async with session.get(f"{other}/live") as live:
            assert (live.status, live.content_type) == (200, "text/event-stream")
        assert (await session.delete(f"{other}/session", headers={"X-CSRF-Token": token})).status == 204
        assert (await session.get(f"{one}/orders")).status == 401


async def test_only_the_probes_are_beside_the_path(replicas: list[str]):
    async with aiohttp.ClientSession() as session:
        for path, status in (
            ("/shop/desk", 301),
            ("/shop/desk/", 200),
            ("/shop/desk/orders/1", 200),
            ("/shop/desk/docs", 200),
            ("/shop/desk/openapi.json", 200),
            ("/shop/desk/admin/orders", 401),
            ("/healthz", 200),
            ("/", 404),
            ("/openapi.json", 404),
            ("/admin/orders", 404),
        ):
            async with session.get(replicas[0] + path, allow_redirects=False) as answer:
                assert answer.status == status, path


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.skipif(not BUILT, reason="the desk is not built: make ui")
async def test_the_desk_works_below_a_path_whichever_replica_answers(replicas: list[str], ada: None):
    async with browser_tab() as tab:
        one, other = (Desk(tab, f"{each}/shop/desk") for each in replicas)
        await one.go("/")
        await one.sign_in("ada", PASSWORD)
        await one.see("Overview")
        await one.click("Orders", "nav")
        await one.see(records.order(1)[:8])
        assert await tab.js("location.pathname") == "/shop/desk/orders"
        assert await tab.js("document.querySelector('img').naturalWidth > 0"), "its files come from below the path"

        await other.go(f"/orders/{records.order(1)}")  # a deep link, at the other one
        await other.see(records.order(1))
        assert [each for each in tab.complaints if "401" not in each] == []

        await tab.open(f"{replicas[1]}/shop/desk/docs")
        await tab.wait("document.querySelectorAll('section details').length > 60")
        assert await tab.js("document.getElementById('about').textContent.includes('could not')") is False
        await tab.js("document.getElementById('showSession').querySelector('form').requestSubmit()")
        await tab.wait("document.querySelector('#showSession pre').textContent.startsWith('200')")
