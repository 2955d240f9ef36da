"""Authorized calls to Kinguin, and what their failure means for an effect.

nothing left this process (refused, DNS, no token)      Transient
401 after a new token, 429                              Transient
5xx, no whole answer, no answer in time, a redirect     Unknown, for a read Transient
any other status                                        the caller judges
"""

import asyncio
from collections.abc import Mapping

import httpx
from structlog.contextvars import bind_contextvars

from bitloot.errors import BitLootError, Cause, Transient, Unknown
from fulfillment.kinguin.clock import Clock
from fulfillment.kinguin.token import TokenSource
from fulfillment.kinguin.wire import Answer, exchange

_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Gateway:
    """Kinguin's API below one base address."""

    def __init__(
        self, client: httpx.AsyncClient, base_url: str, tokens: TokenSource, *, total: float, clock: Clock
    ) -> None:
        """`total` bounds a call with its token and its second try, in seconds."""
        self._client = client
        self._base_url = base_url
        self._tokens = tokens
        self._total = total
        self._clock = clock

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, str | int] | None = None,
    ) -> Answer:
        """Return the answer, whose status is 2xx or 4xx. Raises `Transient` or `Unknown`, see above."""
        leaving = False  # once a request may be on its way, silence says nothing about its effect
        try:
            async with asyncio.timeout(self._total):
                bearer = await self._tokens.current()
                leaving = True
                answer = await self._send(bearer.get_secret_value(), method, path, params, body)
                if answer.status == 401:
                    leaving = False
                    bearer = await self._tokens.renewed(bearer)
                    leaving = True
                    answer = await self._send(bearer.get_secret_value(), method, path, params, body)
        except TimeoutError:
            detail = f"{method} {path}: no answer within {self._total:g} s"
            if not leaving:
                raise Transient(Cause.TIMEOUT, detail) from None
            raise lost(method, Cause.TIMEOUT, detail) from None
        except _NEVER_LEFT as error:
            detail = f"{method} {path}: no connection ({type(error).__name__})"
            raise Transient(Cause.PROVIDER_UNAVAILABLE, detail) from None
        except httpx.RequestError as error:
            cause = Cause.TIMEOUT if isinstance(error, httpx.TimeoutException) else Cause.PROVIDER_UNAVAILABLE
            detail = f"{method} {path}: the answer was lost ({type(error).__name__})"
            raise lost(method, cause, detail) from None
        _raise_for_all_calls(answer)
        return answer

    async def _send(
        self,
        bearer: str,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, str | int] | None,
    ) -> Answer:
        answer = await exchange(
            self._client,
            method,
            self._base_url + path,
            path=path,
            clock=self._clock,
            bearer=bearer,
            params=params,
            body=body,
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
            raise Transient(Cause.AUTHORIZATION, f"{describe(answer)}, with a new token as well")
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
