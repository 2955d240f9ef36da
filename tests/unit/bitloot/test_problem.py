import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import AfterValidator, BaseModel, Field
from structlog.testing import capture_logs

from bitloot.errors import Cause, Transient
from bitloot.problem import Problem, from_validation, problem_middleware

Client = TestClient[web.Request, web.Application]


def _quote(value: str) -> str:
    raise ValueError(f"I do not like {value}")


class Item(BaseModel):
    quantity: int = Field(ge=1, le=100)


class Body(BaseModel):
    email: str
    items: list[Item]
    note: Annotated[str, AfterValidator(_quote)] | None = None


async def parse(request: web.Request) -> web.Response:
    Body.model_validate_json(await request.read())
    return web.Response()


async def conflict(_request: web.Request) -> web.Response:
    raise Problem(
        409,
        "The key was used with another body.",
        title="Idempotency conflict",
        type_uri="urn:bitloot:problem:idempotency-conflict",
        instance="/orders/1",
        headers={"X-Order": "1"},
        orderId="1",
    )


async def crash(_request: web.Request) -> web.Response:
    raise RuntimeError("hunter2 is the password")


async def unavailable(_request: web.Request) -> web.Response:
    raise Transient(Cause.BROKER_UNAVAILABLE, "internals", retry_after=1.2)


async def redirect(_request: web.Request) -> web.Response:
    raise web.HTTPFound("/elsewhere")


async def unauthorized(_request: web.Request) -> web.Response:
    raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application(middlewares=[problem_middleware], client_max_size=1000)
    app.router.add_post("/parse", parse)
    for handler in (conflict, crash, unavailable, redirect, unauthorized):
        app.router.add_get(f"/{handler.__name__}", handler)
    async with TestClient(TestServer(app)) as each:
        yield each


async def document(answer: aiohttp.ClientResponse) -> Any:
    assert answer.content_type == "application/problem+json"
    return await answer.json(content_type="application/problem+json")


async def test_a_problem_says_all_that_the_standard_knows(client: Client):
    answer = await client.get("/conflict")

    assert answer.status == 409
    assert answer.headers["X-Order"] == "1"
    assert await document(answer) == {
        "type": "urn:bitloot:problem:idempotency-conflict",
        "title": "Idempotency conflict",
        "status": 409,
        "detail": "The key was used with another body.",
        "instance": "/orders/1",
        "orderId": "1",
    }


async def test_unknown_address(client: Client):
    answer = await client.get("/nowhere")

    assert answer.status == 404
    assert await document(answer) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing at this address.",
    }


async def test_wrong_method_keeps_the_allowed_ones(client: Client):
    answer = await client.get("/parse")

    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    assert (await document(answer))["title"] == "Method Not Allowed"


async def test_too_large(client: Client):
    answer = await client.post("/parse", data=b"x" * 2000)

    assert answer.status == 413
    assert (await document(answer))["detail"] == "The body is larger than allowed."


async def test_authentication_challenge_is_kept(client: Client):
    answer = await client.get("/unauthorized")

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (await document(answer))["status"] == 401


async def test_a_wrong_body_names_each_field_and_echoes_nothing(client: Client):
    body = b'{"items": [{"quantity": 1}, {"quantity": "hunter2"}, {"quantity": 0}], "note": "hunter3"}'
    answer = await client.post("/parse", data=body)

    assert answer.status == 400
    assert "hunter" not in await answer.text()
    assert (await document(answer))["errors"] == [
        {"pointer": "#/email", "detail": "Field required", "type": "missing"},
        {
            "pointer": "#/items/1/quantity",
            "detail": "Input should be a valid integer, unable to parse string as an integer",
            "type": "int_parsing",
        },
        {
            "pointer": "#/items/2/quantity",
            "detail": "Input should be greater than or equal to 1",
            "type": "greater_than_equal",
        },
        {"pointer": "#/note", "detail": "It is not valid.", "type": "value_error"},
    ]


async def test_what_is_not_json_is_a_wrong_body(client: Client):
    answer = await client.post("/parse", data=b"\xff{")

    assert answer.status == 400
    assert (await document(answer))["errors"][0]["pointer"] == "#"


async def test_thousands_of_wrong_fields_are_cut(client: Client):
    answer = await client.post("/parse", data=b'{"items":[' + b",".join([b"1"] * 300) + b"]}")

    assert len((await document(answer))["errors"]) == 20


async def test_a_defect_is_logged_by_an_id_and_hides_its_text(client: Client):
    with capture_logs() as logs:
        answer = await client.get("/crash")

    assert answer.status == 500
    assert "hunter2" not in await answer.text()
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("http.failed", "error")
    assert (await document(answer))["instance"] == f"urn:uuid:{line['error_id']}"


async def test_what_may_work_later_is_503_with_the_wait(client: Client):
    answer = await client.get("/unavailable")

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "2"
    assert (await document(answer))["cause"] == "broker_unavailable"
    assert "internals" not in await answer.text()


async def test_redirects_pass(client: Client):
    answer = await client.get("/redirect", allow_redirects=False)

    assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere")
    assert answer.content_type == "text/plain"


async def test_a_body_that_is_not_encoded_as_announced(client: Client):
    answer = await client.post("/parse", data=b"not gzip", headers={"Content-Encoding": "gzip"})

    assert answer.status == 400


async def test_cancellation_is_not_an_error():
    async def canceled(_request: web.Request) -> web.Response:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await problem_middleware(None, canceled)  # type: ignore[arg-type]


def test_pointers_are_escaped():
    problem = from_validation_of({"a/b~c": "x"})

    assert problem["errors"][0]["pointer"] == "#/a~1b~0c"


def from_validation_of(value: object) -> Any:
    class Strict(BaseModel, extra="forbid"):
        pass

    try:
        Strict.model_validate(value)
    except ValueError as error:
        return from_validation(error).document  # type: ignore[arg-type]
    raise AssertionError("accepted")


def test_an_odd_status_has_a_title():
    assert Problem(499).document["title"] == "Error"
