"""Resend's notifications: the Svix signature verified, then logged. What they say is not acted on yet. Pure."""

import json
from collections.abc import Sequence

from pydantic import SecretStr

from bitloot.canonical_json import JsonValue
from bitloot.ids import content_id
from bitloot.signing import svix_verify
from ingress import fields
from ingress.notification import Incoming, Notification, Reader, parse_object, unverified

_ID_HEADERS = ("svix-id", "webhook-id")


def reader(secrets: Sequence[SecretStr]) -> Reader:
    """Return the reader of notifications that are signed with one of the secrets."""

    def read(incoming: Incoming) -> Notification:
        verdict = svix_verify(incoming.body, incoming.headers, secrets, incoming.received_at)
        if verdict.refusal is not None:
            raise unverified(verdict.refusal)
        document = parse_object(incoming.body)
        mail = document.get("data")
        event_type = fields.label(document, "type")
        message_id = next((incoming.headers[name] for name in _ID_HEADERS if name in incoming.headers), "")
        return Notification(
            provider="resend",
            external_id=fields.label(mail if isinstance(mail, dict) else {}, "email_id", "id"),
            event_type=event_type,
            event_id=content_id("resend", fields.label({"id": message_id}, "id"), event_type),
            body=json.dumps(_without_links(document), ensure_ascii=False, default=float),
            matched=verdict.matched,
            note="mail events are only logged so far",
        )

    return read


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
