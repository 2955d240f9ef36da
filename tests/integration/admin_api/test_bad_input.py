"""What an admin, a script or an attacker may send that is no question: refused by name, and nothing happens."""

import pytest

from admin_api.api.routes import ROUTES
from admin_api.api.schemas import Paging
from tests.integration.admin_api.api import Api
from tests.unit.admin_api import records

REPLAYS = "/admin/dead-letters/replays"
LISTS = sorted(
    route.path
    for route in ROUTES
    if route.method == "GET" and issubclass(route.question, Paging) and "{" not in route.path
)
FILTERS = sorted(
    (route.path, field.alias or name)
    for route in ROUTES
    if route.path in LISTS and route.method == "GET"
    for name, field in route.question.model_fields.items()
    if name not in Paging.model_fields
)
HOSTILE = (
    "'; drop table orders; --",
    "' or '1'='1",
    "1) union select secret_hash from admin_tokens --",
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}$1{0}%s%",
    "../../etc/passwd",
)


@pytest.mark.parametrize("limit", ["0", "-1", "101", "abc", "", "1.5", "1e1"])
async def test_no_list_takes_a_limit_outside_1_to_100(bare: Api, limit: str):
    assert len(LISTS) >= 14
    for path in LISTS:
        assert await bare.refusal(path, limit=limit) == ["limit"], path


async def test_all_filters_at_once_may_be_as_long_as_the_document_says(api: Api):
    longest = "\N{GRINNING FACE}" * 200  # twelve bytes each in an address
    texts = ("email", "paymentId", "reservationId", "productId")
    page = await api.page("/admin/orders", **dict.fromkeys(texts, longest))
    assert page["items"] == []


async def test_sql_and_html_in_every_filter_of_every_list_are_only_text(api: Api):
    await api.seed(api.ports.topics.state, records.snapshot(1))
    assert len(FILTERS) >= 30
    for path, name in FILTERS:
        for value in HOSTILE:
            response = await api.ask(path, **{name: value})
            answer = await response.json()
            assert response.status in {200, 400}, (path, name, answer)
            assert answer.get("items", []) == [], (path, name, value)
            assert value not in str(answer), (path, name)
    assert await api.ids("/admin/orders") == [records.order(1)]


@pytest.mark.parametrize("cursor", ["", "A.A", "' or 1=1 --", "e30.AAAA", "../x.y", "a" * 600, "null", "0"])
async def test_no_list_takes_a_cursor_that_it_did_not_give(bare: Api, cursor: str):
    for path in LISTS:
        assert await bare.refusal(path, cursor=cursor) == ["cursor"], path


@pytest.mark.parametrize(
    "moment", [0, 1767225600, 1.5, True, [], {}, "1767225600", "2026-01-01", "2026-01-01T12:00:00"]
)
async def test_a_time_in_a_body_is_text_with_a_zone(bare: Api, moment: object):
    response = await bare.act(f"{REPLAYS}/count", body={"filter": {"occurredFrom": moment}})
    problem = await response.json()

    assert (response.status, response.content_type) == (400, "application/problem+json"), problem
    assert [error["parameter"] for error in problem["errors"]] == ["filter.occurredFrom"]


@pytest.mark.parametrize("limit", [True, "5", 1.5, 0, -1, 10_001, "abc", [], None])
async def test_a_limit_in_a_body_is_a_number(bare: Api, limit: object):
    response = await bare.act(REPLAYS, "click", body={"filter": {"reason": "defect"}, "limit": limit})
    problem = await response.json()

    assert (response.status, response.content_type) == (400, "application/problem+json"), problem
    assert [error["parameter"] for error in problem["errors"]] == ["limit"]


@pytest.mark.parametrize("replayed", ["true", 1, "yes"])
async def test_a_yes_or_no_in_a_body_is_no_text(bare: Api, replayed: object):
    response = await bare.act(f"{REPLAYS}/count", body={"filter": {"reason": "defect", "replayed": replayed}})
    problem = await response.json()

    assert response.status == 400, problem
    assert [error["parameter"] for error in problem["errors"]] == ["filter.replayed"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", f"{REPLAYS}/count", "POST"),
        ("PUT", f"{REPLAYS}/count", "POST"),
        ("DELETE", REPLAYS, "GET,POST"),
        ("PUT", f"{REPLAYS}/00000000-0000-0000-0000-000000000001", "GET"),
    ],
)
async def test_an_address_tells_which_methods_it_takes(bare: Api, method: str, path: str, allowed: str):
    response = await bare.ask(path, method=method)

    assert (response.status, response.content_type) == (405, "application/problem+json")
    assert response.headers["Allow"] == allowed
