"""What an admin, a script or an attacker may send that is no question: refused by name, and nothing happens."""

import pytest

from tests.integration.admin_api.api import Api

REPLAYS = "/admin/dead-letters/replays"


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
