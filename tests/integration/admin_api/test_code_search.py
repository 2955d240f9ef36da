"""Somebody has a code and nobody here may know it: its order is found by keyed hashes, in a body, written down."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from admin_api.access.rights import Role
from admin_api.access.tokens import Tokens
from admin_api.sink.source import Topics
from bitloot.code_hashes import CodeHasher, generate_key
from bitloot.contracts.events import LineCodes
from bitloot.sealing import Sealer, generate_key_pair
from tests.integration.admin_api.api import TOKEN, Api, serve_api
from tests.unit.admin_api import records

PATH = "/admin/orders/find-by-code"
OLD, NEW = generate_key("old"), generate_key("new")
CODES = {1: "AAAAA-BBBBB-CCCC1", 2: "DDDDD-EEEEE-FFFF2", 3: "GGGGG-HHHHH-CCCC1"}


@pytest.fixture
async def desk(database: str) -> AsyncIterator[Api]:
    """Orders 1 to 3, each with a code; the first one is of a time before the key was changed."""
    async with serve_api(database, hasher=CodeHasher([NEW, OLD])) as api:
        await api.seed(Topics().state, *(records.snapshot(number) for number in CODES))
        await api.seed(Topics().events, *(received(number, OLD if number == 1 else NEW) for number in CODES))
        yield api


def received(number: int, key: Any):
    sealed = Sealer(generate_key_pair("k1").public, CodeHasher([key])).seal(CODES[number])
    event = records.codes_received(number)
    return event.model_copy(update={"lines": (LineCodes(item_id=event.lines[0].item_id, codes=(sealed,)),)})


async def search(api: Api, code: object) -> dict[str, Any]:
    response = await api.act(PATH, body={"code": code})
    answer = await response.json()
    assert response.status == 200, answer
    return answer


async def found(api: Api, code: str) -> list[tuple[str, str]]:
    return [(each["orderId"], each["foundBy"]) for each in (await search(api, code))["items"]]


@pytest.mark.parametrize(
    ("code", "orders", "by"),
    [
        (CODES[1], [1], "code"),
        (CODES[2].lower().replace("-", ""), [2], "code"),
        (f"  {CODES[3]} ", [3], "code"),
        ("ffff2", [2], "end"),
        ("CCCC1", [3, 1], "end"),
        ("XXXXX-YYYYY-FFFF2", [2], "end"),
        ("ZZZZZ", [], "end"),
    ],
)
async def test_a_code_or_its_end_finds_its_order(desk: Api, code: str, orders: list[int], by: str):
    assert sorted(await found(desk, code)) == sorted((records.order(number), by) for number in orders)


async def test_what_is_found_tells_of_the_order_and_nothing_of_the_code(desk: Api):
    answer = await search(desk, CODES[2])

    assert answer == {
        "items": [
            {
                "orderId": records.order(2),
                "reservationId": "res-2",
                "foundBy": "code",
                "status": "fulfilled",
                "placedAt": "2026-01-01T12:02:00Z",
                "firstSeenAt": "2026-01-01T12:00:08Z",
            }
        ],
        "more": False,
        "asOf": None,
    }


async def test_a_search_is_written_down_with_what_it_found_and_never_the_code(
    desk: Api, capsys: pytest.CaptureFixture[str]
):
    await search(desk, CODES[2])
    entries = (await desk.page("/admin/audit"))["items"]

    assert [(each["action"], each["result"], each["details"]) for each in entries] == [
        ("findOrdersByCode", "done", {"orders": [records.order(2)]}),
        ("findOrdersByCode", "asked", {}),
    ]
    whole = str(entries) + capsys.readouterr().out
    assert not any(part in whole for part in CODES[2].split("-"))


async def test_the_database_alone_is_no_help(desk: Api):
    rows = [dict(row) for row in await desk.ports.pool.fetch("select * from code_hashes")]

    assert len(rows) == len(CODES)
    assert not any(part in str(rows) for code in CODES.values() for part in code.split("-"))
    async with serve_api_with(desk, generate_key("another")) as other:
        assert await found(other, CODES[2]) == []


def serve_api_with(desk: Api, key: Any):
    return serve_api(str(desk.ports.pool._connect_args[0]), hasher=CodeHasher([key]))


@pytest.mark.parametrize("code", ["", "AB-CD", "- - ", "----- ", "x" * 1001, None, 12345, ["AAAAA"], True])
async def test_what_is_no_code_is_refused_and_not_quoted(desk: Api, code: object):
    response = await desk.act(PATH, body={"code": code})
    problem = await response.json()

    assert (response.status, response.content_type) == (400, "application/problem+json")
    assert [error["parameter"] for error in problem["errors"]] == ["code"]
    assert "AAAAA" not in str(problem)


async def test_a_code_in_an_address_is_refused(desk: Api):
    assert (await desk.act(PATH, query={"code": CODES[1]}, body={})).status == 400
    assert (await desk.ask("/admin/orders", code=CODES[1])).status == 400
    assert (await desk.ask(PATH)).status == 405


@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 403), (Role.AUDITOR, 403), (Role.SUPPORT, 200)])
async def test_it_is_a_right_of_its_own(desk: Api, role: Role, status: int):
    token = await Tokens(desk.ports.pool).create("script", frozenset({role}), "ada", None)
    headers = {"Authorization": f"Bearer {token.text}"}

    assert (await desk.client.post(PATH, json={"code": CODES[1]}, headers=headers)).status == status


async def test_guessing_ends_soon(desk: Api):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answers = [await desk.client.post(PATH, json={"code": f"{number:05}"}, headers=headers) for number in range(21)]

    assert [answer.status for answer in answers] == [200] * 20 + [429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_without_a_key_there_is_no_search(database: str):
    async with serve_api(database) as api:
        response = await api.act(PATH, body={"code": CODES[1]})

        assert response.status == 409
        assert "CODE_HASH_KEYS" in (await response.json())["detail"]
