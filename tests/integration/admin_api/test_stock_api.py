"""Codes that are sold on Kinguin: imported, counted, never shown."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from admin_api.api.intake import MAX_BYTES, Intake
from bitloot.sealing import Opener, Sealer, generate_key_pair
from tests.integration.admin_api.api import TOKEN, Api, serve_api

KEYS = generate_key_pair("stock")
PATH = "/admin/stock/game-1/import"


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serve_api(database, intake=Intake(Sealer(KEYS.public), SecretStr("a secret of the test"))) as api:
        yield api


async def upload(api: Api, content, *, path: str = PATH, action: str | None = None, kind: str = "text/csv"):
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    if action is not None:
        headers["Idempotency-Key"] = action
    response = await api.client.post(path, data=content, headers=headers)
    return response.status, json.loads(await response.text())


async def counts(api: Api, product: str = "game-1") -> dict:
    (found,) = [each for each in (await api.page("/admin/stock"))["items"] if each["productId"] == product]
    return found


async def test_codes_are_imported_sealed_and_counted(api: Api):
    status, answer = await upload(api, 'code\r\nAAAA-1\r\n"BBBB-2"\r\n"CC""CC,3"\r\n')
    assert status == 200
    assert {name: answer[name] for name in ("productId", "lines", "imported", "inFile", "inStock", "repeated")} == {
        "productId": "game-1",
        "lines": 3,
        "imported": 3,
        "inFile": 0,
        "inStock": 0,
        "repeated": False,
    }
    stock = await counts(api)
    assert (stock["free"], stock["total"], stock["delivered"]) == (3, 3, 0)
    rows = await api.ports.pool.fetch("select sealed, code_hash from stock_codes order by id")
    opener, sealer = Opener([KEYS.private]), Sealer(KEYS.public)
    sealed = [sealer.seal("x").model_copy(update=row["sealed"]) for row in rows]
    assert [opener.open(each) for each in sealed] == [b"AAAA-1", b"BBBB-2", b'CC"CC,3']
    assert "AAAA" not in str([dict(row) for row in rows])


async def test_other_columns_are_left_alone_and_the_byte_order_mark_too(api: Api):
    status, answer = await upload(api, "\ufeffnote, Code ,price\nfirst,AAAA,3\nsecond, BBBB ,4\n".encode())
    assert (status, answer["imported"]) == (200, 2)


async def test_what_the_file_or_the_stock_has_already_is_left_out_and_named_by_line(api: Api):
    await upload(api, "code\nAAAA\nBBBB\n")
    status, answer = await upload(api, "code\nCCCC\nBBBB\n CCCC \n\nDDDD\n", path="/admin/stock/game-2/import")
    assert (status, answer["imported"], answer["inFile"], answer["inStock"]) == (200, 2, 1, 1)
    assert answer["refused"] == [{"line": 3, "reason": "in_stock"}, {"line": 4, "reason": "in_file"}]
    assert (await counts(api, "game-2"))["free"] == 2


async def test_the_same_click_is_answered_as_before(api: Api):
    _, first = await upload(api, "code\nAAAA\n", action="click-1")
    _, again = await upload(api, "code\nAAAA\n", action="click-1")
    assert (again["repeated"], again["imported"], again["importId"]) == (True, 1, first["importId"])
    _, other = await upload(api, "code\nAAAA\n", action="click-2")
    assert (other["repeated"], other["imported"], other["inStock"]) == (False, 0, 1)


@pytest.mark.parametrize("other", ["code\nBBBB\n", "code\nAAAA\nAAAA\n", "code\nAAAA\nBBBB\n"])
async def test_the_same_click_with_another_file_is_refused(api: Api, other: str):
    await upload(api, "code\nAAAA\n", action="click-1")
    status, problem = await upload(api, other, action="click-1")
    assert (status, "another file" in problem["detail"]) == (409, True)
    assert (await counts(api))["total"] == 1


async def test_a_code_that_was_sold_is_not_taken_again(api: Api):
    await upload(api, "code\nAAAA\n")
    await api.ports.pool.execute("update stock_codes set state = 'refunded', reservation_id = 'r', sent_at = now()")
    assert (await upload(api, "code\nAAAA\n"))[1]["inStock"] == 1
    assert (await counts(api))["refunded"] == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "first line"),
        ("AAAA\nBBBB\n", "first line"),
        ("code,code\nA,B\n", "first line"),
        ("code\n", "no codes"),
        ("code\nAAAA\n   \n", "Line 3 has no code"),
        ("a,code\nx,AAAA\nx\n", "Line 3 has no code"),
        ("code\nAAAA\nB\x00BB\n", "line 3"),
        ("code\nAAAA\nB\u202eBB\n", "line 3"),
        ("code\n" + "A" * 1001, "longer than"),
        ("code\nAAAA\n" + '"' + "B" * 200_000 + '"\n', "not CSV"),
        ('code\nAAAA\n"SECRET-CODE', "not CSV"),
        ('code\n"SECRET-CODE"x\n', "not CSV"),
        (b"code\nSECRET-CODE\xff\n", "UTF-8"),
        (b"PK\x03\x04\x00", "first line"),
    ],
)
async def test_a_file_that_is_not_sound_is_refused_as_a_whole(api: Api, content, told: str):
    status, problem = await upload(api, content)
    assert status == 400
    assert told in problem["detail"]
    assert "SECRET" not in json.dumps(problem)
    assert (await api.page("/admin/stock"))["total"] == 0


async def test_too_many_codes_are_refused(api: Api):
    status, _ = await upload(api, "code\n" + "".join(f"{number}\n" for number in range(50_001)))
    assert status == 413


async def test_a_gigabyte_is_refused_before_it_is_sent(api: Api):
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/csv", "Content-Length": str(10**9)}
    sent = 0

    async def gigabyte():
        nonlocal sent
        for _ in range(1000):
            sent += 10**6
            yield b"A" * 10**6

    response = await api.client.post(PATH, data=gigabyte(), headers=headers, expect100=True)
    assert response.status == 413
    assert sent < 10**8


async def test_a_gigabyte_that_does_not_say_so_is_refused_soon(api: Api):
    sent = 0

    async def gigabyte():
        nonlocal sent
        yield b"code\n"
        for _ in range(1000):
            sent += 10**6
            yield b"A" * 10**6

    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/csv"}
    try:
        status = (await api.client.post(PATH, data=gigabyte(), headers=headers)).status
    except ConnectionError:
        status = 413  # the server has hung up on the rest
    assert status == 413
    assert sent < 10 * MAX_BYTES + 10**8


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_anything_but_csv_is_refused(api: Api, kind: str):
    assert (await upload(api, b"code\nAAAA\n", kind=kind))[0] == 415


async def test_a_product_id_that_is_none_is_not_found(api: Api):
    assert (await upload(api, "code\nAAAA\n", path="/admin/stock/a%20b/import"))[0] == 404


async def test_a_stranger_imports_nothing(api: Api):
    response = await api.client.post(PATH, data=b"code\nAAAA\n", headers={"Content-Type": "text/csv"})
    assert response.status == 401


async def test_where_nothing_is_sold_it_is_said(database: str):
    async with serve_api(database) as api:
        status, problem = await upload(api, "code\nAAAA\n")
    assert (status, "STOCK_HASH_KEY" in problem["detail"]) == (409, True)


async def test_without_the_database_it_is_503(nowhere: str):
    async with serve_api(nowhere, intake=Intake(Sealer(KEYS.public), SecretStr("a secret of the test"))) as api:
        status, problem = await upload(api, "code\nSECRET-CODE\n")
    assert (status, problem["cause"]) == (503, "database_unavailable")
    assert "SECRET" not in json.dumps(problem)


async def test_two_uploads_at_once_store_a_code_once(api: Api):
    content = "code\n" + "".join(f"CODE-{number}\n" for number in range(300))
    answers = await asyncio.gather(*(upload(api, content) for _ in range(4)))
    assert sum(answer["imported"] for _, answer in answers) == 300
    assert (await counts(api))["free"] == 300


async def test_offers_and_their_problems_are_told(api: Api):
    await api.ports.pool.execute(
        "insert into stock_offers (offer_id, product_id, name, status, buyable, wanted, problems)"
        " values ('o-1', 'game-1', 'Portal', 'INACTIVE', 0, 7, $1), ('o-2', 'game-2', 'Doom', 'ACTIVE', 3, 3, '[]')",
        [{"problem": "not_visible", "detail": "Customers do not see the offer."}],
    )
    assert [each["offerId"] for each in (await api.page("/admin/offers"))["items"]] == ["o-1", "o-2"]
    assert [each["offerId"] for each in (await api.page("/admin/offers", problem="not_visible"))["items"]] == ["o-1"]
    told = await api.page("/admin/offers/o-1/problems")
    assert told["problems"] == [{"problem": "not_visible", "detail": "Customers do not see the offer."}]
    assert (await api.page("/admin/offers/o-2/problems"))["problems"] == []
    assert (await api.ask("/admin/offers/none/problems")).status == 404
