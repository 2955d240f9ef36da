"""The desk while answers are late, refused or away: it shows nothing of another row, forgets no click and hides no failure."""

import pytest

from tests.integration.admin_api.api import Api
from tests.integration.admin_api.read_model import ReadModel
from tests.integration.admin_ui.desk import BUILT, Desk, complaint_of, open_desk
from tests.integration.admin_ui.seeds import WAITING, snapshot
from tests.integration.delivery.browser import CHROMIUM
from tests.unit.admin_api import records

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not BUILT, reason="the desk is not built: make ui"),
]

# Between the page and the API: what an address of `away` is part of cannot be reached, `late` ones are never answered, and
# those of `refused` get this status. Lists of `estimated` are so long that nobody has counted them.
BETWEEN = """window.keys = []; window.away = []; window.late = []; window.refused = {}; window.estimated = []; {
    const real = window.fetch;
    window.fetch = (request, ...rest) => {
        const address = decodeURIComponent(request.url ?? request);
        const key = request.headers?.get('Idempotency-Key');
        if (key) window.keys.push(key);
        const status = Object.entries(window.refused).find(([part]) => address.includes(part))?.[1];
        if (status) return Promise.resolve(new Response(
            JSON.stringify({type: 'about:blank', title: 'Not now', status, detail: 'Not now.'}),
            {status, headers: {'Content-Type': 'application/problem+json'}}));
        if (window.late.some((part) => address.includes(part))) return new Promise(() => undefined);
        if (window.away.some((part) => address.includes(part))) return Promise.reject(new TypeError('away'));
        const answer = real(request, ...rest);
        if (!window.estimated.some((part) => address.includes(part))) return answer;
        return answer.then(async (page) => new Response(
            JSON.stringify({...await page.json(), total: 12345, totalExact: false}),
            {headers: {'Content-Type': 'application/json'}}));
    };
} true"""


async def watch(desk: Desk) -> None:
    await desk.tab.call("Page.addScriptToEvaluateOnNewDocument", source=BETWEEN)


async def find(desk: Desk, text: str) -> None:
    """Look for an order in the palette, and open the first one found."""
    await desk.key("k", control=True)
    await desk.see("Find or go to")
    await desk.type(text)
    await desk.see(text[:8], within="[role=listbox] [role=option] code")
    await desk.key("Enter")
    await desk.tab.wait(f"document.querySelector('h1 code')?.textContent === '{text[:8]}'")


async def test_what_became_of_a_click_is_not_shown_at_another_order(api: Api):
    other = snapshot(8)
    await api.seed(api.ports.topics.state, snapshot(7), other)
    async with open_desk(api) as desk:
        await desk.go(f"/orders/{other.order_id}")
        await desk.see("Reprocess")
        await find(desk, str(WAITING))
        await desk.click("Reprocess")
        await desk.see("No answer came")
        await find(desk, str(other.order_id))  # which is known already, so shown at once
        assert "No answer came" not in await desk.text()
        complaint_of(desk.tab, "503")


async def test_a_click_without_an_answer_is_not_forgotten_while_the_api_is_away(api: Api):
    await api.seed(api.ports.topics.state, snapshot(7))
    async with open_desk(api) as desk:
        await watch(desk)
        await desk.go(f"/orders/{WAITING}")
        await desk.see("Reprocess")
        await desk.tab.js("window.away = ['/admin/']; true")
        await desk.click("Reprocess")
        await desk.see("The admin API cannot be reached.")
        await desk.see("No answer came", within=".actions")
        await desk.tab.js("window.away = []; true")
        await desk.click("Reprocess")
        await desk.tab.wait("window.keys.length >= 2")
        first, second = (await desk.tab.js("window.keys"))[:2]
        assert first == second
        complaint_of(desk.tab, "503")


async def test_what_was_accepted_is_not_called_refused_because_nobody_could_ask_how_it_is(live: Api, model: ReadModel):
    await live.seed(live.ports.topics.state, snapshot(7))
    async with open_desk(live) as desk:
        await watch(desk)
        await desk.go(f"/orders/{WAITING}")
        await desk.see("Reprocess")
        await desk.tab.js("window.refused = {'/admin/actions/': 429}; true")
        await desk.click("Reprocess")
        await desk.see("Not now.", within=".action-result")
        assert "Refused" not in await desk.tab.js("document.querySelector('.action-result').innerText")
        await desk.click("Reprocess")
        await desk.tab.wait("window.keys.length >= 2")
        assert len(set(await desk.tab.js("window.keys"))) == 1
    assert await model.connection.fetchval("select count(*) from admin_actions") == 1


async def test_enter_never_opens_what_was_found_for_another_text(api: Api):
    await api.seed(api.ports.topics.state, records.snapshot(1), records.snapshot(2))
    async with open_desk(api) as desk:
        await watch(desk)
        await desk.go("/settings")
        await desk.tab.js("window.late = ['q=buyer2']; true")
        await desk.key("k", control=True)
        await desk.see("Find or go to")
        await desk.type("buyer1@example.test")
        await desk.see("buyer1@example.test", within="[role=listbox] [role=option] code + *, [role=listbox]")
        await desk.see(str(records.order(1))[:8], within="[role=listbox]")
        await desk.tab.js("document.activeElement.select(); true")
        await desk.type("buyer2@example.test")
        await desk.see("Searching", within=".palette")
        await desk.key("Enter")
        await desk.tab.wait("location.pathname !== '/settings'")
        assert (
            await desk.tab.js("location.pathname + decodeURIComponent(location.search)")
            == "/orders?q=buyer2@example.test"
        )


async def test_what_is_being_typed_is_not_taken_back_by_the_search_for_it(api: Api):
    await api.seed(api.ports.topics.state, records.snapshot(1))
    async with open_desk(api) as desk:
        await desk.go("/orders")
        await desk.focus("Mail address")
        await desk.type("game ")
        await desk.tab.wait("location.search === '?q=game'")
        await desk.settled()
        await desk.type("over ")
        await desk.key("Enter")
        await desk.tab.wait("location.search === '?q=game+over'")
        await desk.settled()
        assert await desk.tab.js("document.activeElement.value") == "game over "
        await desk.click("Clear")
        await desk.tab.wait("document.querySelector('input[data-first=true]').value === ''")
        await desk.tab.wait("location.search === ''")


async def test_an_api_that_is_away_is_not_taken_for_a_place_that_is_gone(api: Api):
    await api.seed(api.ports.topics.state, *(records.snapshot(number) for number in (1, 2)))
    async with open_desk(api) as desk:
        await watch(desk)
        await desk.go("/settings")
        await desk.tab.js("window.away = ['/admin/orders']; true")
        await desk.tab.js(
            "history.pushState({}, '', '/orders?offset=1'); dispatchEvent(new PopStateEvent('popstate')); true"
        )
        await desk.see("The admin API cannot be reached.")
        assert "not there any more" not in await desk.text()


async def test_a_number_that_is_an_estimate_says_so(api: Api):
    async with open_desk(api) as desk:
        await watch(desk)
        await desk.go("/settings")
        await desk.tab.js("window.estimated = ['status=paid', 'replayed=false']; true")
        await desk.tab.js("history.pushState({}, '', '/'); dispatchEvent(new PopStateEvent('popstate')); true")
        await desk.see("about 12,345", within="a.tile[href*='status=paid']")
        await desk.see("Dead letters not replayed (about 12,345)")
        assert "about" not in await desk.tab.js("document.querySelector('a.tile[href*=awaiting]').innerText")


async def test_figures_that_cannot_be_read_say_so(api: Api):
    async with open_desk(api) as desk:
        await watch(desk)
        await desk.go("/settings")
        await desk.tab.js(
            "window.refused = {'/admin/balances': 403, '/admin/metrics/': 403, '/admin/stock': 403}; true"
        )
        await desk.tab.js("history.pushState({}, '', '/'); dispatchEvent(new PopStateEvent('popstate')); true")
        for panel in ("Providers and balance", "Time to key", "Stock that runs out"):
            failure = f"[...document.querySelectorAll('.panel')].find((each) => each.querySelector('h2').textContent === '{panel}')?.querySelector('[role=alert]')"
            await desk.tab.wait(f"Boolean({failure})")


async def test_products_and_offers_beyond_the_first_hundred_are_looked_at_too(api: Api):
    await api.ports.pool.execute(
        "insert into stock_codes (product_id, code_hash, sealed, import_id)"
        " select 'p' || to_char(product, 'fm000'), sha256(convert_to(product || '/' || code, 'UTF8')), '{}', 'i'"
        " from generate_series(1, 120) as product, generate_series(1, case product when 120 then 1 else 5 end) as code"
    )
    await api.ports.pool.execute(
        "insert into stock_offers (offer_id, product_id, name, status, problems)"
        " select 'o' || number, 'p' || to_char(number, 'fm000'), 'Offer ' || number, 'ACTIVE',"
        """ case number when 120 then '[{"problem": "no_stock", "detail": "It is sold out."}]'::jsonb else '[]' end"""
        " from generate_series(1, 120) as number"
    )
    async with open_desk(api) as desk:
        await desk.go("/")
        await desk.see("p120")
        await desk.see("1 free")
        await desk.go("/stock")
        await desk.see("It is sold out.")
        await desk.see("1 of 120 offers")
