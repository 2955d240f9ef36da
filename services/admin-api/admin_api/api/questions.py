"""What a request asks, read by its route's declaration; all that does not fit is refused."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol

from aiohttp import web
from pydantic import ValidationError
from pydantic_core import from_json

from admin_api.api.schemas import Question
from bitloot.bodies import read_body
from bitloot.problem import Problem

_CHUNK_BYTES = 64 * 1024


class Declared(Protocol):
    """What of a route tells where its question is found."""

    @property
    def path_parameters(self) -> tuple[str, ...]: ...  # noqa: D102 - see Route

    @property
    def headers(self) -> tuple[tuple[str, str], ...]: ...  # noqa: D102

    @property
    def body(self) -> bool: ...  # noqa: D102

    @property
    def question(self) -> type[Question]: ...  # noqa: D102


class Bounded(Protocol):
    """What of a route tells which files it takes."""

    @property
    def media_type(self) -> str: ...  # noqa: D102 - see Upload

    @property
    def max_bytes(self) -> int: ...  # noqa: D102


def bounded_chunks(route: Bounded, request: web.Request) -> AsyncIterator[bytes]:
    """Return the file that is sent, piece by piece. Raises the problem to answer with."""
    if request.content_type != route.media_type:
        raise Problem(415, f"The file is sent as {route.media_type}.")
    if (request.content_length or 0) > route.max_bytes:
        raise Problem(413, f"The file has more than {route.max_bytes} bytes.")
    return _bounded(route, request)


async def _bounded(route: Bounded, request: web.Request) -> AsyncIterator[bytes]:
    seen = 0
    async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
        seen += len(chunk)
        if seen > route.max_bytes:
            raise Problem(413, f"The file has more than {route.max_bytes} bytes.")
        yield chunk


async def read_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object that was sent. Raises the problem to answer with."""
    if request.content_type != "application/json":
        raise Problem(415, "What is asked is sent as application/json.")
    raw = await read_body(request)
    try:
        body = from_json(raw)
    except ValueError:
        raise Problem(400, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Problem(400, "The body is not a JSON object.")
    return body


def read_question(route: Declared, request: web.Request, body: Mapping[str, Any]) -> Any:
    """Return what the request asks. Raises the problem to answer with."""
    elsewhere = {*route.path_parameters, *(field for field, _ in route.headers)}
    strange = [name for name in (*request.query, *body) if name in elsewhere or (route.body and name in request.query)]
    if strange:
        raise refused([(name, "There is no such parameter.") for name in strange])
    if repeated := {name for name in request.query if len(request.query.getall(name)) > 1}:
        raise refused([(name, "It is given more than once.") for name in sorted(repeated)])
    given = {
        **request.query,
        **body,
        **request.match_info,
        **{field: request.headers[header] for field, header in route.headers if header in request.headers},
    }
    try:
        return route.question.model_validate(given)
    except ValidationError as error:
        found = [
            (
                ".".join(map(str, each["loc"])) if route.body else str((*each["loc"], "")[0]),
                _reason(each["type"], each["msg"]),
            )
            for each in error.errors()
        ]
        if any(name in route.path_parameters for name, _ in found):
            raise Problem(404, "There is nothing with this id.") from None
        raise refused(found) from None


def _reason(kind: str, message: str) -> str:
    return "There is no such parameter." if kind == "extra_forbidden" else message.removeprefix("Value error, ")


def refused(found: Iterable[tuple[str, str]]) -> Problem:
    """Return the 400 for parameters, each with what is wrong with it."""
    errors: list[Mapping[str, str]] = [{"parameter": name[:100], "detail": detail} for name, detail in found]
    return Problem(400, "A parameter is not as expected.", errors=errors)
