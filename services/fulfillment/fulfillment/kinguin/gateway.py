"""Authorized calls to Kinguin, and what their failure means for an effect.

nothing left this process (the limit, the breaker, DNS, no token)   Transient
401, with a new token as well where there are some, 429             Transient
5xx, no whole answer, no answer in time, a redirect                 Unknown, for a read Transient
any other status                                                    the caller judges
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx
from pydantic import SecretStr
from structlog.contextvars import bind_contextvars

from bitloot import log
from bitloot.breaker import Attempt, CircuitBreaker
from bitloot.errors import BitLootError, Cause, Transient, Unknown
from bitloot.rate_limit import Pace, Unpaced
from fulfillment.kinguin.clock import Clock
from fulfillment.kinguin.credentials import Credentials
from fulfillment.kinguin.wire import Answer, Json, exchange

REPAIR_SECONDS: Final = 60.0
"""Refused credentials are repaired by people: until then nothing is gained by asking more often."""

_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What keeps calls within limits.

    `total` bounds a call with its second try, `wait` the time before it leaves, in seconds; `at_once` is how many
    calls may be under way.
    """

    total: float
    wait: float = 5.0
    at_once: int = 64
    pace: Pace = field(default_factory=Unpaced)
    breaker: CircuitBreaker = field(default_factory=lambda: CircuitBreaker("kinguin"))


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    params: Mapping[str, str] | None
    body: Json


class Gateway:
    """Kinguin's API below one base address."""

    def __init__(
        self, client: httpx.AsyncClient, base_url: str, credentials: Credentials, *, bounds: Bounds, clock: Clock
    ) -> None:
        """Take the parts; a call ends after `bounds.wait + bounds.total` seconds at the latest."""
        self._client = client
        self._base_url = base_url
        self._credentials = credentials
        self._bounds = bounds
        self._clock = clock
        self._slots = asyncio.Semaphore(bounds.at_once)

    async def call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Json = None
    ) -> Answer:
        """Return the answer, whose status is 2xx or 4xx. Raises `Transient` or `Unknown`, see above."""
        with self._bounds.breaker.attempt() as attempt:
            await self._bounds.pace.acquire(self._bounds.wait)
            answer = await self._answer(_Request(method, path, params, body), attempt)
        if answer.status == 429:
            await self._bounds.pace.back_off(answer.retry_after)
        _raise_for_all_calls(answer)
        return answer

    async def _answer(self, request: _Request, attempt: Attempt) -> Answer:
        """Send it and tell the breaker what became of it."""
        what = f"{request.method} {request.path}"
        leaving = False  # once a request may be on its way, silence says nothing about its effect
        try:
            async with asyncio.timeout(self._bounds.total), self._slots:
                secret = await self._credentials.current()
                leaving = True
                answer = await self._send(request, secret)
                if answer.status == 401:
                    leaving = False
                    other = await self._credentials.renewed(secret)
                    if other is not None:
                        await self._bounds.pace.acquire(self._bounds.wait)
                        leaving = True
                        answer = await self._send(request, other)
        except TimeoutError:
            detail = f"{what}: no answer within {self._bounds.total:g} s"
            if not leaving:
                raise Transient(Cause.TIMEOUT, detail) from None
            attempt.away()
            raise lost(request.method, Cause.TIMEOUT, detail) from None
        except _NEVER_LEFT as error:
            if not isinstance(error, httpx.PoolTimeout):
                attempt.away()
            detail = f"{what}: no connection ({type(error).__name__})"
            raise Transient(Cause.PROVIDER_UNAVAILABLE, detail) from None
        except httpx.RequestError as error:
            attempt.away()
            cause = Cause.TIMEOUT if isinstance(error, httpx.TimeoutException) else Cause.PROVIDER_UNAVAILABLE
            detail = f"{what}: the answer was lost ({type(error).__name__})"
            raise lost(request.method, cause, detail) from None
        if answer.status >= 500:
            attempt.away()
        else:
            attempt.answered()
        return answer

    async def _send(self, request: _Request, secret: SecretStr) -> Answer:
        answer = await exchange(
            self._client,
            request.method,
            self._base_url + request.path,
            path=request.path,
            clock=self._clock,
            headers=self._credentials.header(secret),
            params=request.params,
            body=request.body,
        )
        bind_contextvars(status=answer.status)  # the log line about this effect tells the last status
        return answer


def lost(method: str, cause: Cause, detail: str, *, retry_after: float | None = None) -> BitLootError:
    """Return the error for a request whose effect nobody can tell; a read has none."""
    return Transient(cause, detail, retry_after=retry_after) if method == "GET" else Unknown(cause, detail)


def describe(answer: Answer) -> str:
    """Say what was asked and which status came, with the error's kind and trace id where it has them."""
    words = ", ".join(word for word in (kind_of(answer), _trace(answer)) if word)
    return f"{answer.method} {answer.path} answered {answer.status}" + (f" ({words})" if words else "")


def kind_of(answer: Answer) -> str:
    """Return the word by which the market names its error, or an empty text.

    Letters only, and no other member of the body: what is shown must not be able to hold a code.
    """
    if not isinstance(answer.document, dict):
        return ""
    for name in ("kind", "error"):
        word = answer.document.get(name)
        if isinstance(word, str) and len(word) <= 64 and word.isascii() and word.replace("_", "").isalpha():
            return word
    return ""


def _trace(answer: Answer) -> str:
    trace = answer.document.get("trace") if isinstance(answer.document, dict) else None
    if isinstance(trace, str) and 0 < len(trace) <= 64 and trace.isascii() and trace.replace("-", "").isalnum():
        return f"trace {trace}"
    return ""


def _raise_for_all_calls(answer: Answer) -> None:
    match answer.status:
        case 401:
            _log.error("kinguin.credentials_refused", detail=describe(answer))
            detail = f"{describe(answer)}: our credentials were refused"
            raise Transient(Cause.AUTHORIZATION, detail, retry_after=REPAIR_SECONDS)
        case 429:
            raise Transient(Cause.RATE_LIMITED, describe(answer), retry_after=answer.retry_after)
        case 408:
            raise lost(answer.method, Cause.TIMEOUT, describe(answer))
        case status if status >= 500:
            cause = Cause.PROVIDER_UNAVAILABLE
            raise lost(answer.method, cause, describe(answer), retry_after=answer.retry_after)
        case status if not 200 <= status < 500 or 300 <= status < 400:
            detail = f"{describe(answer)}: redirects are not followed"
            raise lost(answer.method, Cause.BAD_ANSWER, detail)
        case _:
            return
