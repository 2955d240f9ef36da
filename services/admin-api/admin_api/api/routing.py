"""Routes as data: one declaration says who may ask, validates the request, shapes the answer and documents all."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel, JsonValue, ValidationError

from admin_api.access.audit import Entry, Result
from admin_api.access.gate import SAFE, Gate, Visit, check_right
from admin_api.access.rights import NOBODY, Asker, Right
from admin_api.api.masking import Seen, may_see, seen_by, without_addresses
from admin_api.api.ports import Ports
from admin_api.api.questions import bounded_chunks, read_object, read_question
from admin_api.api.schemas import Question
from bitloot import log
from bitloot.errors import Transient
from bitloot.problem import Problem

Q = TypeVar("Q", bound=Question)
A = TypeVar("A", bound=BaseModel)

_FILE_SECONDS = 600.0
_log = log.get(__name__)

_PARAMETER = re.compile(r"{(\w+)}")


class _Declared:
    """What all kinds of routes have in common."""

    __slots__ = ()
    path: str

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(_PARAMETER.findall(self.path))


@dataclass(frozen=True, slots=True)
class Route(_Declared, Generic[Q, A]):
    """One endpoint.

    Fields of `question` are found in the path if it names them, in the header that `headers` names for them,
    else in the query, or with `body` in a JSON object that is sent. `right` is what the asker must have. `problems`
    are the statuses beyond 400, 401, 403, 429 and 503. What is not a GET is an act, and stands in the audit log
    before it happens and afterwards, unless `reads` says that it only reads; `noted` gives what else of its answer is
    written there. What `unmasks` shows all that the asker may see.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    tag: str
    question: type[Q]
    answer: type[A]
    handle: Callable[[Ports, Q], Awaitable[A]]
    right: Right = Right.READ
    status: int = 200
    problems: tuple[int, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bool = False
    reads: bool = False
    unmasks: bool = False
    noted: Callable[[A], Mapping[str, JsonValue]] | None = None


@dataclass(frozen=True, slots=True)
class Upload(_Declared, Generic[Q, A]):
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
    right: Right
    status: int = 200
    problems: tuple[int, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    method: Literal["POST"] = "POST"
    body: Literal[False] = False
    reads: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Stream(_Declared, Generic[Q]):
    """An endpoint whose answer is written piece by piece. Otherwise as `Route`.

    What is wrong must show before the first piece: afterwards the connection is only closed. `file` is the name that
    a browser gives to what it saves; a file has its time, for it holds a view of the database until its last row is
    taken. `masked` is the right without which some of it is masked: showing that stands in the audit log.
    """

    path: str
    name: str
    summary: str
    tag: str
    question: type[Q]
    handle: Callable[[Ports, Q], AsyncGenerator[bytes, None]]
    media_type: str
    right: Right = Right.READ
    file: str | None = None
    masked: Right | None = None
    status: int = 200
    problems: tuple[int, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    method: Literal["GET", "POST"] = "GET"
    body: bool = False
    unmasks: bool = False
    answer: None = None
    reads: Literal[True] = True


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie to set, or without a value to take away. Scripts never see it."""

    name: str
    value: str | None
    same_site: Literal["Strict", "Lax"]
    max_age: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with more than a body: cookies, or another place to go to."""

    body: BaseModel | None = None
    cookies: tuple[Cookie, ...] = ()
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Door(_Declared, Generic[Q]):
    """An endpoint by which people come in and go out: it checks by itself who they are."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    name: str
    summary: str
    tag: str
    question: type[Q]
    answer: type[BaseModel] | None
    handle: Callable[[Gate, Visit, Q], Awaitable[Reply]]
    status: int = 200
    problems: tuple[int, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bool = False
    right: None = None
    reads: Literal[True] = True


AnyRoute: TypeAlias = Route[Any, Any] | Upload[Any, Any] | Stream[Any] | Door[Any]
"""A route among others: what its handler takes and gives was checked where it was declared."""


def add_routes(app: web.Application, routes: Iterable[AnyRoute], ports: Ports, gate: Gate) -> None:
    """Serve the routes to whoever the gate lets in."""
    routes = tuple(routes)
    paths = {route.path for route in routes}
    for route in routes:
        app.router.add_route(route.method, _exclusive(route.path, paths), _Endpoint(route, ports, gate).answer)


def _exclusive(path: str, paths: set[str]) -> str:
    """Return a path that does not match another one's fixed words, as `/replays/{id}` would `/replays/count`.

    Else that address would tell that it takes the methods of both.
    """
    head, _, last = path.rpartition("/")
    parameter = _PARAMETER.fullmatch(last)
    words = {each.rpartition("/")[2] for each in paths if each.rpartition("/")[0] == head and "{" not in each}
    if parameter is None or not words:
        return path
    return f"{head}/{{{parameter[1]}:(?!(?:{'|'.join(map(re.escape, sorted(words)))})$)[^{{}}/]+}}"


class _Endpoint:
    """A route with all that its handler needs."""

    def __init__(self, route: AnyRoute, ports: Ports, gate: Gate) -> None:
        self._route = route
        self._ports = ports
        self._gate = gate

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Check who asks, read the question, answer it."""
        route = self._route
        if isinstance(route, Door):
            return await self._at_the_door(route, request)
        asker = await self._gate.asker(request)
        check_right(asker, route.right)
        question = read_question(route, request, await read_object(request) if route.body else {})
        if isinstance(route, Stream):
            return await self._tell(route, request, question, asker)
        if route.method in SAFE or route.reads:
            answer = await self._handle(route, request, question, asker)
        else:
            answer = await self._act(route, request, question, asker)
        unmasks = isinstance(route, Route) and route.unmasks
        return _json(answer, route.status, may_see(asker) if unmasks else seen_by(asker))

    async def _handle(
        self, route: Route[Any, Any] | Upload[Any, Any], request: web.Request, question: Any, asker: Asker
    ) -> BaseModel:
        ports = replace(self._ports, asker=asker)
        try:
            if isinstance(route, Route):
                answer: BaseModel = await route.handle(ports, question)
            else:
                answer = await route.handle(ports, question, bounded_chunks(route, request))
        except ValidationError as error:
            # Ours and not the asker's: without this it would count as a bad request.
            raise TypeError(f"what {route.name} found does not fit its answer") from error
        return answer

    async def _act(
        self, route: Route[Any, Any] | Upload[Any, Any], request: web.Request, question: Any, asker: Asker
    ) -> BaseModel:
        """Do something, written down before and after: without the first nothing happens."""
        details = {"action": action} if (action := getattr(question, "action", None)) else {}
        entry = _entry(route, request, question, asker, details)
        await self._gate.audit.add(entry)
        async with self._refusals(entry):
            answer = await self._handle(route, request, question, asker)
        noted = route.noted(answer) if isinstance(route, Route) and route.noted is not None else {}
        await self._gate.audit.add(replace(entry, result=Result.DONE, details={**entry.details, **noted}))
        return answer

    async def _tell(self, route: Stream[Any], request: web.Request, question: Any, asker: Asker) -> web.StreamResponse:
        """Write an answer piece by piece; showing what is masked is written down, as an act is."""
        async with aclosing(route.handle(replace(self._ports, asker=asker), question)) as pieces:
            if not (route.unmasks or route.masked in asker.sees):
                first = await anext(pieces, b"")  # raises what there is to raise while it can still be told
                response, written, whole = await _stream(route, request, first, pieces)
            else:
                asked = question.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"reason"})
                entry = _entry(route, request, question, asker, {"filter": without_addresses(asked)})
                await self._gate.audit.add(entry)
                async with self._refusals(entry):
                    first = await anext(pieces, b"")
                response, written, whole = await _stream(route, request, first, pieces)
                details = {**entry.details, "bytes": written, "whole": whole}
                try:
                    await self._gate.audit.add(replace(entry, result=Result.DONE, details=details))
                except Transient as error:  # that it was asked for stands there, and the answer is written
                    _log.warning("audit.without_end", route=route.name, cause=error.cause)
        if not whole and request.transport is not None:
            # Half of it is there: a problem document would be taken for the other half, and an end for the whole.
            request.transport.abort()
        return response

    @asynccontextmanager
    async def _refusals(self, entry: Entry) -> AsyncIterator[None]:
        """Write down why an act was refused."""
        try:
            yield
        except Problem as problem:
            await self._gate.audit.add(_refused(entry, problem.status, str(problem.document.get("detail", ""))))
            raise
        except Transient as error:
            await self._gate.audit.add(_refused(entry, 503, str(error.cause)))
            raise

    async def _at_the_door(self, route: Door[Any], request: web.Request) -> web.Response:
        question = read_question(route, request, await read_object(request) if route.body else {})
        reply = await route.handle(self._gate, self._gate.visit(request), question)
        if reply.location is not None:
            response = web.Response(status=route.status, headers={"Location": reply.location})
        elif reply.body is not None:
            response = _json(reply.body, route.status, seen_by(NOBODY))
        else:
            response = web.Response(status=route.status)
        for cookie in reply.cookies:
            self._set(response, cookie)
        return response

    def _set(self, response: web.Response, cookie: Cookie) -> None:
        response.set_cookie(
            cookie.name,
            cookie.value or "",
            max_age=0 if cookie.value is None else cookie.max_age,
            path="/",
            secure=self._gate.settings.secure,
            httponly=True,
            samesite=cookie.same_site,
        )


def _entry(
    route: AnyRoute, request: web.Request, question: Any, asker: Asker, details: Mapping[str, JsonValue]
) -> Entry:
    target = "/".join(request.match_info.values())
    return Entry(asker, route.name, target, Result.ASKED, str(getattr(question, "reason", "") or ""), details)


def _refused(entry: Entry, status: int, why: str) -> Entry:
    return replace(entry, result=Result.REFUSED, details={**entry.details, "status": status, "detail": why})


def _json(answer: BaseModel, status: int, seen: Seen) -> web.Response:
    body = answer.model_dump_json(by_alias=True, context=seen).encode()
    return web.Response(status=status, body=body, content_type="application/json")


async def _stream(
    route: Stream[Any], request: web.Request, first: bytes, pieces: AsyncIterator[bytes]
) -> tuple[web.StreamResponse, int, bool]:
    """Write an answer; return it, how many bytes of it were written, and whether that is all."""
    headers = {"Content-Type": route.media_type}
    if route.file is not None:
        headers["Content-Disposition"] = f'attachment; filename="{route.file}"'
    response = web.StreamResponse(status=route.status, headers=headers)
    await response.prepare(request)
    written = 0
    try:
        async with asyncio.timeout(None if route.file is None else _FILE_SECONDS):
            piece: bytes | None = first
            while piece is not None:
                await response.write(piece)
                written += len(piece)
                piece = await anext(pieces, None)
            await response.write_eof()
    except (TimeoutError, ConnectionResetError, Transient) as error:
        _log.info("http.cut_off", route=route.name, written=written, error=type(error).__name__)
        return response, written, False
    return response, written, True
