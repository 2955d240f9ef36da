"""What people do at the desk, with a real mouse and real keys: each click has one effect and says how it ended."""

import asyncio
import csv
import io
import json
from datetime import timedelta

import pytest

from admin_api.access.passwords import Passwords
from admin_api.sink.source import Topics
from bitloot.contracts.state import ActionState, Incident, OrderSnapshot, ReservationStatus
from bitloot.ids import OrderId
from tests.integration.admin_api.api import Api
from tests.integration.admin_api.read_model import ReadModel
from tests.integration.admin_ui.desk import BUILT, Desk, complaint_of, open_desk
from tests.integration.admin_ui.seeds import BUYER, NOW, WAITING, seed_day, seed_story_of_waiting, snapshot
from tests.integration.delivery.browser import CHROMIUM
from tests.unit.admin_api import records

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not BUILT, reason="the desk is not built: make ui"),
]


async def _asked(model: ReadModel) -> list[dict[str, str]]:
    """Return the clicks that were written down, oldest first."""
    rows = await model.connection.fetch("select action_id, kind, actor, request from admin_actions order by asked_at")
    return [dict(row) for row in rows]


async def _answer(api: Api, model: ReadModel, order: OrderId, *, accepted: bool, detail: str = "") -> None:
    """Let the order take note of the last click, as the orders agent and the sink would."""
    clicks = await _asked(model)
    click = clicks[-1]
    action = ActionState(
        action_id=click["action_id"], type=click["kind"], actor=click["actor"], accepted=accepted, detail=detail, at=NOW
    )
    shown = snapshot(7).model_copy(update={"version": 1 + len(clicks), "actions": (action,)})
    assert shown.order_id == order
    await api.seed(api.ports.topics.state, shown)


async def _until(desk: Desk, api: Api, clicks: int, model: ReadModel) -> None:
    async with asyncio.timeout(20):
        while len(await _asked(model)) < clicks:
            await asyncio.sleep(0.05)


async def test_from_a_mail_address_to_the_story_and_the_right_action_in_two_clicks(live: Api, model: ReadModel):
    await live.seed(live.ports.topics.state, *(snapshot(number) for number in range(1, 21)))
    await seed_story_of_waiting(live)
    async with open_desk(live) as desk:
        await desk.go("/")
        await desk.key("k", control=True)
        await desk.see("Find or go to")
        await desk.type(BUYER)
        await desk.see(BUYER, within="[role=listbox]")
        await desk.picture("palette")
        await desk.click(str(WAITING)[:8], within="[role=listbox]")

        await desk.see("Waits for you: out of stock")
        for part in (BUYER, "Order placed", "finished", "Failed: buy, try 3", "no offer for the product", "told 2"):
            await desk.see(part)
        await desk.click("Reprocess")

        assert len(desk.mouse) == 2
        await desk.see("Still running")
        await _until(desk, live, 1, model)
        await _answer(live, model, WAITING, accepted=False, detail="Kinguin still has nothing to sell.")
        await desk.see("Refused: Kinguin still has nothing to sell.")
        await desk.picture("refused")
    (click,) = await _asked(model)
    assert click["kind"] == "reprocessOrder"


async def test_a_double_click_is_one_and_a_later_click_is_a_new_one(live: Api, model: ReadModel):
    await live.seed(live.ports.topics.state, snapshot(7))
    async with open_desk(live) as desk:
        await desk.go(f"/orders/{WAITING}")
        await desk.see("Reprocess")
        for _ in range(2):
            await desk.tab.js(
                "[...document.querySelectorAll('button')].find((each) => each.textContent === 'Reprocess')?.click(); true"
            )
        await desk.click("Reprocess")
        await desk.see("Still running")
        await _until(desk, live, 1, model)
        await _answer(live, model, WAITING, accepted=False, detail="no")
        await desk.see("Refused: no")
        assert len(await _asked(model)) == 1

        await desk.click("Reprocess")
        await _until(desk, live, 2, model)
        first, second = await _asked(model)
        assert first["action_id"] != second["action_id"]


async def test_a_click_that_cannot_be_sent_says_so_and_its_repeat_is_the_same_click(api: Api):
    await api.seed(api.ports.topics.state, snapshot(7))
    async with open_desk(api) as desk:
        await desk.tab.call("Page.addScriptToEvaluateOnNewDocument", source=_RECORD_KEYS)
        await desk.go(f"/orders/{WAITING}")
        await desk.click("Reprocess")
        await desk.see("No answer came")
        await desk.click("Reprocess")
        await desk.tab.wait("window.keys.length >= 2")
        await desk.see("No answer came")
        first, second = (await desk.tab.js("window.keys"))[:2]
        assert first == second
        assert complaint_of(desk.tab, "503")


# What the page itself sends, seen from the outside of it.
_RECORD_KEYS = """window.keys = []; { const real = window.fetch; window.fetch = (request, ...rest) => {
    const key = request.headers.get('Idempotency-Key'); if (key) window.keys.push(key);
    return real(request, ...rest); }; } true"""


async def test_a_review_is_resolved_with_a_reason(live: Api, model: ReadModel):
    await live.seed(live.ports.topics.state, snapshot(7))
    async with open_desk(live) as desk:
        await desk.go(f"/orders/{WAITING}")
        await desk.click("Resolve…")
        await desk.see("Reason, for the audit log")
        assert await desk.violations() == []
        await desk.choose("How", "mark_refunded")
        await desk.focus("Reason")
        await desk.type("Refunded by bank transfer 4711")
        await desk.picture("resolve")
        await desk.click("Resolve", within="[role=dialog]")
        await _until(desk, live, 1, model)
        await _answer(live, model, WAITING, accepted=True)
        (click,) = await _asked(model)
        assert click["kind"] == "resolveReview"
        assert "mark_refunded" in str(click["request"])
    entries = await live.page("/admin/audit")
    assert "Refunded by bank transfer 4711" in [entry["reason"] for entry in entries["items"]]


async def test_the_mail_is_sent_again_the_address_corrected_and_the_link_revoked(live: Api, model: ReadModel):
    await live.seed(live.ports.topics.state, snapshot(7))
    async with open_desk(live) as desk:
        await desk.go(f"/orders/{WAITING}")
        for number, (item, verb, kind) in enumerate(
            (
                ("Send the mail again…", "Send", "sendMailAgain"),
                ("Correct the mail address…", "Change", "changeAddress"),
                ("Revoke the order link…", "Revoke", "revokeLink"),
            ),
            1,
        ):
            await desk.click("More")
            await desk.click(item, within="[role=menu]")
            if kind == "changeAddress":
                await desk.focus("The right address")
                await desk.type("grace@example.test")
            await desk.focus("Reason")
            await desk.type("The buyer wrote to us")
            await desk.click(verb, within="[role=dialog]")
            await _until(desk, live, number, model)
            await _answer(live, model, WAITING, accepted=True)
            await desk.see("Done", within="[role=dialog]")
            await desk.click("Close", within="[role=dialog]")
            await desk.tab.wait("document.querySelector('[role=dialog]') === null")
        assert [click["kind"] for click in await _asked(model)] == ["sendMailAgain", "changeAddress", "revokeLink"]


async def test_a_buyers_data_is_erased_by_whoever_says_why_and_which_order_they_mean(live: Api, model: ReadModel):
    await live.seed(live.ports.topics.state, snapshot(7))
    async with open_desk(live) as desk:
        await desk.go(f"/orders/{WAITING}")
        await desk.see(BUYER)
        await desk.click("More")
        await desk.click("Erase the buyer\u2019s data…", within="[role=menu]")
        await desk.see("goes for good", within="[role=dialog]")
        await desk.focus("Reason")
        await desk.type("Asked for it, ticket 4711")
        await desk.focus("The first 8 characters")
        await desk.type(str(WAITING)[:7])
        assert await desk.violations() == []
        assert "Erase for good" not in await desk.text()
        await desk.type(str(WAITING)[7])
        assert "Erase for good" not in await desk.text(), "the order is still open"
        await desk.click("Even though the order is open", within="[role=dialog]")
        await desk.see("Erase for good", within="[role=dialog]")
        await desk.picture("erase")
        await desk.click("Erase for good", within="[role=dialog]")
        await desk.see("Done: the buyer\u2019s data is erased.", within="[role=dialog]")
        await desk.click("Close", within="[role=dialog]")
        await desk.see("No mail address")
        assert BUYER not in await desk.text()
        await desk.picture("erased")
    (click,) = await _asked(model)
    assert (click["kind"], json.loads(click["request"])["even_open"]) == ("eraseBuyer", True)
    (entry,) = [each for each in (await live.page("/admin/audit"))["items"] if each["result"] == "done"]
    assert (entry["target"], entry["reason"]) == (str(WAITING), "Asked for it, ticket 4711")
    assert await model.connection.fetchval("select email from orders where id = $1", str(WAITING)) is None


BOUGHT = records.order(5)


def _returning(version: int, click: str | None = None, **changes: object) -> OrderSnapshot:
    """Order 5: its keys are bought and not downloaded; the click was taken note of."""
    shown = snapshot(5)
    given = records.snapshot(5).reservations[0]
    given = given.model_copy(update={"status": ReservationStatus.GIVEN, "delivered_at": None})
    actions: tuple[ActionState, ...] = ()
    if click is not None:
        actions = (ActionState(action_id=click, type="keys.return_requested", actor="admin", accepted=True, at=NOW),)
    return shown.model_copy(update={"version": version, "reservations": (given,), "actions": actions} | changes)


async def test_keys_are_returned_and_what_kinguin_says_is_the_end_of_the_click(live: Api, model: ReadModel):
    state = live.ports.topics.state
    await live.seed(state, _returning(1))

    async def ask(desk: Desk, clicks: int) -> str:
        await desk.click("More")
        await desk.click("Return the keys to Kinguin…", within="[role=menu]")
        await desk.see("within 24 hours", within="[role=dialog]")
        await desk.focus("Reason")
        await desk.type("Bought twice")
        await desk.click("Return", within="[role=dialog]")
        await _until(desk, live, clicks, model)
        click = (await _asked(model))[-1]
        assert click["kind"] == "returnKeys"
        return click["action_id"]

    async with open_desk(live) as desk:
        await desk.go(f"/orders/{BOUGHT}")
        click = await ask(desk, 1)
        await live.seed(state, _returning(2, click))
        await desk.see("Still running: Kinguin has not answered yet.", within="[role=dialog]")
        assert await desk.violations() == []
        incident = Incident(cause="return_refused", detail="Kinguin takes no keys back.", at=NOW)
        await live.seed(state, _returning(3, click, incidents=(incident,)))
        await desk.see("Refused: Kinguin takes no keys back.", within="[role=dialog]")
        await desk.picture("return-keys")
        await desk.click("Not now", within="[role=dialog]")
        await desk.tab.wait("document.querySelector('[role=dialog]') === null")

        click = await ask(desk, 2)
        back = _returning(4).reservations[0].model_copy(update={"status": ReservationStatus.REVERSED, "ended_at": NOW})
        await live.seed(state, _returning(4, click, reservations=(back,)))
        await desk.see("Done: Kinguin takes the keys back.", within="[role=dialog]")
        await desk.click("Close", within="[role=dialog]")
        await desk.tab.wait("document.querySelector('[role=dialog]') === null")
        await desk.click("More")
        await desk.see("Revoke the order link…", within="[role=menu]")
        # There is nothing left to return, once the order was read again.
        await desk.tab.wait("!document.body.innerText.includes('Return the keys')")
    assert len(await _asked(model)) == 2


async def test_dead_letters_are_replayed_in_bulk_after_a_count(live: Api, model: ReadModel):
    topic = Topics().events.name
    letters = [
        records.letter(
            number,
            topic=topic,
            reason="bad_record" if number < 4 else "defect",
            occurred_at=NOW - timedelta(minutes=number),
        )
        for number in range(1, 6)
    ]
    await live.seed(live.ports.topics.dead_letters, *letters)
    async with open_desk(live) as desk:
        await desk.go("/dead-letters")
        await desk.focus("Reason")
        await desk.type("bad_record")
        await desk.tab.wait("document.querySelectorAll('tbody tr').length === 3")
        assert "reason=bad_record" in await desk.tab.js("location.href")
        await desk.click("Replay these…")
        await desk.see("3 letters; 3 of them can be sent again.")
        await desk.picture("replay-confirm")
        await desk.click("Replay 3")
        await desk.see("0 of 3 done")
        await desk.tab.wait("document.querySelectorAll('tbody tr').length === 3")
        await desk.picture("replay")
        assert await desk.violations() == []
        await desk.click("Cancel")
        await desk.see("Done: ended; 0 of 3 were sent before.")
    assert await model.connection.fetchval("select count(*) from bulk_replays where canceled_at is not null") == 1


async def test_a_notification_shows_its_payload_and_how_it_differs(api: Api):
    await seed_day(api)
    (newest,) = [
        each["id"] for each in (await api.page("/admin/webhook-logs", orderId=WAITING, eventType="finished"))["items"]
    ]
    async with open_desk(api) as desk:
        await desk.go(f"/webhook-logs/{newest}")
        await desk.see('"price_amount": 19.980')  # as it was written
        await desk.see("Difference")
        await desk.see('+   "payment_status": "finished",')
        await desk.see('\u2212   "payment_status": "confirming",')
        await desk.click("Raw")
        await desk.see('{"payment_id":5077125051,"payment_status"')
        await desk.picture("webhook-log")
        assert await desk.violations() == []


async def test_a_payload_of_a_megabyte_does_not_freeze_the_page(api: Api):
    body = json.dumps({"list": [{"number": number, "text": "x" * 50} for number in range(12_000)]})
    assert len(body) > 900_000
    await api.seed(api.ports.topics.webhooks, records.webhook(1, body=body))
    (log,) = await api.ids("/admin/webhook-logs")
    async with open_desk(api) as desk:
        await desk.go(f"/webhook-logs/{log}")
        await desk.see('"list": [')
        assert await desk.tab.js("document.querySelectorAll('.line').length") < 300
        await desk.tab.js("document.querySelector('.lines').scrollTop = 1e9; true")
        await desk.tab.wait("document.querySelector('.lines').innerText.includes('\"number\": ')")


async def test_somebody_signs_in_sees_what_their_role_allows_and_signs_out(api: Api):
    await api.seed(api.ports.topics.state, snapshot(7))
    await api.ports.pool.execute(
        "insert into admin_accounts (name, password_hash, roles) values ('vera', $1, '{viewer}'), ('olga', $1, '{operator}')",
        Passwords().hash("a long enough password"),
    )
    async with open_desk(api, signed_in=False) as desk:
        await desk.tab.open(f"{desk.url}/orders/{WAITING}")
        await desk.see("Sign in")
        assert await desk.violations() == []
        await desk.picture("sign-in")
        await desk.sign_in("vera", "wrong")
        await desk.see("The name or the password is wrong.")
        complaint_of(desk.tab, "401")
        await desk.tab.open(f"{desk.url}/orders/{WAITING}?again")
        await desk.sign_in("vera", "a long enough password")

        await desk.see("g***@example.test")
        assert "Reprocess" not in await desk.text()
        assert BUYER not in await desk.text()
        await desk.click("Sign out")
        await desk.see("Name")

        await desk.sign_in("olga", "a long enough password")
        await desk.see("Reprocess")
        await desk.click("Show the address…")
        await desk.focus("Reason")
        await desk.type("The buyer is on the phone")
        await desk.click("Show", within="[role=dialog]")
        await desk.see(BUYER)
        await desk.click("More")
        await desk.see("Revoke the order link…", within="[role=menu]")
        assert "Erase" not in await desk.text(), "only admins erase"
        complaint_of(desk.tab, "401")


async def test_filters_are_kept_in_the_address_can_be_named_and_rows_saved_as_csv(api: Api):
    await seed_day(api)
    async with open_desk(api) as desk:
        await desk.go("/orders")
        await desk.choose("Status", "needs_review")
        await desk.tab.wait("location.search === '?status=needs_review'")
        await desk.tab.wait("document.querySelectorAll('tbody tr').length === 6")
        await desk.focus("Name for these filters")
        await desk.type("Mine")
        await desk.click("Save")
        await desk.click("Clear")
        await desk.tab.wait("location.search === ''")
        await desk.click("Saved (1)")
        await desk.click("Mine", within="[role=menu]")
        await desk.tab.wait("location.search === '?status=needs_review'")
        await desk.tab.js(
            "window.saved = []; URL.createObjectURL = (blob) => { blob.text().then((text) => window.saved.push(text)); return 'blob:nothing'; }; true"
        )
        await desk.click("CSV")
        await desk.tab.wait("window.saved.length === 1")
        await desk.see("Saved, ")
        head, *lines = csv.reader(io.StringIO(await desk.tab.js("window.saved[0]")))
        assert head[:3] == ["id", "status", "email"]
        assert {line[1] for line in lines} == {"needs_review"}
        assert len(lines) == 6
        assert BUYER in [line[2] for line in lines]
        complaint_of(desk.tab, "blob:")
    (done, asked) = (await api.page("/admin/audit", action="listOrdersAsCsv"))["items"]
    assert (asked["result"], done["result"], done["details"]["whole"]) == ("asked", "done", True)


async def test_keys_lead_through_the_desk(api: Api):
    await seed_day(api)
    async with open_desk(api) as desk:
        await desk.go("/")
        await desk.key("g")
        await desk.key("o")
        await desk.tab.wait("location.pathname === '/orders' && document.querySelectorAll('tbody tr').length > 5")
        await desk.key("j")
        await desk.key("j")
        await desk.key("Enter")
        await desk.tab.wait("location.pathname.startsWith('/orders/')")
        await desk.key("?")
        await desk.see("find an order, go to a page")
        assert await desk.violations() == []


async def test_the_events_that_a_click_sent_are_on_kafka(live: Api, model: ReadModel):
    """A desk that only wrote rows would pass the tests above."""
    await live.seed(live.ports.topics.state, snapshot(7))
    async with open_desk(live) as desk:
        await desk.go(f"/orders/{WAITING}")
        await desk.click("Reprocess")
        await desk.see("Still running")
    async with model.sink():
        await model.catch_up()
    rows = await model.connection.fetch("select payload from order_events where type = 'reprocess.requested'")
    assert len(rows) == 1
