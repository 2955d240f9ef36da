"""What a provider's notification is before and after it was understood, and how it is refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from bitloot.canonical_json import Hazard, JsonValue, ParsedJson, parse
from bitloot.contracts.base import Record
from bitloot.contracts.topics import Topic
from bitloot.errors import Malformed
from bitloot.ids import EventId, OrderId
from bitloot.signing import Refusal

Provider = Literal["nowpayments", "kinguin", "kinguin-seller", "resend"]


class Reason(StrEnum):
    """Why a notification was refused, beside `signing.Refusal`; a metric label."""

    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"  # the body did not come in time
    MEDIA_TYPE = "media_type"  # a form, a file, a compressed body: no sender of ours
    ADDRESS = "address"  # not on the list of allowed addresses
    HAZARD = "hazard"  # JSON that two readers may understand differently
    BAD_FIELD = "bad_field"  # a field of another type or beyond its range
    OTHER_FORM = "other_form"  # signed with our secret, but over another form of the body than the provider's own kit


class NotAccepted(Exception):  # noqa: N818 - it names what happened, as the error families do
    """The notification is answered with `status` and changes nothing. `detail` never quotes it.

    `hint` is for those who look why, not for the sender.
    """

    def __init__(self, status: int, reason: Reason | Refusal, detail: str, hint: str = "") -> None:
        super().__init__(status, reason, detail)
        self.hint = hint
        self.status = status
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Incoming:
    """A notification as it came. `headers` finds names in any case; `remote` is the sender's address."""

    body: bytes
    headers: Mapping[str, str]
    remote: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Publication:
    """A record and where it goes."""

    topic: Topic
    key: str
    record: Record


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification whose sender is proven.

    `body` is safe to store: codes and links are out of it. `matched` tells the secret and the form that
    verified it. Without `publication` it is only logged, and `note` says why.
    """

    provider: Provider
    external_id: str
    event_type: str
    event_id: EventId
    body: str
    matched: str
    order_id: OrderId | None = None
    publication: Publication | None = None
    note: str = ""
    about: Mapping[str, str] = field(default_factory=dict)
    """More for the log line, such as the payment id."""


Reader = Callable[[Incoming], Notification]
"""Verifies and understands one provider's notifications; raises `NotAccepted`."""

# 401 says "prove who you are"; what cannot be read at all is 400, whoever sent it.
_UNREADABLE = {
    Refusal.NOT_JSON: "The body is not JSON in UTF-8, or it is nested too deeply.",
    Refusal.NOT_AN_OBJECT: "The body is not a JSON object.",
}

# An integer beyond 2^53 or a 20th digit is no hazard by itself: ids and amounts are judged one by one.
_TOLERATED = {Hazard.INEXACT_NUMBER}
_HAZARDS = {
    Hazard.DUPLICATE_KEY: "an object has the same key twice",
    Hazard.PROTO_KEY: "an object has the key __proto__",
    Hazard.NUMBER_OUT_OF_RANGE: "a number is out of range",
    Hazard.LONE_SURROGATE: "a text has half a character",
    Hazard.NUL_CHARACTER: "a text has a NUL character",
}


def unverified(refusal: Refusal) -> NotAccepted:
    """Return how a notification is answered whose signature or token is not right."""
    if refusal in _UNREADABLE:
        return NotAccepted(400, refusal, _UNREADABLE[refusal])
    return NotAccepted(401, refusal, "The signature or token is missing or wrong.")


def parse_object(body: bytes) -> dict[str, JsonValue]:
    """Read a body whose sender is proven. Raises `NotAccepted` unless it is one sound JSON object."""
    try:
        parsed = parse(body)
    except Malformed as error:
        raise unverified(Refusal.NOT_JSON) from error
    return sound_object(parsed)


def sound_object(parsed: ParsedJson) -> dict[str, JsonValue]:
    """Return the object that was read. Raises `NotAccepted` where two readers may understand it differently."""
    if not isinstance(parsed.value, dict):
        raise unverified(Refusal.NOT_AN_OBJECT)
    if found := describe_hazards(parsed):
        raise NotAccepted(400, Reason.HAZARD, f"The body is not acceptable: {found}.")
    return parsed.value


def describe_hazards(parsed: ParsedJson) -> str:
    """Say what makes a body unacceptable; empty when nothing does."""
    return ", ".join(_HAZARDS[each] for each in sorted(parsed.hazards - _TOLERATED))
