"""RFC 9457 problem documents for the control plane. The simulated providers answer in their own shapes."""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web
from pydantic import ValidationError


class Problem(Exception):  # noqa: N818 - the RFC's own word
    """Ends a control request with a problem document."""

    def __init__(self, status: int, detail: str, **members: object) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.members = members


def response(status: int, detail: str, **members: object) -> web.Response:
    """Return the `application/problem+json` answer."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return web.json_response({**document, **members}, status=status, content_type="application/problem+json")


def invalid(error: ValidationError) -> Problem:
    """Name every faulty member; values stay out because they may be secrets."""
    faults = [
        {"pointer": "".join(f"/{part}" for part in each["loc"]), "detail": each["msg"]} for each in error.errors()
    ]
    return Problem(422, "the body does not fit", errors=faults)


async def json_object(request: web.Request) -> dict[str, object]:
    """Return the members of the body, none when it is empty. Raises `Problem` 400 or 422."""
    body = await json_body(request)
    if not isinstance(body, dict):
        raise Problem(422, "the body must be an object")
    return body


async def json_body(request: web.Request) -> object:
    """Parse the body; an empty one is `{}`. Raises `Problem` 400 when it is not JSON."""
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        parsed: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "the body is not JSON") from error
    return parsed


@web.middleware
async def problem_documents(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn problems, and what the router refuses, into documents."""
    try:
        return await handler(request)
    except Problem as problem:
        return response(problem.status, problem.detail, **problem.members)
    except web.HTTPError as error:
        return response(error.status, error.reason)
