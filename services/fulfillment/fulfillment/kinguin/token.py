"""Our access token at Kinguin: OAuth 2 client credentials, kept in memory only, one for all calls."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from bitloot import log
from bitloot.errors import Cause, Transient
from fulfillment.kinguin import clock, wire
from fulfillment.kinguin.telemetry import measured

TOKEN_PATH: Final = "/auth/token"  # noqa: S105 - a path

_DEFAULT_LIFE: Final = 300.0  # RFC 6749 lets a server leave `expires_in` out
_MAX_LIFE: Final = 86_400.0
_AHEAD: Final = 60.0  # seconds before its end that a token is renewed, but at most
_AHEAD_SHARE: Final = 0.2  # of its life, for tokens that live shortly
_PAUSE: Final = 5.0  # between tries to renew a token that still works
_TOKEN = re.compile(r"[!-~]{1,8192}", re.ASCII)  # what may stand in a header
_WORD = re.compile(r"[A-Za-z_]{1,64}", re.ASCII)

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Token:
    bearer: SecretStr
    renew_at: float
    ends_at: float


class TokenSource:
    """Hands out the token. However many calls need a new one, one request is made and all wait for it."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        client_id: str,
        client_secret: SecretStr,
        *,
        total: float,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the endpoint's address, or its base; `total` bounds a request, in seconds."""
        self._client = client
        self._url = url if urlsplit(url).path.endswith("/token") else url + TOKEN_PATH
        self._form = {"grant_type": "client_credentials", "client_id": client_id}
        self._secret = client_secret
        self._total = total
        self._uptime = uptime
        self._token: _Token | None = None
        self._renewal: asyncio.Task[SecretStr] | None = None

    async def current(self) -> SecretStr:
        """Return a token that is valid for a while. Raises `Transient` when there is none to be had."""
        token, now = self._token, self._uptime()
        if token is not None and now < token.renew_at:
            return token.bearer
        try:
            return await self._renew()
        except Transient:
            if token is None or self._uptime() >= token.ends_at:
                raise
        # The old one works for some time yet; the next call does not have to wait for the same failure.
        if self._token is token:
            self._token = replace(token, renew_at=self._uptime() + _PAUSE)
        return token.bearer

    async def renewed(self, rejected: SecretStr) -> SecretStr:
        """Return another token than the one that was rejected. Raises `Transient`."""
        if self._token is not None and self._token.bearer != rejected:
            return self._token.bearer
        return await self._renew()

    def header(self, secret: SecretStr) -> dict[str, str]:
        """Return the header that shows a token."""
        return {"Authorization": f"Bearer {secret.get_secret_value()}"}

    async def close(self) -> None:
        """End a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    async def _renew(self) -> SecretStr:
        if self._renewal is None:
            # A task of its own: a caller that gives up must not take the others' token with it.
            self._renewal = asyncio.create_task(self._fetch(), name="kinguin token")
            self._renewal.add_done_callback(self._renewal_ended)
        try:
            return await asyncio.shield(self._renewal)
        except Transient as error:
            # One error for each caller: a shared one would gather the tracebacks of all.
            raise Transient(error.cause, error.detail, retry_after=error.retry_after) from None

    def _renewal_ended(self, task: asyncio.Task[SecretStr]) -> None:
        self._renewal = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("kinguin.token_failed", reason=str(error))

    async def _fetch(self) -> SecretStr:
        with measured("token"):
            asked_at = self._uptime()
            answer = await self._ask()
            if answer.status != 200:
                raise _refusal(answer)
            bearer, life = _read(answer)
        ahead = min(_AHEAD, life * _AHEAD_SHARE)
        # Counted from before the request: the token's life began at some time during it.
        self._token = _Token(bearer, asked_at + life - ahead, asked_at + life)
        _log.info("kinguin.token_renewed", lives_for=life)
        return bearer

    async def _ask(self) -> wire.Answer:
        form = self._form | {"client_secret": self._secret.get_secret_value()}
        try:
            async with asyncio.timeout(self._total):
                return await wire.exchange(self._client, "POST", self._url, path=TOKEN_PATH, clock=clock.now, form=form)
        except TimeoutError:
            raise Transient(Cause.TIMEOUT, f"No token came within {self._total:g} s") from None
        except httpx.RequestError as error:
            reason = type(error).__name__
            raise Transient(Cause.PROVIDER_UNAVAILABLE, f"No token came: {reason}") from None


def _refusal(answer: wire.Answer) -> Transient:
    # A wrong secret too may work later: when it has been corrected, without a restart of every order.
    cause = Cause.PROVIDER_UNAVAILABLE
    if answer.status in {400, 401, 403}:
        cause = Cause.AUTHORIZATION
    elif answer.status == 429:
        cause = Cause.RATE_LIMITED
    word = answer.document.get("error") if isinstance(answer.document, dict) else None
    reason = f" ({word})" if isinstance(word, str) and _WORD.fullmatch(word) else ""
    return Transient(cause, f"The token endpoint answered {answer.status}{reason}", retry_after=answer.retry_after)


def _read(answer: wire.Answer) -> tuple[SecretStr, float]:
    """Return the token and its life in seconds."""
    document = answer.document if isinstance(answer.document, dict) else {}
    bearer, kind = document.get("access_token"), document.get("token_type", "Bearer")
    if not isinstance(bearer, str) or not _TOKEN.fullmatch(bearer):
        raise Transient(Cause.BAD_ANSWER, "The token endpoint's answer holds no usable token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise Transient(Cause.BAD_ANSWER, "The token endpoint's answer is not a bearer token")
    return SecretStr(bearer), _life(document.get("expires_in"))


def _life(expires_in: wire.Json) -> float:
    if isinstance(expires_in, str) and expires_in.isascii() and expires_in.isdigit():
        expires_in = int(expires_in[:9])
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | Decimal):
        return _DEFAULT_LIFE
    return float(min(max(expires_in, 0), int(_MAX_LIFE)))
