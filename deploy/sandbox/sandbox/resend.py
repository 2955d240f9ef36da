"""Resend's API: `POST /emails` with its idempotency rule, `GET /emails/{id}`, rate limit, signed events."""

import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sandbox.calls import Answer, Call, Endpoint, Provider, Refusal
from sandbox.clock import Clock, iso
from sandbox.dials import Panel, svix_key
from sandbox.journal import uuids
from sandbox.ledger import Ledger, Mail
from sandbox.svix import headers
from sandbox.webhooks import Webhook, Webhooks

_REMEMBERED_SECONDS = 24 * 3600
_TEST_DOMAIN = "resend.dev"
_TEST_ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "delivered": ("email.sent", "email.delivered"),
    "bounced": ("email.sent", "email.bounced"),
    "complained": ("email.sent", "email.delivered", "email.complained"),
    "suppressed": ("email.suppressed",),
}
"""What becomes of a mail to one of Resend's addresses for tests, as with the real API; each may carry a `+label`."""
_DETAILS: Mapping[str, Mapping[str, object]] = {
    "email.bounced": {
        "bounce": {"type": "Permanent", "subType": "General", "message": "The recipient's server rejected the mail."}
    },
    "email.suppressed": {"suppressed": {"message": "On the suppression list.", "type": "OnAccountSuppressionList"}},
}
_NAMES = {
    400: "validation_error",
    401: "missing_api_key",
    403: "invalid_api_key",
    404: "not_found",
    405: "method_not_allowed",
    409: "resource_locked",
    422: "invalid_parameter",
    429: "rate_limit_exceeded",
    503: "service_unavailable",
}


class Tag(BaseModel):
    """A label that comes back in events."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,256}$")]
    value: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,256}$")]


def _address(text: str) -> str:
    """Return the bare address in lower case; ValueError when there is none or a line could be smuggled in."""
    _, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    if not (local and domain) or any(ord(letter) < ord(" ") for letter in text):
        raise ValueError(f"not a mail address: {text[:80]!r}")
    return address.lower()


class Message(BaseModel):
    """Body of `POST /emails`."""

    model_config = ConfigDict(frozen=True)

    sender: Annotated[str, Field(alias="from")]
    to: str | Annotated[list[str], Field(min_length=1, max_length=50)]
    subject: str
    html: str | None = None
    text: str | None = None
    template: dict[str, object] | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    tags: list[Tag] = Field(default_factory=list)

    @model_validator(mode="after")
    def _can_be_sent(self) -> "Message":
        if self.template is None and self.html is None and self.text is None:
            raise ValueError("html or text is required")
        if self.template is not None and (self.html or self.text):
            raise ValueError("a template excludes html and text")
        if "\n" in self.subject or "\r" in self.subject:
            raise ValueError("the subject must be one line")
        _address(self.sender)
        _ = self.recipients
        return self

    @property
    def recipients(self) -> tuple[str, ...]:
        """The bare addresses."""
        return tuple(_address(each) for each in ([self.to] if isinstance(self.to, str) else self.to))


@dataclass(slots=True)
class _Remembered:
    fingerprint: bytes
    at: float
    # None while the first request runs.
    answer: Answer | None = None


def error(status: int, name: str | None = None, message: str = "simulated") -> Answer:
    """Answer in Resend's shape."""
    name = name or _NAMES.get(status, "application_error")
    return Answer.of(status, {"statusCode": status, "name": name, "message": message})


class Resend:
    """The team's account."""

    def __init__(self, panel: Panel, ledger: Ledger, webhooks: Webhooks, clock: Clock) -> None:
        self._panel = panel
        self._ledger = ledger
        self._webhooks = webhooks
        self._clock = clock
        self._memory: dict[str, _Remembered] = {}
        self._mails: dict[str, Mail] = {}
        self._window = (0, 0)

    def provider(self) -> Provider:
        """Return all that answers for Resend."""
        return Provider(
            "resend",
            "/resend",
            (
                Endpoint("POST", "/resend/emails", "send", self.send, _orders_of_mail, paces_itself=True),
                Endpoint("GET", "/resend/emails/{id}", "email", self.read, self._orders_of_id),
            ),
            error,
        )

    async def send(self, call: Call) -> Answer:
        """Accept a mail. The same key and content get the first answer again, and nothing is sent."""
        self._authorize(call)
        rate = self._within_rate()
        key = call.request.headers.get("Idempotency-Key")
        if key is None:
            await call.take_time()
            accepted = self._accept(call, None)
        else:
            accepted = await self._once(key, call)
        return Answer(accepted.status, accepted.body, rate)

    async def _once(self, key: str, call: Call) -> Answer:
        if not 1 <= len(key) <= 256:
            raise Refusal(error(400, "invalid_idempotency_key", "the key must have 1 to 256 characters"))
        fingerprint = _fingerprint(call)
        self._forget_old()
        earlier = self._memory.get(key)
        if earlier is not None:
            return _repeated(earlier, fingerprint)
        entry = self._memory[key] = _Remembered(fingerprint, self._clock())
        try:
            await call.take_time()
            entry.answer = self._accept(call, key)
        finally:
            # Refusals are not remembered: the contract leaves it open, and this is what a retry hopes for.
            if entry.answer is None:
                self._memory.pop(key, None)
        return entry.answer

    def _forget_old(self) -> None:
        horizon = self._clock() - _REMEMBERED_SECONDS
        # Entries stand in the order of their times.
        while self._memory and next(iter(self._memory.values())).at <= horizon:
            del self._memory[next(iter(self._memory))]

    def _accept(self, call: Call, key: str | None) -> Answer:
        message, content = _parsed(call)
        mail = Mail(
            id=str(uuid.uuid4()),
            at=self._clock(),
            order_ids=call.order_ids,
            idempotency_key=key,
            to=message.recipients,
            message=content,
        )
        if len(self._mails) == self._ledger.mails.limit:
            del self._mails[next(iter(self._mails))]
        self._mails[mail.id] = mail
        self._ledger.mails.append(mail)
        self._tell(mail)
        return Answer.of(200, {"id": mail.id})

    async def read(self, call: Call) -> Answer:
        """`GET /emails/{id}` with its last event."""
        self._authorize(call)
        mail = self._mails.get(call.request.match_info["id"])
        if mail is None:
            raise Refusal(error(404, message="Email not found"))
        shown = {"object": "email", "id": mail.id, "created_at": iso(mail.at), "last_event": mail.last_event}
        return Answer.of(200, {**mail.message, "to": mail.to, **shown})

    def _tell(self, mail: Mail) -> None:
        """Send the events of a test address, else those of the dial, in their order."""
        for event in _fate(mail.to) or self._panel.dials.resend_events:
            mail.last_event = event.removeprefix("email.")
            self._webhooks.post(self._event(mail, event))

    def _event(self, mail: Mail, event: str) -> Webhook:
        tags = cast("list[dict[str, str]]", mail.message.get("tags") or [])
        content = {
            "type": event,
            "created_at": iso(self._clock()),
            "data": {
                "email_id": mail.id,
                "created_at": iso(mail.at),
                "from": mail.message["from"],
                "to": mail.to,
                "subject": mail.message["subject"],
                "tags": {each["name"]: each["value"] for each in tags},
                **_DETAILS.get(event, {}),
            },
        }
        body = json.dumps(content, separators=(",", ":")).encode()
        message_id = "msg_" + secrets.token_urlsafe(20)
        return Webhook(
            provider="resend",
            event=event,
            url=f"{self._panel.dials.ingress_url.rstrip('/')}/webhooks/resend",
            body=body,
            order_ids=mail.order_ids,
            headers=lambda: headers(
                svix_key(self._panel.dials.resend_webhook_secret), message_id, int(self._clock()), body
            ),
        )

    def _authorize(self, call: Call) -> None:
        token = call.bearer()
        if token is None:
            raise Refusal(error(401, message="Missing API key in the authorization header"))
        if not hmac.compare_digest(token.encode(), self._panel.dials.resend_api_key.get_secret_value().encode()):
            raise Refusal(error(403, message="API key is invalid"))

    def _within_rate(self) -> dict[str, str]:
        """Count one call of this second and return the headers that tell about it."""
        limit, second = self._panel.dials.resend_rate_limit, int(self._clock())
        used = self._window[1] + 1 if self._window[0] == second else 1
        self._window = (second, used)
        rate = {
            "ratelimit-limit": str(limit),
            "ratelimit-remaining": str(max(0, limit - used)),
            "ratelimit-reset": "1",
        }
        if used > limit:
            refused = error(429, message="Too many requests")
            raise Refusal(Answer(refused.status, refused.body, {**rate, "retry-after": "1"}))
        return rate

    def _orders_of_id(self, call: Call) -> tuple[str, ...]:
        mail = self._mails.get(call.request.match_info["id"])
        return mail.order_ids if mail else ()


def _fate(recipients: Iterable[str]) -> tuple[str, ...]:
    """Return the events of the first address for tests, or nothing."""
    for address in recipients:
        local, _, domain = address.rpartition("@")
        if domain == _TEST_DOMAIN and (events := _TEST_ADDRESSES.get(local.partition("+")[0])):
            return events
    return ()


def _repeated(earlier: _Remembered, fingerprint: bytes) -> Answer:
    if earlier.answer is None:
        raise Refusal(error(409, "concurrent_idempotent_requests", "the first request with this key still runs"))
    if not hmac.compare_digest(earlier.fingerprint, fingerprint):
        raise Refusal(error(409, "invalid_idempotent_request", "this key came with another payload"))
    return earlier.answer


def _fingerprint(call: Call) -> bytes:
    """Compare by members, not by bytes: the order of keys is no difference."""
    try:
        content = json.dumps(call.json(), sort_keys=True, default=str)
    except ValueError:
        return hashlib.sha256(call.raw).digest()
    return hashlib.sha256(content.encode()).digest()


def _parsed(call: Call) -> tuple[Message, dict[str, object]]:
    try:
        content = json.loads(call.raw)
        return Message.model_validate(content), content
    except ValidationError as fault:
        first = fault.errors()[0]
        name = "missing_required_field" if first["type"] == "missing" else "validation_error"
        place = ".".join(str(part) for part in first["loc"])
        raise Refusal(error(422, name, f"{place}: {first['msg']}".removeprefix(": "))) from fault
    except (ValueError, RecursionError) as fault:
        raise Refusal(error(400, message="the body is not JSON")) from fault


def _orders_of_mail(call: Call) -> Iterable[str]:
    """Resend knows no orders: take the ids in the key and in the whole message, tags and links included."""
    yield from uuids(call.request.headers.get("Idempotency-Key", ""))
    yield from uuids(call.raw.decode("utf-8", "replace"))
