"""What every provider call goes through: latency, faults, the effect, the ledger, the answer."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from sandbox.clock import Clock
from sandbox.dials import Panel
from sandbox.distortions import Distortion, distorted
from sandbox.faults import Faults, Kind, Rule
from sandbox.ledger import CallRecord, Ledger


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider says."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    @classmethod
    def of(cls, status: int, content: object, headers: Mapping[str, str] | None = None) -> "Answer":
        """Answer with `content` as JSON."""
        return cls(status, json.dumps(content, separators=(",", ":")).encode(), headers or {})

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """Return the same answer with these headers added."""
        return replace(self, headers={**self.headers, **headers})


class Refusal(Exception):  # noqa: N818 - it is an answer, and no error of ours
    """Ends a call with an answer in the provider's own shape."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


_UNREAD = object()


class Call:
    """One request, as an endpoint sees it."""

    def __init__(self, request: web.Request, raw: bytes) -> None:
        self.request = request
        self.raw = raw
        self._parsed: object = _UNREAD
        # The order ids that the request names, set before the endpoint is asked.
        self.order_ids: tuple[str, ...] = ()
        # Seconds that the provider takes before its effect.
        self.pause = 0.0

    def json(self) -> object:
        """Parse the body, fractions as `Decimal` from their text; ValueError when it is not JSON."""
        if self._parsed is _UNREAD:
            try:
                self._parsed = json.loads(self.raw, parse_float=Decimal)
            except RecursionError as error:
                raise ValueError("nested too deep") from error
        return self._parsed

    def member(self, name: str) -> str | None:
        """Return a text member of the body if there is one. Never raises."""
        try:
            body = self.json()
        except ValueError:
            return None
        value = body.get(name) if isinstance(body, dict) else None
        return value if isinstance(value, str) else None

    def bearer(self) -> str | None:
        """Return the bearer token that came along."""
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None

    async def take_time(self) -> None:
        """Let the provider's latency pass."""
        if self.pause:
            await asyncio.sleep(self.pause)


def _nobody(_: Call) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider's call under the name that the ledger and the fault rules use."""

    method: str
    path: str
    name: str
    handler: Callable[[Call], Awaitable[Answer]]
    # The order ids that the request names, before anything happens. Must not raise.
    order_ids: Callable[[Call], Iterable[str]] = _nobody
    # The handler calls `take_time` by itself, because something must be visible meanwhile.
    paces_itself: bool = False
    # Request and answer are secrets: the ledger keeps neither.
    confidential: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """One simulated provider: where it is mounted, what it can do, how it words an error."""

    name: str
    # Without a final slash. What no endpoint takes below it is still recorded, as the call `unknown`.
    base: str
    endpoints: Sequence[Endpoint]
    # status, machine word or None for the usual one -> answer
    error: Callable[[int, str | None], Answer]
    # Adds to a refusal what only the call knows.
    finish: Callable[["Call", Answer], Answer] = lambda _, answer: answer


class Front:
    """Serves the endpoints of all providers."""

    def __init__(self, panel: Panel, faults: Faults, ledger: Ledger, clock: Clock, registry: CollectorRegistry) -> None:
        self._panel = panel
        self._faults = faults
        self._ledger = ledger
        self._clock = clock
        self._calls = Counter(
            "sandbox_calls", "Provider calls by answer", ("provider", "call", "status", "fault"), registry=registry
        )

    def routes(self, provider: Provider) -> list[web.RouteDef]:
        """Return the provider's endpoints as aiohttp routes."""

        async def refuse(_: Call) -> Answer:
            raise Refusal(provider.error(404, None))

        rest = Endpoint("*", provider.base + "/{path:.*}", "unknown", refuse)
        return [self._route(provider, endpoint) for endpoint in (*provider.endpoints, rest)]

    def _route(self, provider: Provider, endpoint: Endpoint) -> web.RouteDef:
        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._serve(provider, endpoint, request)

        return web.route(endpoint.method, endpoint.path, serve)

    async def _serve(self, provider: Provider, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        at, started = self._clock(), time.perf_counter()
        call = Call(request, await request.read())
        call.order_ids = tuple(dict.fromkeys(endpoint.order_ids(call)))
        rule = self._faults.for_call(provider.name, endpoint.name, call.order_ids)
        answer = await self._answer(provider, endpoint, call, rule)
        hidden = endpoint.confidential
        # Recorded before it is sent: who has the answer finds it here.
        self._ledger.calls.append(
            CallRecord(
                at=at,
                provider=provider.name,
                call=endpoint.name,
                method=request.method,
                path=request.path_qs,
                order_ids=call.order_ids,
                idempotency_key=request.headers.get("Idempotency-Key"),
                request=b"" if hidden else call.raw,
                status=answer.status if answer else None,
                answer=answer.body if answer and not hidden else b"",
                seconds=time.perf_counter() - started,
                fault=rule.kind.value if rule else None,
            )
        )
        self._calls.labels(
            provider.name, endpoint.name, str(answer.status) if answer else "none", rule.kind if rule else ""
        ).inc()
        if answer is None:
            return await _hang_up(request, rule.delay if rule else 0)
        return web.Response(
            status=answer.status, body=answer.body, headers=answer.headers, content_type=answer.content_type
        )

    async def _answer(self, provider: Provider, endpoint: Endpoint, call: Call, rule: Rule | None) -> Answer | None:
        """Let it happen, or not; None is silence."""
        call.pause = self._panel.dials.latency
        match rule:
            case Rule(kind=Kind.TIMEOUT_BEFORE):
                return None
            case Rule(kind=Kind.ERROR):
                await call.take_time()
                return _failed(provider, call, rule)
            case Rule(kind=Kind.SLOW):
                call.pause += rule.delay
        try:
            if not endpoint.paces_itself:
                await call.take_time()
            answer = await endpoint.handler(call)
        except Refusal as refusal:
            answer = provider.finish(call, refusal.answer)
        return answer if rule is None else _told(provider, call, answer, rule)


def _told(provider: Provider, call: Call, answer: Answer, rule: Rule) -> Answer | None:
    """Return what is said of what happened."""
    match rule:
        case Rule(kind=Kind.TIMEOUT_AFTER):
            return None
        case Rule(kind=Kind.ERROR_AFTER):
            return _failed(provider, call, rule)
        case Rule(kind=Kind.MALFORMED):
            return _spoiled(answer, rule)
        case Rule(kind=Kind.DISTORTED, how=how) if how is not None:
            return _distorted(answer, how)
    return answer


def _failed(provider: Provider, call: Call, rule: Rule) -> Answer:
    answer = provider.finish(call, provider.error(rule.status, rule.code))
    headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
    if rule.body is None:
        return Answer(answer.status, answer.body, {**answer.headers, **headers})
    return _worded(rule.status, rule.body, headers)


def _spoiled(answer: Answer, rule: Rule) -> Answer:
    status = rule.status if "status" in rule.model_fields_set else answer.status
    if rule.body is None:
        return Answer(status, answer.body[: len(answer.body) // 2], answer.headers)
    return _worded(status, rule.body, answer.headers)


def _distorted(answer: Answer, how: Distortion) -> Answer:
    status, body, headers = distorted(how, answer.status, answer.body)
    kind = "text/html" if how == "html" else answer.content_type
    return Answer(status, body, {**answer.headers, **headers}, kind)


def _worded(status: int, text: str, headers: Mapping[str, str]) -> Answer:
    kind = "text/html" if text.lstrip().startswith("<") else "application/json"
    return Answer(status, text.encode(), headers, kind)


async def _hang_up(request: web.Request, seconds: float) -> web.Response:
    """Hold the connection, then end it without a byte."""
    await asyncio.sleep(seconds)
    if request.transport is not None:
        request.transport.abort()
    # Nobody receives it; aiohttp wants a response from every handler.
    return web.Response()
