"""The mail provider: Resend's HTTP API (https://resend.com/docs/api-reference/emails/send-email)."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from bitloot import http_client, rate_limit
from bitloot.errors import BitLootError, Cause, Refused, Transient, Unknown
from delivery.calls import measured
from delivery.mail import Message
from delivery.pace import Pace, seconds

TIMEOUT: Final = httpx.Timeout(8.0, connect=3.0)
_AT_ONCE: Final = 100  # connections: httpx's own default
USER_AGENT: Final = "bitloot-delivery/0.1"
MAX_KEY: Final = 256  # characters of an Idempotency-Key

_UNPACED: Final = rate_limit.Unpaced()
_SHORTLY: Final = 1.0  # seconds; how long to wait where `retry-after` is missing
_DAILY: Final = 3600.0  # a spent quota is asked about once an hour, not hammered


class _Accepted(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: str = Field(min_length=1, max_length=200)


class _Problem(BaseModel):
    """The body of an error. Only `name` is looked at; `message` may quote what we sent."""

    model_config = ConfigDict(extra="ignore")
    name: str = Field("", max_length=100)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    name: str
    retry_after: float | None

    @property
    def detail(self) -> str:
        return f"Resend answered {self.status} {self.name}".rstrip()


class Resend:
    """Hands messages over. `client` has the base address and is closed by its owner."""

    repeatable_for = timedelta(hours=23)
    takes = timedelta(seconds=11)
    """An hour less than Resend remembers an Idempotency-Key, counted from before the first try."""

    def __init__(self, client: httpx.AsyncClient, *, pace: Pace, shared: rate_limit.Pace = _UNPACED) -> None:
        """`shared` is the limit that all workers keep together: it hears of a 429."""
        self._client = client
        self._pace = pace
        self._shared = shared

    async def send(self, message: Message) -> str:
        """Hand over a message under its id and return Resend's id of it.

        Raises `Transient` when it is known that nothing was accepted, `Refused` for a final no, and
        `Unknown` when the request left and no usable answer came back, which every 5xx is too.
        """
        with measured("resend", "send"):
            response = await self._post(message)
            if response.status_code == 429 and refusal(_read(response)).cause is Cause.RATE_LIMITED:
                await self._shared.back_off(_read(response).retry_after)
            return self._id_of(response)

    async def _post(self, message: Message) -> httpx.Response:
        if not 1 <= len(message.id) <= MAX_KEY:
            raise Refused(Cause.DEFECT, f"a message id has 1 to {MAX_KEY} characters")
        try:
            return await self._client.post(
                "/emails",
                content=payload(message),
                headers={"Content-Type": "application/json", "Idempotency-Key": message.id},
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            # No connection, so no request.
            raise Transient(Cause.PROVIDER_UNAVAILABLE, f"Resend: {type(error).__name__}") from error
        except httpx.TimeoutException as error:
            raise Unknown(Cause.TIMEOUT, f"Resend: {type(error).__name__}") from error
        except httpx.HTTPError as error:
            raise Unknown(Cause.PROVIDER_UNAVAILABLE, f"Resend: {type(error).__name__}") from error

    def _id_of(self, response: httpx.Response) -> str:
        self._pace.learn(response.headers)
        if response.status_code == 200:
            try:
                return _Accepted.model_validate_json(response.content).id
            except ValidationError:
                raise Unknown(Cause.BAD_ANSWER, "Resend answered 200 without an id") from None
        answer = _read(response)
        error = refusal(answer)
        if error.cause is Cause.RATE_LIMITED:  # a spent quota is no matter of seconds: each order waits by itself
            self._pace.hold(answer.retry_after or _SHORTLY)
        raise error


def open_client(base_url: str, api_key: SecretStr) -> httpx.AsyncClient:
    """Return a client for `Resend`. Redirects are not followed: the API has none."""
    return http_client.open_client(
        at_once=_AT_ONCE,
        base_url=base_url,
        headers={
            "Authorization": f"Bearer {api_key.get_secret_value()}",
            # Requests without one are reported to be refused.
            "User-Agent": USER_AGENT,
        },
        timeout=TIMEOUT,
    )


def payload(message: Message) -> bytes:
    """Return the request's body: the same bytes for the same message, or its key would be refused.

    The tags come back in Resend's webhooks; they name the order and never a person.
    """
    body = {
        "from": message.sender,
        "to": [message.recipient],
        "subject": message.subject,
        "html": message.html,
        "text": message.text,
        "tags": [
            {"name": "order_id", "value": message.order_id},
            {"name": "kind", "value": message.kind},
            {"name": "message", "value": _name(message)},
        ],
    }
    return json.dumps(body, ensure_ascii=False).encode()


def _name(message: Message) -> str:
    """Return which of the order's mails it is, as a tag may say it: `mail-1`, for every rendering of it."""
    base = message.id.removeprefix(f"{message.order_id}/").partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]", "-", base)


def _read(response: httpx.Response) -> _Answer:
    try:
        name = _Problem.model_validate_json(response.content).name
    except ValidationError:
        name = ""
    return _Answer(response.status_code, name, seconds(response.headers.get("retry-after")))


def refusal(answer: _Answer) -> BitLootError:
    """Return what an answer other than 200 means for the message."""
    by_name = _BY_NAME.get((answer.status, answer.name))
    if by_name is not None:
        return by_name(answer)
    by_status = _BY_STATUS.get(answer.status)
    if by_status is not None:
        return by_status(answer)
    if answer.status >= 500:
        # It may have been accepted before something broke; the same key makes asking again safe.
        return Unknown(Cause.PROVIDER_UNAVAILABLE, answer.detail)
    if 400 <= answer.status < 500:
        return Refused(Cause.REJECTED, answer.detail)
    return Unknown(Cause.BAD_ANSWER, answer.detail)


def _later(cause: Cause, wait: float) -> Callable[[_Answer], BitLootError]:
    return lambda answer: Transient(
        cause, answer.detail, retry_after=wait if answer.retry_after is None else answer.retry_after
    )


def _never(cause: Cause) -> Callable[[_Answer], BitLootError]:
    return lambda answer: Refused(cause, answer.detail)


_BY_STATUS: Final[Mapping[int, Callable[[_Answer], BitLootError]]] = {
    401: _never(Cause.AUTHORIZATION),
    403: _never(Cause.AUTHORIZATION),  # also an unverified sender's domain
    408: lambda answer: Unknown(Cause.TIMEOUT, answer.detail),
    409: _never(Cause.CONFLICT),
    429: _later(Cause.RATE_LIMITED, _SHORTLY),
}
_BY_NAME: Final[Mapping[tuple[int, str], Callable[[_Answer], BitLootError]]] = {
    # A twin of ours is being handled, so this message may be accepted any moment.
    (409, "concurrent_idempotent_requests"): lambda answer: Unknown(Cause.NOT_READY, answer.detail),
    (409, "resource_locked"): _later(Cause.NOT_READY, _SHORTLY),
    (429, "daily_quota_exceeded"): _later(Cause.QUOTA_EXCEEDED, _DAILY),
    (429, "monthly_quota_exceeded"): _later(Cause.QUOTA_EXCEEDED, _DAILY),
}
