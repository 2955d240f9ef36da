"""Lists, filters, pages and one order's story, on a real database."""

import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from admin_api.api.reading import SQL
from admin_api.sink.source import Topics
from bitloot.contracts.events import PaymentStatus
from bitloot.contracts.state import OrderStatus, ReservationStatus, Review
from tests.integration.admin_api.api import Api
from tests.unit.admin_api import records

TOPICS = Topics()
LISTS = (
    "/admin/orders",
    "/admin/reservations",
    "/admin/kinguin/reservations",
    "/admin/payments",
    "/admin/webhook-logs",
    "/admin/dead-letters",
)
HOSTILE = (
    "'; drop table orders; --",
    "' or '1'='1",
    "%",
    "_",
    "\\",
    "<script>alert(1)</script>",
    "$1",
    "{0}",
    "{}",
    "%s",
    "\N{PILE OF POO}",
)


@pytest.fixture
async def filled(api: Api) -> Api:
    """Five orders; the last one waits for a human, the one before it was never paid."""
    unpaid = records.snapshot(
        4,
        status=OrderStatus.AWAITING_PAYMENT,
        payments=tuple(
            each.model_copy(update={"status": PaymentStatus.WAITING}) for each in records.snapshot(4).payments
        ),
        reservations=(),
        keys=(),
        paid_at=None,
        mailed_at=None,
        closed_at=None,
    )
    review = Review(cause="out_of_stock", detail="no offer", item_id=unpaid.items[0].item_id, since=records.at(1))
    waiting = records.snapshot(
        5,
        status=OrderStatus.NEEDS_REVIEW,
        review=review,
        email="Buyer_5%@Example.Test",
        mailed_at=None,
        reservations=tuple(
            each.model_copy(update={"status": ReservationStatus.CANCELED}) for each in records.snapshot(5).reservations
        ),
    )
    await api.seed(TOPICS.state, *(records.snapshot(number) for number in (1, 2, 3)), unpaid, waiting)
    await api.seed(TOPICS.webhooks, *(records.webhook(number, received=number) for number in (1, 2)))
    payment = {"provider": "nowpayments", "external_id": "pay-1", "event_type": "finished", "order_id": None}
    await api.seed(TOPICS.webhooks, records.webhook(3, received=3, **payment))
    await api.seed(TOPICS.dead_letters, records.letter(1), records.letter(2, topic="x", consumer="sink"))
    return api


@pytest.mark.parametrize("path", LISTS)
async def test_an_empty_list_is_a_page(api: Api, path: str):
    assert await api.page(path) == {
        "items": [],
        "total": 0,
        "totalExact": True,
        "limit": 50,
        "offset": 0,
        "next": None,
        "previous": None,
        "asOf": None,
    }


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "-1", "101", "abc", "", " 7", "7.0", "1_0", "1e1", "٣", "9" * 30])
async def test_limits_outside_1_to_100_are_refused(bare: Api, path: str, limit: str):
    assert await bare.refusal(path, limit=limit) == ["limit"]


@pytest.mark.parametrize("offset", ["-1", "abc", "10001", "1000000001", "9" * 30])
async def test_offsets_are_checked(bare: Api, offset: str):
    assert await bare.refusal("/admin/orders", offset=offset) == ["offset"]


@pytest.mark.parametrize("path", LISTS)
async def test_unknown_parameters_are_refused(bare: Api, path: str):
    assert await bare.refusal(path, colour="red") == ["colour"]
    assert await bare.refusal(path, order_id="x", Limit=1) == ["order_id", "Limit"]


async def test_a_parameter_given_twice_is_refused(bare: Api):
    assert await bare.refusal("/admin/orders?limit=1&limit=2") == ["limit"]


async def test_pages_follow_each_other_newest_first(filled: Api):
    every = [records.order(number) for number in (5, 4, 3, 2, 1)]
    assert await filled.ids("/admin/orders") == every
    first, second, third = [await filled.page("/admin/orders", limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [each["id"] for page in (first, second, third) for each in page["items"]] == every
    assert (second["total"], second["limit"], second["offset"]) == (5, 2, 2)
    assert (await filled.page("/admin/orders", offset=5))["items"] == []
    assert (await filled.page("/admin/orders", limit=100))["limit"] == 100


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"status": "fulfilled"}, [3, 2, 1]),
        ({"status": "needs_review"}, [5]),
        ({"email": "BUYER2@example.test"}, [2]),
        ({"email": "buyer2"}, []),
        ({"paymentId": "pay-3"}, [3]),
        ({"reservationId": "res-1"}, [1]),
        ({"productId": "product-2"}, [5, 2]),
        ({"placedFrom": "2026-01-01T12:03:00Z"}, [5, 4, 3]),
        ({"placedTo": "2026-01-01T12:03:00+00:00"}, [2, 1]),
        ({"placedFrom": "2026-01-01T13:02:00+01:00", "placedTo": "2026-01-01T12:04:00Z"}, [3, 2]),
        ({"status": "fulfilled", "productId": "product-2"}, [2]),
        ({"q": "BUYER3"}, [3]),
        ({"q": "example"}, [5, 4, 3, 2, 1]),
        ({"q": "5%@exa"}, [5]),
        ({"q": "buyer_5"}, [5]),
        ({"q": "pay-2"}, [2]),
        ({"q": "res-2"}, [2]),
        ({"q": "inv-2"}, [2]),
        ({"q": "product-1"}, [4, 1]),
        ({"q": records.order(2)}, [2]),
        ({"q": f" {records.order(2).upper()}-1 "}, [2]),
        ({"q": str(uuid.UUID(int=0))}, []),
    ],
)
async def test_orders_are_found_by(filled: Api, query: dict[str, str], numbers: list[int]):
    page = await filled.page("/admin/orders", **query)

    assert [item["id"] for item in page["items"]] == [records.order(number) for number in numbers]
    assert page["total"] == len(numbers)


@pytest.mark.parametrize(
    ("path", "query", "found"),
    [
        ("/admin/reservations", {}, ["res-5", "res-3", "res-2", "res-1"]),
        ("/admin/reservations", {"orderId": records.order(2)}, ["res-2"]),
        ("/admin/reservations", {"status": "canceled"}, ["res-5"]),
        ("/admin/reservations", {"reservationId": "res-3"}, ["res-3"]),
        ("/admin/kinguin/reservations", {"status": "delivered", "orderId": records.order(1)}, ["res-1"]),
        ("/admin/payments", {}, ["pay-5", "pay-4", "pay-3", "pay-2", "pay-1"]),
        ("/admin/payments", {"orderId": records.order(2).upper()}, ["pay-2"]),
        ("/admin/payments", {"status": "waiting"}, ["pay-4"]),
        ("/admin/payments", {"status": "waiting", "orderId": records.order(2)}, []),
    ],
)
async def test_parts_are_found_by(filled: Api, path: str, query: dict[str, str], found: list[str]):
    assert await filled.ids(path, **query) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["pay-1", "res-2", "res-1"]),
        ({"provider": "nowpayments"}, ["pay-1"]),
        ({"orderId": records.order(2)}, ["res-2"]),
        ({"eventType": "delivered"}, ["res-2", "res-1"]),
        ({"eventType": "nothing"}, []),
    ],
)
async def test_notifications_are_found_by(filled: Api, query: dict[str, str], found: list[str]):
    page = await filled.page("/admin/webhook-logs", **query)

    assert [item["externalId"] for item in page["items"]] == found


@pytest.mark.parametrize(
    ("query", "offsets"), [({}, [2, 1]), ({"topic": "deliveries.v1"}, [1]), ({"consumer": "sink"}, [2])]
)
async def test_dead_letters_are_found_by(filled: Api, query: dict[str, str], offsets: list[int]):
    page = await filled.page("/admin/dead-letters", **query)

    assert [item["offset"] for item in page["items"]] == offsets


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/admin/orders", "status", "done"),
        ("/admin/orders", "status", "FULFILLED"),
        ("/admin/orders", "placedFrom", "yesterday"),
        ("/admin/orders", "placedFrom", "0"),
        ("/admin/orders", "placedFrom", "2026-01-01"),
        ("/admin/orders", "placedFrom", "2026-01-01T12:00:00"),
        ("/admin/orders", "placedTo", "2026-13-01T12:00:00Z"),
        ("/admin/orders", "email", ""),
        ("/admin/orders", "q", "a\x00b"),
        ("/admin/orders", "q", "7~"),
        ("/admin/orders", "q", "ab_cd@e-f"),
        ("/admin/orders", "q", "x" * 201),
        ("/admin/reservations", "status", "gone"),
        ("/admin/reservations", "orderId", "1"),
        ("/admin/payments", "orderId", "{" + str(uuid.UUID(int=1)) + "}"),
        ("/admin/payments", "status", "settled"),
        ("/admin/webhook-logs", "provider", "stripe"),
        ("/admin/webhook-logs", "eventType", "\n"),
        ("/admin/dead-letters", "topic", ""),
        ("/admin/metrics/time-to-key", "since", "now"),
    ],
)
async def test_filters_are_checked_and_never_echoed(bare: Api, path: str, name: str, value: str):
    response = await bare.ask(path, **{name: value})
    problem = await response.json()

    assert response.status == 400
    assert [error["parameter"] for error in problem["errors"]] == [name]
    assert not value.strip() or value in {"0", "1"} or value not in str(problem)


@pytest.mark.parametrize("value", HOSTILE)
async def test_sql_and_html_in_filters_are_only_text(filled: Api, value: str):
    for path, names in {
        "/admin/orders": ("email", "paymentId", "reservationId", "productId"),
        "/admin/reservations": ("reservationId",),
        "/admin/webhook-logs": ("eventType",),
        "/admin/dead-letters": ("topic", "consumer"),
    }.items():
        for name in names:
            assert await filled.ids(path, **{name: value}) == []
    # The fifth buyer is Buyer_5%@Example.Test.
    for text in (f"buyer{value}", f"{value}@example"):
        found = await filled.ids("/admin/orders", q=text)
        assert found == ([records.order(5)] if text in {"buyer_", "%@example"} else []), text
    assert len(await filled.ids("/admin/orders")) == 5


async def test_an_order_in_a_list_has_its_times_and_its_review(filled: Api):
    (waiting,) = (await filled.page("/admin/orders", status="needs_review"))["items"]
    (third,) = (await filled.page("/admin/orders", q="buyer3"))["items"]

    assert waiting["review"] == {
        "cause": "out_of_stock",
        "detail": "no offer",
        "itemId": f"{records.order(4)}-1",
        "since": "2026-01-01T12:00:01Z",
    }
    assert third == {
        "id": records.order(3),
        "status": "fulfilled",
        "email": "buyer3@example.test",
        "currency": "eur",
        "total": "19.98",
        "kinguinReservationId": "res-3",
        "review": None,
        "placedAt": "2026-01-01T12:03:00Z",
        "paidAt": "2026-01-01T12:03:05Z",
        "mailedAt": "2026-01-01T12:03:08Z",
        "closedAt": "2026-01-01T12:03:08Z",
        "updatedAt": "2026-01-01T12:03:01Z",
        "timeToKeySeconds": 3.0,
    }


async def test_one_order_tells_its_whole_story(filled: Api, database: str):
    await filled.seed(TOPICS.events, records.notified(1), records.codes_received(1), records.revealed(1, 20))
    await filled.seed(TOPICS.events, records.revealed(1, 20))
    connection = await asyncpg.connect(database)
    await connection.execute(
        """insert into emails (id, order_id, kind, recipient, subject, html, text, rendered_at, status, attempts)
        values ($1, $2, 'order', 'buyer1@example.test', 'Your BitLoot Order', '<a href=SECRET>', 'SECRET', now(),
        'accepted', 2)""",
        f"{records.order(1)}/mail/1",
        uuid.UUID(records.order(1)),
    )
    await connection.close()

    response = await filled.ask(f"/admin/orders/{records.order(1).upper()}")
    order = await response.json()

    assert response.status == 200
    assert [item["title"] for item in order["items"]] == ["A <Game> & more"]
    assert [payment["verdict"] for payment in order["payments"]] == ["accepted"]
    assert [reservation["deliveredAt"] for reservation in order["reservations"]] == ["2026-01-01T12:01:08Z"]
    assert [key["storageRef"] for key in order["keys"]] == [f"keys/{records.order(1)}.json"] * 2
    assert [(mail["status"], mail["attempts"]) for mail in order["mails"]] == [("accepted", 2)]
    assert [(each["type"], each["sincePreviousSeconds"], each["repeats"]) for each in order["timeline"]] == [
        ("kinguin.notified", None, 0),
        ("codes.received", 1.0, 0),
        ("keys.revealed", 12.0, 1),
    ]
    assert order["timeline"][1]["payload"]["lines"][0]["codes"] == 2
    text = await response.text()
    assert "SECRET" not in text
    assert records.BOX not in text


@pytest.mark.parametrize(
    "path",
    [
        f"/admin/orders/{uuid.UUID(int=7)}",
        "/admin/orders/abc",
        "/admin/orders/%00",
        "/admin/webhook-logs/7",
        "/admin/webhook-logs/abc",
        "/admin/webhook-logs/-1",
        f"/admin/webhook-logs/{2**53}",
        f"/admin/dead-letters/{2**64}",
        "/admin/dead-letters/7",
        "/admin/nothing",
    ],
)
async def test_unknown_ids_are_404(api: Api, path: str):
    response = await api.ask(path)

    assert (response.status, response.content_type) == (404, "application/problem+json")


async def test_long_bodies_and_values_are_cut_in_lists_and_whole_alone(api: Api):
    body, value = "b" * 200_000, "dg==" * 1
    await api.seed(TOPICS.webhooks, records.webhook(1, body=body))
    await api.seed(TOPICS.dead_letters, records.letter(1, value=value))
    (listed,) = (await api.page("/admin/webhook-logs"))["items"]
    whole = await api.page(f"/admin/webhook-logs/{listed['id']}")
    (letter,) = (await api.page("/admin/dead-letters"))["items"]

    assert (len(listed["body"]), listed["bodyCut"]) == (4096, True)
    assert (whole["body"], whole["bodyCut"]) == (body, False)
    assert whole["event"]["codes"] == 1
    assert await api.page(f"/admin/dead-letters/{letter['id']}") == letter
    assert (letter["key"], letter["value"], letter["valueCut"], letter["replayedAt"]) == ("key", "v", False, None)


async def test_rows_that_do_not_fit_are_our_fault(api: Api, database: str):
    await api.seed(TOPICS.state, records.snapshot(1))
    connection = await asyncpg.connect(database)
    await connection.execute("update orders set status = 'from the future'")
    await connection.close()

    response = await api.ask("/admin/orders")

    assert response.status == 500
    assert "future" not in await response.text()


async def test_time_to_key_over_a_window(api: Api):
    empty = await api.page("/admin/metrics/time-to-key")
    await api.seed(TOPICS.state, *(records.snapshot(number) for number in range(1, 12)))
    answer = await api.page("/admin/metrics/time-to-key")
    # Order n is mailed n minutes and n + 5 seconds after the start, n seconds after it was paid.
    late = records.START + timedelta(minutes=10)
    window = await api.page("/admin/metrics/time-to-key", since=late.isoformat())

    assert empty == {"count": 0, "p50": None, "p90": None, "p99": None, "since": None, "exact": True}
    assert answer == {"count": 11, "p50": 6.0, "p90": 10.0, "p99": pytest.approx(10.9), "since": None, "exact": True}
    assert (window["count"], window["p50"]) == (2, 10.5)


async def test_many_waits_are_told_from_the_days_counts_within_a_hundredth(api: Api):
    await api.ports.pool.execute(
        """with mailed as (
            insert into orders (id, status, version, updated_at, paid_at, mailed_at)
            select
                gen_random_uuid(), 'fulfilled', 1, now(), at - interval '1 second' * (2 + number % 977 * 1.37), at
            from (select number, now() - number * interval '2 minutes' as at from generate_series(1, 12000) as number) as n
            returning paid_at, mailed_at
        )
        insert into time_to_key_days
        select (mailed_at at time zone 'UTC')::date, time_to_key_bucket(mailed_at - paid_at), count(*) from mailed group by 1, 2"""
    )
    path = "/admin/metrics/time-to-key"
    for since in (None, datetime.now(UTC) - timedelta(hours=10_003 * 2 / 60), datetime.now(UTC) - timedelta(hours=12)):
        asked = {} if since is None else {"since": since.isoformat()}
        answer = await api.page(path, **asked)
        waits = await api.ports.pool.fetchrow(SQL["time_to_key"], since)
        assert answer["exact"] == (waits["count"] <= 10_000)
        assert answer["count"] == waits["count"] > 300
        for name in ("p50", "p90", "p99"):
            # A bucket's middle is within 1 %, and the sorted waits have steps between which percentile_cont lies.
            assert answer[name] == pytest.approx(waits[name], rel=0.015, abs=1.5), name

    since = datetime.now(UTC) - timedelta(days=16)
    days = await api.page(f"{path}/series", step="day", since=since.isoformat())
    sorted_ = await api.ports.pool.fetch(SQL["time_to_key_series"], "day", since)
    assert not days["exact"]
    assert [(day["at"], day["count"]) for day in days["items"]] == [
        (row["at"].isoformat().replace("+00:00", "Z"), row["count"]) for row in sorted_
    ]
    for day, row in zip(days["items"], sorted_, strict=True):
        assert day["p50"] == pytest.approx(row["p50"], rel=0.015, abs=4)
    hours = await api.page(f"{path}/series", step="hour", since=since.isoformat())
    assert hours["exact"]
    assert len(hours["items"]) in (168, 169)
