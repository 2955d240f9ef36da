"""What the desk reads beyond single tables: cursors, files, figures, freshness, and what changes live."""

import asyncio
import base64
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientError

from admin_api.api import listing, routing
from admin_api.api.live import Live
from admin_api.api.routes import ROUTES
from admin_api.api.routing import Stream
from admin_api.api.watching import Watch
from admin_api.sink.source import Topics
from bitloot.contracts.state import OrderStatus, Review
from bitloot.settings import KafkaSettings
from tests.integration.admin_api.api import Api
from tests.integration.admin_api.test_sink_outages import way_to
from tests.unit.admin_api import records

LISTS = [
    route.path.removesuffix(".csv") for route in ROUTES if isinstance(route, Stream) and route.path.endswith(".csv")
]
FAILED = {
    "type": "effect.failed",
    "failure": "refused",
    "cause": "out_of_stock",
    "detail": "none left for a@example.org",
}


@pytest.fixture
async def many(api: Api) -> Api:
    await api.seed(api.ports.topics.state, *(records.snapshot(number) for number in range(1, 8)))
    await api.seed(api.ports.topics.webhooks, *(records.webhook(number) for number in range(1, 6)))
    return api


async def walk(api: Api, path: str, name: str = "id", **query: object) -> list[object]:
    """Follow cursors to the end, and from there back to the beginning; return what was seen on the way there."""
    pages = [await api.page(path, limit=2, **query)]
    while pages[-1]["next"] is not None:
        pages.append(await api.page(path, limit=2, cursor=pages[-1]["next"], **query))
    back = pages[-1:]
    while back[-1]["previous"] is not None:
        back.append(await api.page(path, limit=2, cursor=back[-1]["previous"], **query))
    assert [page["items"] for page in reversed(back)] == [page["items"] for page in pages]
    return [item[name] for page in pages for item in page["items"]]


@pytest.mark.parametrize(
    "path", ["/admin/orders", "/admin/webhook-logs", "/admin/payments", "/admin/reservations", "/admin/reviews"]
)
async def test_cursors_give_every_row_once_in_the_order_of_the_list_and_back(many: Api, path: str):
    name = "orderId" if path == "/admin/reviews" else "id"
    if path == "/admin/reviews":  # the one that shows the oldest first
        waiting = Review(cause="out_of_stock", detail="", since=records.at(1))
        await many.seed(
            many.ports.topics.state,
            *(
                records.snapshot(number, version=99, status=OrderStatus.NEEDS_REVIEW, review=waiting)
                for number in range(1, 8)
            ),
        )
    whole = [item[name] for item in (await many.page(path, limit=100))["items"]]
    assert len(whole) >= 5
    assert await walk(many, path, name) == whole


async def test_going_back_past_what_is_new_ends_with_a_whole_first_page(many: Api):
    second = await many.page("/admin/orders", limit=3, offset=3)
    await many.seed(many.ports.topics.state, records.snapshot(20))
    before = await many.page("/admin/orders", limit=3, cursor=second["previous"])
    assert [item["id"] for item in before["items"]] == [records.order(number) for number in (7, 6, 5)]
    first = await many.page("/admin/orders", limit=3, cursor=before["previous"])
    assert [item["id"] for item in first["items"]] == [records.order(number) for number in (20, 7, 6)]
    assert first["previous"] is None
    assert (await many.page("/admin/orders", limit=3, cursor=first["next"]))["items"][0]["id"] == records.order(5)


async def test_a_cursor_holds_its_place_while_rows_are_added(many: Api):
    first = await many.page("/admin/orders", limit=3)
    await many.seed(many.ports.topics.state, *(records.snapshot(number) for number in range(20, 25)))
    second = await many.page("/admin/orders", limit=3, cursor=first["next"])
    before = [item["id"] for item in (*first["items"], *second["items"])]
    assert before == [records.order(number) for number in (7, 6, 5, 4, 3, 2)]


async def test_a_cursor_that_is_forged_or_of_another_list_or_filter_is_refused(many: Api):
    cursor = (await many.page("/admin/orders", limit=2))["next"]
    told, _, signature = cursor.partition(".")
    other = base64.urlsafe_b64encode(json.dumps(["2030-01-01", records.order(1)]).encode()).rstrip(b"=").decode()
    for forged in (f"{other}.{signature}", f"{told}.{'A' * 22}", f"{told}.A", "A.A", f"{told}x.{signature}"):
        assert await many.refusal("/admin/orders", cursor=forged) == ["cursor"]
    assert await many.refusal("/admin/orders", cursor="") == ["cursor"]
    assert await many.refusal("/admin/orders", cursor="' or 1=1 --") == ["cursor"]
    assert await many.refusal("/admin/orders", cursor=cursor, status="fulfilled") == ["cursor"]
    assert await many.refusal("/admin/payments", cursor=cursor) == ["cursor"]
    assert await many.refusal("/admin/orders", cursor=cursor, offset=1) == ["cursor"]
    assert (await many.page("/admin/orders", limit=50, cursor=cursor))["total"] == 7  # the size of a page may change


async def test_beyond_what_is_counted_the_total_is_an_estimate(many: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listing, "COUNTED", 3)
    await many.ports.pool.execute("analyze")
    page = await many.page("/admin/orders", limit=1)
    assert (page["total"], page["totalExact"]) == (7, False)
    page = await many.page("/admin/orders", limit=1, q=records.order(1))
    assert (page["total"], page["totalExact"]) == (1, True)


@pytest.mark.parametrize("path", sorted(set(LISTS)))
async def test_every_list_can_be_had_as_a_file(many: Api, path: str):
    response = await many.ask(f"{path}.csv")
    assert (response.status, response.content_type) == (200, "text/csv")
    assert response.headers["Content-Disposition"].startswith("attachment; filename=")
    head, *lines = csv.reader(io.StringIO(await response.text()))
    page = await many.page(path)
    assert len(lines) == page["total"]
    for item, line in zip(page["items"], lines, strict=False):
        assert list(item) == head
        assert [cell for cell, value in zip(line, item.values(), strict=True) if isinstance(value, str)] == [
            value for value in item.values() if isinstance(value, str)
        ]


async def test_a_file_has_no_formulas(api: Api):
    hostile = records.snapshot(1, email='=HYPERLINK("http://evil.example","x")@example.com')
    await api.seed(api.ports.topics.state, hostile)
    (line,) = csv.DictReader(io.StringIO(await (await api.ask("/admin/orders.csv")).text()))
    assert line["email"].startswith("'=")


async def test_a_file_keeps_to_its_filter_and_refuses_what_a_list_refuses(many: Api):
    text = await (await many.ask("/admin/orders.csv", q=records.order(2))).text()
    assert [line["id"] for line in csv.DictReader(io.StringIO(text))] == [records.order(2)]
    assert (await many.ask("/admin/orders.csv", limit=1)).status == 400
    assert (await many.ask("/admin/orders.csv", token="wrong")).status == 401


async def audited(api: Api) -> list[tuple[Any, ...]]:
    rows = await api.ports.pool.fetch("select action, result, reason, details from audit_log order by number")
    return [tuple(row) for row in rows]


async def test_a_file_that_shows_addresses_stands_in_the_audit_log(many: Api):
    text = await (await many.ask("/admin/orders.csv", email="Buyer1@example.test")).text()
    (asked, done) = await audited(many)
    told: dict[str, object] = {"filter": {"email": "B***@example.test"}}
    assert asked == ("listOrdersAsCsv", "asked", "", told)
    assert done == ("listOrdersAsCsv", "done", "", {**told, "bytes": len(text.encode()), "whole": True})


async def test_who_may_see_addresses_gets_a_file_with_them_for_a_reason(many: Api, database: str):
    assert (await many.act("/admin/orders.csv", body={})).status == 400
    assert (await many.act("/admin/orders.csv", body={"reason": "x", "limit": 1})).status == 400
    answer = await many.act("/admin/orders.csv", body={"reason": "A recall.", "q": records.order(2)})
    assert answer.status == 200, await answer.text()
    (line,) = csv.DictReader(io.StringIO(await answer.text()))
    assert "@" in line["email"]
    assert "*" not in line["email"]
    assert [row[:3] for row in await audited(many)] == [
        ("listOrdersAsUnmaskedCsv", "asked", "A recall."),
        ("listOrdersAsUnmaskedCsv", "done", "A recall."),
    ]


async def test_a_file_of_more_rows_than_a_spreadsheet_opens_is_refused(many: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listing, "ROWS", 6)
    answer = await many.ask("/admin/orders.csv")
    assert (answer.status, answer.content_type) == (422, "application/problem+json")
    assert [row[:2] for row in await audited(many)] == [("listOrdersAsCsv", "asked"), ("listOrdersAsCsv", "refused")]
    assert (await many.ask("/admin/orders.csv", q=records.order(2))).status == 200


async def test_only_so_many_files_are_made_at_once(many: Api):
    async with AsyncExitStack() as stack:
        while not many.ports.files.locked():
            await stack.enter_async_context(many.ports.files)
        answer = await many.ask("/admin/orders.csv")
        assert (answer.status, answer.headers["Retry-After"]) == (429, "10")
    assert (await many.ask("/admin/orders.csv")).status == 200


async def test_a_file_that_cannot_be_written_to_its_end_has_no_proper_end(many: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routing, "_FILE_SECONDS", 0.0)
    with pytest.raises(ClientError):
        await (await many.ask("/admin/orders.csv")).text()
    (_, done) = await audited(many)
    assert (done[1], done[3]["whole"]) == ("done", False)
    monkeypatch.undo()
    assert (await many.ask("/admin/orders.csv")).status == 200


@pytest.mark.parametrize("value", ["' or 1=1 --", "<script>alert(1)</script>", "%", "\\", "a" * 200, "￿"])
async def test_sql_and_html_in_filters_are_only_texts(many: Api, value: str):
    for path, name in (
        ("orders", "email"),
        ("mails", "recipient"),
        ("effects", "kind"),
        ("reviews", "cause"),
    ):
        assert (await many.page(f"/admin/{path}", **{name: value}))["items"] == []
    assert (await many.page("/admin/orders", q=f"abc{value}"[:200]))["items"] == []


async def seed_calls(api: Api) -> None:
    now = datetime.now(UTC)
    order = records.order(1)
    rows = [
        ("e1", "buy_key", now - timedelta(minutes=30), FAILED),
        ("e2", "buy_key", now - timedelta(minutes=20), {**FAILED, "detail": "another text"}),
        ("e3", "buy_key", now - timedelta(minutes=10), {**FAILED, "cause": "timeout", "failure": "unknown"}),
        ("e4", "send_mail", now - timedelta(minutes=5), {"type": "mail.sent"}),
        ("e5", "buy_key", now - timedelta(days=3), FAILED),
        ("e6", "fetch_codes", now - timedelta(minutes=1), None),
    ]
    for effect, kind, at, outcome in rows:
        await api.ports.pool.execute(
            "insert into effect_ledger values ($1, $2, $3, 1, 'a worker', $4, $5, $6, $7)",
            effect,
            order,
            kind,
            at,
            at + timedelta(seconds=30),
            at + timedelta(seconds=2) if outcome else None,
            outcome,
        )


async def test_failures_are_grouped_by_their_typed_cause_and_the_rule_is_told(api: Api):
    await seed_calls(api)
    answer = await api.page("/admin/failures")
    groups = [(g["provider"], g["call"], g["failure"], g["cause"], g["count"], g["orders"]) for g in answer["items"]]
    assert groups == [
        ("kinguin", "buy_key", "refused", "out_of_stock", 2, 1),
        ("kinguin", "buy_key", "unknown", "timeout", 1, 1),
    ]
    assert "typed cause" in answer["rule"]
    long_ago = (datetime.now(UTC) - timedelta(days=5)).isoformat()
    assert [g["count"] for g in (await api.page("/admin/failures", since=long_ago))["items"]] == [3, 1]


async def test_the_ledger_shows_each_call_with_its_time_and_cause(api: Api):
    await seed_calls(api)
    items = (await api.page("/admin/effects"))["items"]
    assert [item["effectId"] for item in items] == ["e6", "e4", "e3", "e2", "e1", "e5"]
    assert (items[0]["outcome"], items[0]["durationSeconds"]) == (None, None)
    assert (items[2]["cause"], items[2]["durationSeconds"]) == ("timeout", 2.0)
    assert len((await api.page("/admin/effects", cause="timeout"))["items"]) == 1
    assert len((await api.page("/admin/effects", finished="false"))["items"]) == 1


async def test_each_provider_shows_how_it_has_been(many: Api):
    await seed_calls(many)
    found = {each["provider"]: each for each in (await many.page("/admin/providers"))["items"]}
    assert (found["kinguin"]["state"], found["kinguin"]["calls"], found["kinguin"]["failures"]) == ("failing", 4, 3)
    assert (found["resend"]["state"], found["resend"]["failureRate"]) == ("ok", 0.0)
    assert found["r2"]["state"] == "silent"
    assert found["kinguin"]["lastNotificationAt"] is not None


async def test_the_overview_counts_what_is_open(api: Api):
    review = Review(cause="out_of_stock", detail="none for a@example.org", since=records.at(3))
    await api.seed(
        api.ports.topics.state,
        records.snapshot(1, status=OrderStatus.PURCHASING, closed_at=None),
        records.snapshot(2, status=OrderStatus.NEEDS_REVIEW, closed_at=None, review=review),
        records.snapshot(3),
    )
    answer = await api.page("/admin/overview")
    assert answer["openOrders"] == [
        {"status": "needs_review", "orders": 1},
        {"status": "purchasing", "orders": 1},
    ]
    assert [(each["cause"], each["orders"]) for each in answer["reviews"]] == [("out_of_stock", 1)]
    (waiting,) = (await api.page("/admin/reviews"))["items"]
    assert (waiting["orderId"], waiting["cause"]) == (records.order(2), "out_of_stock")
    assert (await api.page("/admin/reviews", cause="underpaid"))["total"] == 0
    # As a fuzzer has found: a row without its reason must not break the inbox.
    await api.ports.pool.execute("update orders set review = null")
    assert (await api.page("/admin/reviews"))["total"] == 0


async def test_an_orders_story_has_events_calls_notifications_and_clicks_in_order(many: Api):
    await seed_calls(many)
    await many.seed(many.ports.topics.events, records.revealed(1))
    await many.act(f"/admin/orders/{records.order(1)}/reprocess", "click")
    whole = await many.page(f"/admin/orders/{records.order(1)}")
    kinds = {chapter["kind"] for chapter in whole["story"]}
    assert kinds == {"event", "call", "notification", "action"}
    assert [chapter["at"] for chapter in whole["story"]] == sorted(chapter["at"] for chapter in whole["story"])
    assert [call["effectId"] for call in whole["calls"]] == ["e5", "e1", "e2", "e3", "e4", "e6"]
    assert whole["actions"][0]["refused"] == "The order is fulfilled: nothing is left to do."


async def test_time_to_key_step_by_step(many: Api):
    await many.ports.pool.execute(
        "update orders set paid_at = now() - interval '2 minutes', mailed_at = now() - interval '1 minute'"
    )
    for step in ("hour", "day"):
        items = (await many.page("/admin/metrics/time-to-key/series", step=step))["items"]
        assert sum(item["count"] for item in items) == 7
        assert {(item["p50"], item["p99"]) for item in items} == {(60.0, 60.0)}
    assert await many.refusal("/admin/metrics/time-to-key/series", step="minute") == ["step"]


async def test_the_newest_balance_of_each_account_is_told(api: Api):
    await api.ports.pool.execute(
        "insert into balance_readings (account, balance, currency, low, read_at) values "
        "('kinguin', 5, 'EUR', true, now() - interval '1 minute'), ('kinguin', 50, 'EUR', false, now())"
    )
    ((balance),) = (await api.page("/admin/balances"))["items"]
    assert (balance["account"], balance["balance"], balance["low"]) == ("kinguin", "50", False)


def watch(api: Api) -> Watch:
    return Watch(KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1"), api.ports.pool, Topics().names)


async def test_the_read_model_is_as_fresh_as_the_last_ends_that_it_has_passed(api: Api):
    at = [datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC) for second in range(5)]
    place, other = ("orders.events.v1", 0), ("orders.state.v1", 0)
    looking = watch(api)
    assert looking.fresh_as_of() is None
    looking.note(at[0], {place: 10, other: 5}, {"sink": {place: 10, other: 5}})
    assert looking.fresh_as_of() == at[0]
    looking.note(at[1], {place: 12, other: 5}, {"sink": {place: 10, other: 5}})
    looking.note(at[2], {place: 15, other: 5}, {"sink": {place: 12, other: 5}})
    assert looking.fresh_as_of() == at[1]
    behind = {(each.topic, each.partition): each for each in looking.behind()}
    assert (behind[place].records, behind[place].oldest_at) == (3, at[2])
    assert (behind[other].records, behind[other].oldest_at) == (0, None)
    looking.note(at[3], {place: 15, other: 5}, {"sink": {place: 15, other: 5}})
    assert looking.fresh_as_of() == at[3]


async def test_what_is_not_found_is_told_to_be_missing_only_when_that_is_known(api: Api):
    answer = await (await api.ask(f"/admin/orders/{records.order(99)}")).json()
    assert (answer["status"], answer["known"]) == (404, False)
    assert "nobody knows how fresh" in answer["detail"]
    assert (await api.page("/admin/freshness"))["fresh"] is False


async def test_whoever_looks_is_told_what_changes(api: Api, database: str):
    live = Live(database)
    listening = asyncio.create_task(live.run())
    events = live.events()
    try:
        assert await anext(events) == b": still here\n\n"
        assert json.loads((await news(events)).removeprefix(b"data: ")) == {"kind": "all"}
        await api.seed(api.ports.topics.state, records.snapshot(1))
        told = json.loads((await news(events)).removeprefix(b"data: "))
        assert told == {"kind": "order", "ids": [records.order(1)]}
        live.close()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_whoever_looks_is_told_although_the_way_to_the_database_has_died_without_a_word(database: str):
    """As a load balancer drops an idle connection, or a database's machine loses its power: nobody hears of it."""
    async with way_to(database) as way:
        live = Live(way.dsn, beat=0.5)
        listening = asyncio.create_task(live.run())
        events = live.events()
        try:
            assert await anext(events) == b": still here\n\n"
            assert json.loads((await news(events)).removeprefix(b"data: ")) == {"kind": "all"}
            way.mute()
            assert json.loads((await news(events)).removeprefix(b"data: ")) == {"kind": "all"}  # by a new connection
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await events.aclose()


async def news(events: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(20):
        return await anext(events)


async def test_who_is_too_slow_is_told_to_read_all_anew(nowhere: str):
    live = Live(nowhere)
    events = live.events()
    await anext(events)
    for number in range(150):
        live.tell(json.dumps({"kind": "order", "ids": [str(number)]}))
    live.close()
    seen = [json.loads(event.removeprefix(b"data: ")) async for event in events]
    assert {"kind": "all"} in seen
    assert len(seen) <= 100
    assert seen[-1] == {"kind": "order", "ids": ["149"]}


async def test_settings_are_told_without_secrets(database: str):
    from admin_api.api.settings_page import told  # noqa: PLC0415 - beside the secrets that it must not tell
    from admin_api.settings import ApiSettings  # noqa: PLC0415

    settings = ApiSettings(
        kafka_bootstrap_servers="127.0.0.1:1",
        database_url=database,
        admin_token="a-very-secret-token",
        oidc_issuer="https://id.example.com",
        oidc_client_id="desk",
        oidc_client_secret="a-very-secret-secret",
    )
    found = {each.name: each for each in told(settings)}
    assert "very-secret" not in str(found)
    assert database not in str(found)
    assert found["OIDC_ISSUER"].value == "https://id.example.com"
    assert (found["ADMIN_TOKEN"].value, found["ADMIN_TOKEN"].secret, found["ADMIN_TOKEN"].is_set) == (None, True, True)
