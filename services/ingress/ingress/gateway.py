"""Calls to NOWPayments, and what their failure means.

nothing left this process (the limit, the breaker, no connection)   Transient
401 and 403, 429                                                    Transient
404 that is not the API's own, or of a read any such refusal         Transient
5xx, no whole answer, no answer in time                             Unknown, for a read Transient
any other status                                                    Refused
an answer that is no JSON object or list                            Malformed

https://documenter.getpostman.com/view/7907941/2s93JusNJt. An account's own key goes along with every call; listing
payments wants the bearer token of somebody who may sign in as well, and that token lives for five minutes.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

import httpx
from pydantic import SecretStr

from bitloot import metrics
from bitloot.breaker import Attempt, CircuitBreaker
from bitloot.canonical_json import MAX_SIZE, JsonValue, parse
from bitloot.errors import BitLootError, Cause, Malformed, Refused, Transient, Unknown
from bitloot.http_client import AS_IT_IS, read_within, retry_after
from bitloot.rate_limit import Pace, Unpaced

T = TypeVar("T")
Call = Literal["create_invoice", "create_payment", "payment", "payments", "min_amount", "coins", "auth"]

_REPAIR_SECONDS: Final = 60.0
"""Refused credentials are repaired by people: until then nothing is gained by asking more often."""
_BEARER_SECONDS: Final = 4 * 60.0
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CODE = re.compile(r"[A-Z_]{1,64}")
_CAUSES = {"AMOUNT_MINIMAL_ERROR": Cause.AMOUNT_TOO_SMALL, "CURRENCY_UNAVAILABLE": Cause.COIN_UNAVAILABLE}


@dataclass(frozen=True, slots=True)
class Login:
    """Who may list payments: a user of the account."""

    email: str
    password: SecretStr


@dataclass(frozen=True, slots=True)
class Bounds:
    """What keeps calls within limits: `patience` for a whole call and `wait` for its turn, in seconds."""

    patience: float
    wait: float = 5.0
    pace: Pace = field(default_factory=Unpaced)
    breaker: CircuitBreaker = field(default_factory=lambda: CircuitBreaker("nowpayments"))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back; `body` is None where it was too large or compressed, `retry_after` is in seconds."""

    method: str
    status: int
    body: bytes | None = field(repr=False)
    retry_after: float | None


class Gateway:
    """NOWPayments' API through `client`, which has the base address and the key.

    `read` understands the answer of a call, or raises `Malformed`: that counts as the call's result, too.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        bounds: Bounds,
        login: Login | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._bounds = bounds
        self._login = login
        self._clock = clock
        self._bearer: tuple[str, float] | None = None

    async def get(
        self, call: Call, path: str, read: Callable[[JsonValue], T], params: Mapping[str, str] | None = None
    ) -> T:
        """Read something. Raises `Transient`, `Refused` or `Malformed`."""
        return await self._measured(call, "GET", path, read, params=params)

    async def post(self, call: Call, path: str, read: Callable[[JsonValue], T], body: bytes) -> T:
        """Create something. Raises `Unknown` where it may have been created."""
        return await self._measured(call, "POST", path, read, body=body)

    async def get_as_user(self, call: Call, path: str, read: Callable[[JsonValue], T], params: Mapping[str, str]) -> T:
        """Read what wants somebody to have signed in. Raises `Refused(CANNOT_ASK)` when nobody can."""
        if self._login is None:
            raise Refused(Cause.CANNOT_ASK, "listing payments needs the account's email and password")
        bearer = await self._signed_in(self._login)
        try:
            return await self._measured(call, "GET", path, read, params=params, bearer=bearer)
        except Transient as error:
            if error.cause is Cause.AUTHORIZATION:
                self._bearer = None  # it may have ended early: the next try signs in anew
            raise

    async def _signed_in(self, login: Login) -> str:
        if self._bearer is not None and self._clock() < self._bearer[1]:
            return self._bearer[0]
        body = httpx.Request("POST", "/", json={"email": login.email, "password": login.password.get_secret_value()})
        token = await self._measured("auth", "POST", "auth", _token, body=body.content)
        self._bearer = token, self._clock() + _BEARER_SECONDS
        return token

    async def _measured(
        self,
        call: Call,
        method: str,
        path: str,
        read: Callable[[JsonValue], T],
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        bearer: str | None = None,
    ) -> T:
        started = time.perf_counter()
        result = "canceled_by_us"
        headers = AS_IT_IS | ({} if bearer is None else {"authorization": f"Bearer {bearer}"})
        if body is not None:
            headers["content-type"] = "application/json"
        request = self._client.build_request(method, path, params=params, content=body, headers=headers)
        # Ids in a path would be texts without end in messages that are grouped by.
        what = f"{method} {path.partition('/')[0]}"
        try:
            answer = read(await self._answered(request, what))
            result = "ok"
        except BitLootError as error:
            result = error.cause
            raise
        finally:
            metrics.PROVIDER_CALLS.labels("nowpayments", call, result).inc()
            metrics.PROVIDER_SECONDS.labels("nowpayments", call).observe(time.perf_counter() - started)
        return answer

    async def _answered(self, request: httpx.Request, what: str) -> JsonValue:
        with self._bounds.breaker.attempt() as attempt:
            await self._bounds.pace.acquire(self._bounds.wait)
            answer = await self._sent(request, what, attempt)
        if answer.status == 429:
            await self._bounds.pace.back_off(answer.retry_after)
            raise Transient(Cause.RATE_LIMITED, f"{what}: HTTP 429", retry_after=answer.retry_after)
        if not 200 <= answer.status < 300:
            raise _refusal(answer, what)
        try:
            return _document(answer)
        except Malformed as error:
            raise Malformed(Cause.BAD_ANSWER, f"{what}: HTTP {answer.status}, {error.detail}") from None

    async def _sent(self, request: httpx.Request, what: str, attempt: Attempt) -> _Answer:
        try:
            # The client's timeout is for each step; this one is for all of them.
            async with asyncio.timeout(self._bounds.patience):
                response = await self._client.send(request, stream=True)
                async with aclosing(response):
                    body = await read_within(response, MAX_SIZE)
        except _NEVER_LEFT as error:
            attempt.away()
            raise Transient(Cause.PROVIDER_UNAVAILABLE, f"{what}: {type(error).__name__}") from None
        except (httpx.TimeoutException, TimeoutError):
            attempt.away()
            raise _lost(request.method, Cause.TIMEOUT, f"{what}: no answer in time") from None
        except httpx.HTTPError as error:
            attempt.away()
            raise _lost(request.method, Cause.PROVIDER_UNAVAILABLE, f"{what}: {type(error).__name__}") from None
        if response.status_code >= 500:
            attempt.away()
        else:
            attempt.answered()
        wait = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        return _Answer(request.method, response.status_code, body, wait)


def _token(answer: JsonValue) -> str:
    token = answer.get("token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise Malformed(Cause.BAD_ANSWER, "POST auth: an answer without a token")
    return token


def _lost(method: str, cause: Cause, detail: str, retry_after: float | None = None) -> BitLootError:
    """Return the error for a request whose effect nobody can tell; a read has none."""
    return Transient(cause, detail, retry_after=retry_after) if method == "GET" else Unknown(cause, detail)


def _refusal(answer: _Answer, what: str) -> BitLootError:
    status, told = answer.status, _told(answer)
    code = _code(told)
    detail = f"{what}: HTTP {status}" + (f" {code}" if code else "")
    # A redirect is not followed. It is no answer of the provider's: somebody before it does not let us through.
    if status >= 500 or status == 408 or status < 400:
        return _lost(answer.method, Cause.PROVIDER_UNAVAILABLE, detail, answer.retry_after)
    if status in {401, 403}:
        return Transient(Cause.AUTHORIZATION, detail, retry_after=_REPAIR_SECONDS)
    if told is None and (status == 404 or answer.method == "GET"):
        # Something in between that does not know the address: whether there is such a payment it cannot say.
        return Transient(Cause.BAD_ANSWER, f"{detail}, not the API's own answer")
    if status == 404:
        return Refused(Cause.NOT_FOUND, detail)
    return Refused(_CAUSES.get(code, Cause.REJECTED), detail)


def _document(answer: _Answer) -> JsonValue:
    """Return what the answer says. Raises `Malformed`."""
    if answer.body is None:
        raise Malformed(Cause.TOO_LARGE, f"more than {MAX_SIZE} bytes, or compressed")
    return parse(answer.body).value


def _told(answer: _Answer) -> dict[str, JsonValue] | None:
    """Return what an answer says as the API would, or None."""
    try:
        document = _document(answer)
    except Malformed:
        return None
    return document if isinstance(document, dict) else None


def _code(told: Mapping[str, JsonValue] | None) -> str:
    """Return the word by which the provider names its error; nothing else of the answer is shown."""
    code = told.get("code") if told is not None else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
