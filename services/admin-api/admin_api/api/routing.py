"""Routes as data: one declaration validates the request, shapes the answer and documents both."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import from_json

from admin_api.api.ports import Ports
from admin_api.api.schemas import Question
from bitloot.problem import Problem
from bitloot.signing import bearer_token, token_equal

Q = TypeVar("Q", bound=Question)
A = TypeVar("A", bound=BaseModel)

_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class Route(Generic[Q, A]):
    """One endpoint.

    Fields of `question` are found in the path if it names them, in the header that `headers` names for them,
    else in the query, or with `body` in a JSON object that is sent. `problems` are the statuses beyond 400, 401
    and 503.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    tag: str
    question: type[Q]
    answer: type[A]
    handle: Callable[[Ports, Q], Awaitable[A]]
    status: int = 200
    problems: tuple[int, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bool = False

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(_PARAMETER.findall(self.path))


@dataclass(frozen=True, slots=True)
class Upload(Generic[Q, A]):
    """An endpoint that takes a file, as it comes: its handler decides how much of it to read.

    Otherwise as `Route`. A file that says beforehand that it is larger than `max_bytes` is refused unread.
    """

    path: str
    name: str
    summary: str
    tag: str
    question: type[Q]
    answer: type[A]
    handle: Callable[[Ports, Q, AsyncIterator[bytes]], Awaitable[A]]
    media_type: str
    max_bytes: int
    status: int = 200
    problems: tuple[int, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    method: Literal["POST"] = "POST"
    body: Literal[False] = False

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(_PARAMETER.findall(self.path))


AnyRoute: TypeAlias = Route[Any, Any] | Upload[Any, Any]
"""A route among others: what its handler takes and gives was checked where it was declared."""

_CHUNK_BYTES = 64 * 1024


def add_routes(app: web.Application, routes: Iterable[AnyRoute], ports: Ports, tokens: tuple[SecretStr, ...]) -> None:
    """Serve the routes to whoever has one of the tokens."""
    for route in routes:
        app.router.add_route(route.method, route.path, _Endpoint(route, ports, tokens).answer)


class _Endpoint:
    """A route with all that its handler needs."""

    def __init__(self, route: AnyRoute, ports: Ports, tokens: tuple[SecretStr, ...]) -> None:
        self._route = route
        self._ports = ports
        self._tokens = tokens

    async def answer(self, request: web.Request) -> web.Response:
        """Check the token, read the question, answer it."""
        if not token_equal(bearer_token(request.headers.get("Authorization")), self._tokens):
            raise Problem(401, "A bearer token is needed.", headers={"WWW-Authenticate": 'Bearer realm="admin"'})
        question = _read(self._route, request, await _body(request) if self._route.body else {})
        try:
            answer = await self._handle(request, question)
        except ValidationError as error:
            # Ours and not the asker's: without this it would count as a bad request.
            raise TypeError(f"what {self._route.name} found does not fit its answer") from error
        return web.Response(
            status=self._route.status,
            body=answer.model_dump_json(by_alias=True).encode(),
            content_type="application/json",
        )

    async def _handle(self, request: web.Request, question: Question) -> BaseModel:
        if isinstance(self._route, Route):
            answer: BaseModel = await self._route.handle(self._ports, question)
        else:
            answer = await self._route.handle(self._ports, question, _chunks(self._route, request))
        return answer


def _chunks(route: Upload[Any, Any], request: web.Request) -> AsyncIterator[bytes]:
    """Return the file that is sent, piece by piece. Raises the problem to answer with."""
    if request.content_type != route.media_type:
        raise Problem(415, f"The file is sent as {route.media_type}.")
    if (request.content_length or 0) > route.max_bytes:
        raise Problem(413, f"The file has more than {route.max_bytes} bytes.")
    return _bounded(route, request)


async def _bounded(route: Upload[Any, Any], request: web.Request) -> AsyncIterator[bytes]:
    seen = 0
    async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
        seen += len(chunk)
        if seen > route.max_bytes:
            raise Problem(413, f"The file has more than {route.max_bytes} bytes.")
        yield chunk


async def _body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object that was sent. Raises the problem to answer with."""
    if request.content_type != "application/json":
        raise Problem(415, "What is asked is sent as application/json.")
    try:
        body = from_json(await request.read())
    except ValueError:
        raise Problem(400, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Problem(400, "The body is not a JSON object.")
    return body


def _read(route: AnyRoute, request: web.Request, body: Mapping[str, Any]) -> Any:
    """Return what the request asks. Raises the problem to answer with."""
    elsewhere = {*route.path_parameters, *(field for field, _ in route.headers)}
    strange = [name for name in (*request.query, *body) if name in elsewhere or (route.body and name in request.query)]
    if strange:
        raise _refused([(name, "There is no such parameter.") for name in strange])
    if repeated := {name for name in request.query if len(request.query.getall(name)) > 1}:
        raise _refused([(name, "It is given more than once.") for name in sorted(repeated)])
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
        raise _refused(found) from None


def _reason(kind: str, message: str) -> str:
    return "There is no such parameter." if kind == "extra_forbidden" else message.removeprefix("Value error, ")


def _refused(found: Iterable[tuple[str, str]]) -> Problem:
    errors: list[Mapping[str, str]] = [{"parameter": name[:100], "detail": detail} for name, detail in found]
    return Problem(400, "A parameter is not as expected.", errors=errors)
