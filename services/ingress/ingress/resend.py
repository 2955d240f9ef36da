"""Resend's notifications: the Svix signature verified, then its order is told how far a mail came. Pure."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypedDict

from pydantic import SecretStr

from bitloot.canonical_json import JsonValue
from bitloot.contracts.events import MailDelivery, MailDeliveryUpdated
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.ids import EventId, OrderId, content_id, is_order_id, message_id
from bitloot.redaction import without_mail_addresses
from bitloot.signing import svix_message_id, svix_verify
from ingress import fields
from ingress.notification import Incoming, Notification, Publication, Reader, parse_object, unverified


def reader(secrets: Sequence[SecretStr]) -> Reader:
    """Return the reader of notifications that are signed with one of the secrets."""

    def read(incoming: Incoming) -> Notification:
        verdict = svix_verify(incoming.body, incoming.headers, secrets, incoming.received_at)
        if verdict.refusal is not None:
            raise unverified(verdict.refusal)
        document = parse_object(incoming.body)
        mail = document.get("data")
        event_type = fields.label(document, "type")
        event_id = content_id("resend", fields.label({"id": svix_message_id(incoming.headers)}, "id"), event_type)
        return Notification(
            provider="resend",
            external_id=fields.label(mail if isinstance(mail, dict) else {}, "email_id", "id"),
            event_type=event_type,
            event_id=event_id,
            body=json.dumps(_without_people(_without_links(document)), ensure_ascii=False, default=float),
            matched=verdict.matched,
            **_told(document, event_type, event_id, incoming.received_at),
        )

    return read


_DELIVERIES = {
    "email.sent": MailDelivery.SENT,
    "email.delivery_delayed": MailDelivery.DELAYED,
    "email.delivered": MailDelivery.DELIVERED,
    "email.bounced": MailDelivery.BOUNCED,
    "email.complained": MailDelivery.COMPLAINED,
    "email.failed": MailDelivery.FAILED,
    "email.suppressed": MailDelivery.SUPPRESSED,
}
"""`opened` and `clicked` prove nothing, scanners of mail do both; the others are not about a mail that was sent."""
_MESSAGE = re.compile(r"(mail|notice)-([1-9][0-9]{0,8})")


class _Told(TypedDict, total=False):
    order_id: OrderId
    publication: Publication
    note: str


def _told(document: dict[str, JsonValue], event_type: str, event_id: EventId, now: datetime) -> _Told:
    """Return what the notification tells an order, or why it tells none."""
    mail = document.get("data")
    tags = _tags(mail.get("tags")) if isinstance(mail, dict) else {}
    order, message = tags.get("order_id"), _MESSAGE.fullmatch(str(tags.get("message", "")))
    if not isinstance(mail, dict) or not is_order_id(order):
        return {"note": "not about a mail of an order"}
    order_id = OrderId(str(order))
    if message is None or event_type not in _DELIVERIES:
        return {"order_id": order_id, "note": "says nothing about how far a mail came"}
    bounce, failed = mail.get("bounce"), mail.get("failed")
    delivery, detail = _DELIVERIES[event_type], ""
    if isinstance(bounce, dict):
        detail = f"{fields.label(bounce, 'type')} {fields.label(bounce, 'subType')}"
        if delivery is MailDelivery.BOUNCED and fields.label(bounce, "type") == "Transient":
            delivery = MailDelivery.DELAYED  # a full mailbox: the address is right
    elif isinstance(failed, dict):
        detail = without_mail_addresses(fields.label(failed, "reason"))
    event = MailDeliveryUpdated(
        event_id=event_id,
        occurred_at=now,
        order_id=order_id,
        message_id=message_id(order_id, int(message[2]), message[1]),
        provider_message_id=fields.label(mail, "email_id", "id"),
        delivery=delivery,
        detail=detail,
    )
    return {"order_id": order_id, "publication": Publication(ORDER_EVENTS, order_id, event)}


def _tags(tags: JsonValue) -> dict[str, JsonValue]:
    """Return tags by name: Resend sends them as an object, and takes them as a list."""
    if isinstance(tags, dict):
        return tags
    pairs = [each for each in tags if isinstance(each, dict)] if isinstance(tags, list) else []
    return {str(pair.get("name")): pair.get("value") for pair in pairs}


_OF_THE_READER: Final = frozenset({"ipAddress", "userAgent"})


def _without_people(value: JsonValue) -> JsonValue:
    """Take out from where a mail was read. Mail addresses are taken out of every notification, whoever sends it."""
    match value:
        case list():
            return [_without_people(each) for each in value]
        case dict():
            return {
                name: "[hidden]" if name in _OF_THE_READER else _without_people(each) for name, each in value.items()
            }
        case _:
            return value


def _without_links(value: JsonValue) -> JsonValue:
    """Take out every link: `email.clicked` has the one that opens the order."""
    match value:
        case str() if "://" in value:
            return "[link]"
        case list():
            return [_without_links(each) for each in value]
        case dict():
            return {name: _without_links(each) for name, each in value.items()}
        case _:
            return value
