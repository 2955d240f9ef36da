"""Who may ask, what a browser gets, and what is answered when a dependency is away."""

import re

import asyncpg
import pytest

from admin_api import openapi
from admin_api.api.routes import ROUTES
from admin_api.api.routing import Door
from bitloot.contracts.state import OrderStatus
from tests.integration.admin_api.api import OLD_TOKEN, TOKEN, Api
from tests.unit.admin_api import records

ADDRESSES = [
    (route.method, route.path.replace("{id}", "1").replace("{productId}", "game-1"))
    for route in ROUTES
    if not isinstance(route, Door)
]

WITHOUT_DATABASE = {"/admin/freshness", "/admin/lag", "/admin/settings"}
"""What says how things are when the read model cannot be read."""

BODIES = {
    "replays": {"filter": {"topic": "x"}},
    "count": {"filter": {"topic": "x"}},
    "find-by-code": {"code": "ABCDE"},
    "unmask": {"reason": "x"},
    "mails": {"reason": "x"},
    "address": {"reason": "x", "email": "a@example.org"},
    "revoke-link": {"reason": "x"},
    "return-keys": {"reason": "x"},
    "resolve": {"reason": "x", "resolution": "close"},
    "erase": {"reason": "x"},
    "csv": {"reason": "x"},
}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
    ],
)
async def test_every_endpoint_wants_a_token(bare: Api, authorization: str | None):
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path in ADDRESSES:
        response = await bare.client.request(method, path, headers=headers, params={"limit": "abc"})

        assert (response.status, response.content_type) == (401, "application/problem+json"), (method, path)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_previous_token_is_accepted_too(api: Api):
    assert (await api.ask("/admin/orders", token=TOKEN)).status == 200
    assert (await api.ask("/admin/orders", token=OLD_TOKEN)).status == 200


async def test_pages_need_no_token_and_load_nothing_from_elsewhere(bare: Api):
    for path in ("/", "/docs", "/static/docs.js", "/static/pages.css", "/openapi.json"):
        response = await bare.ask(path, token=None)
        text = await response.text()
        assert response.status == 200
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "http://" not in text
        assert "https://" not in text


async def test_the_document_served_is_the_generated_one(bare: Api):
    response = await bare.ask("/openapi.json", token=None)

    assert response.content_type == "application/json"
    assert await response.text() == openapi.text()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
async def test_other_methods_are_405(bare: Api, method: str):
    assert (await bare.ask("/admin/orders", method=method)).status == 405


async def test_without_the_database_it_is_503(bare: Api):
    for method, path in ADDRESSES:
        if path.endswith("/import"):
            continue  # it wants a file, and has a test of its own
        if path in WITHOUT_DATABASE or path == "/admin/live":  # the stream stays open and waits for the database
            continue
        uuid = records.order(1)
        path = path.replace("/orders/1", f"/orders/{uuid}").replace("/replays/1", f"/replays/{uuid}")  # noqa: PLW2901
        body = BODIES.get(re.split(r"[/.]", path)[-1]) if method == "POST" else None
        headers = {"Authorization": f"Bearer {TOKEN}"}
        response = await bare.client.request(method, path, headers=headers, json=body)
        assert (response.status, response.content_type) == (503, "application/problem+json"), path
        assert (await response.json())["cause"] == "database_unavailable"


@pytest.mark.parametrize("path", sorted(WITHOUT_DATABASE))
async def test_without_the_database_it_still_tells_how_things_are(bare: Api, path: str):
    assert (await bare.ask(path)).status == 200


async def test_without_kafka_actions_are_503_and_leave_no_mark(api: Api, database: str):
    await api.seed(api.ports.topics.state, records.snapshot(1, status=OrderStatus.PAID, closed_at=None))
    await api.seed(api.ports.topics.webhooks, records.webhook(1))
    await api.seed(api.ports.topics.dead_letters, records.letter(1, topic="orders.events.v1"))
    (webhook,) = await api.ids("/admin/webhook-logs")
    (letter,) = await api.ids("/admin/dead-letters")
    for path in (
        f"/admin/orders/{records.order(1)}/reprocess",
        f"/admin/webhook-logs/{webhook}/reprocess",
        f"/admin/dead-letters/{letter}/replay",
    ):
        response = await api.act(path)
        assert (response.status, (await response.json())["cause"]) == (503, "broker_unavailable")
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("select count(*) from dead_letter_replays") == 0
    await connection.close()
