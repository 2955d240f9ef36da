"""Kinguin's notifications of both dialects: verified, codes sealed, then understood. Pure but for the sealing.

The `reservations` dialect sends `X-Auth-Token` and `{event, reservationId, orderId?, codes?}`, the public buyer
API (ESA) `X-Event-Secret` and `X-Event-Name`. Both are static secrets and sign nothing, so a notification is a
hint: whoever acts on one asks Kinguin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from bitloot.contracts.events import KinguinNotified, Notice
from bitloot.contracts.notices import ReservationNotified
from bitloot.contracts.sealed import SealedCode
from bitloot.contracts.topics import KINGUIN_NOTICES, ORDER_EVENTS
from bitloot.ids import EventId, OrderId, ReservationId, content_id, order_of
from bitloot.proxies import Networks, is_within
from bitloot.sealing import Sealer
from bitloot.signing import Refusal, token_equal
from ingress import codes, fields
from ingress.fields import Document
from ingress.notification import (
    Incoming,
    NotAccepted,
    Notification,
    Publication,
    Reader,
    Reason,
    parse_object,
    unverified,
)

TOKEN_HEADER = "X-Auth-Token"  # noqa: S105 - a header's name
ESA_SECRET_HEADER = "X-Event-Secret"  # noqa: S105
ESA_NAME_HEADER = "X-Event-Name"

# Events, then the status words that go with them; older texts call the first two RESERVE and GIVE.
_NOTICES = {
    "reserve": Notice.RESERVE,
    "buying": Notice.RESERVE,
    "give": Notice.GIVE,
    "bought": Notice.GIVE,
    "delivered": Notice.DELIVERED,
    "cancel": Notice.CANCEL,
    "canceled": Notice.CANCEL,
    "cancelled": Notice.CANCEL,
    "reversed": Notice.REVERSED,
    "refunded": Notice.REVERSED,  # after a complaint: the code is void and the money is back
}
# What stands for an event, a status or a missing id is no code, also where a code's own status is the same word.
_WORDS = frozenset({*_NOTICES, "completed", "order.status", "pending", "processing", "product.update", "unknown"})


def is_esa(headers: Mapping[str, str]) -> bool:
    """Tell whether the public buyer API sent it, as its headers say (looked up in any case)."""
    return ESA_SECRET_HEADER in headers or ESA_NAME_HEADER in headers


def reader(secrets: Sequence[SecretStr], sealer: Sealer, allowed: Networks) -> Reader:
    """Return the reader of both dialects. Empty `allowed` allows every address."""

    def read(incoming: Incoming) -> Notification:
        esa = is_esa(incoming.headers)
        matched = verify_token(incoming.headers.get(ESA_SECRET_HEADER if esa else TOKEN_HEADER), secrets)
        check_address(incoming.remote, allowed)
        if esa:
            return _esa(incoming, f"{matched}/esa")
        return _reservation(incoming, f"{matched}/token", sealer, secrets[0])

    return read


def notice_of(event: str | None, status: str | None) -> Notice:
    """Return what a notification says: its event decides, else its status, in any case of letters."""
    found = (_NOTICES.get(word.lower()) for word in (event, status) if word)
    return next((notice for notice in found if notice), Notice.UNKNOWN)


def verify_token(token: str | None, secrets: Sequence[SecretStr]) -> str:
    """Return which secret the token is."""
    if not token:
        raise unverified(Refusal.MISSING_HEADER)
    current, previous = token_equal(token, secrets[:1]), token_equal(token, secrets[1:])
    if not (current or previous):
        raise unverified(Refusal.MISMATCH)
    return "current" if current else "previous"


def check_address(remote: str, allowed: Networks) -> None:
    """Judge the address, as an extra to the secret; say which was seen, for whoever wonders behind a proxy."""
    if not allowed:
        return
    if not is_within(remote, allowed):
        raise NotAccepted(403, Reason.ADDRESS, f"Notifications from the address {remote or '(none)'} are not allowed.")


def check_words(document: Document, *words: str | None) -> None:
    """Refuse a body one of whose codes is a part of an id or a status: these are logged, and go into others' hands."""
    told = " ".join(word for word in words if word and word.lower() not in _WORDS)
    if codes.mentions_code(told, document):
        raise NotAccepted(400, Reason.BAD_FIELD, "A code stands where an id or a status belongs.")


@dataclass(frozen=True, slots=True)
class _Notified:
    """What both kinds of record are made of."""

    event_id: EventId
    notice: Notice
    provider_status: str
    reservation: ReservationId | None
    external: str | None
    sealed: tuple[SealedCode, ...]


def _reservation(incoming: Incoming, matched: str, sealer: Sealer, key: SecretStr) -> Notification:
    document = parse_object(incoming.body)
    event, status = fields.word(document, "event"), fields.word(document, "status")
    reservation, external = fields.word(document, "reservationId"), fields.word(document, "orderId")
    external_id = reservation or external or fields.word(document, "id") or "unknown"
    event_type = (event or status or "unknown").lower()
    check_words(document, external_id, external, event_type, status)
    plain = codes.read_codes(document)
    facts = (event_type, status, external, fields.label(document, "updatedAt"), codes.fingerprint(plain or (), key))
    notified = _Notified(
        event_id=content_id("kinguin", external_id, *facts),
        notice=notice_of(event, status),
        provider_status=status or event or "",
        reservation=None if reservation is None else ReservationId(reservation),
        external=external,
        sealed=codes.seal(plain or (), sealer),
    )
    publication = _publication(notified, document, incoming)
    return Notification(
        provider="kinguin",
        external_id=external_id,
        event_type=event_type,
        event_id=notified.event_id,
        body=codes.redacted(document),
        matched=matched,
        order_id=order_of(external),
        publication=publication,
        note=_note(publication, understood=plain is not None),
        about={"notice": notified.notice, "code_count": str(len(notified.sealed))},
    )


def _publication(notified: _Notified, document: Document, incoming: Incoming) -> Publication | None:
    moment = fields.instant(document, "updatedAt")
    if order := order_of(notified.external):
        return Publication(
            ORDER_EVENTS,
            order,
            KinguinNotified(
                event_id=notified.event_id,
                occurred_at=incoming.received_at,
                order_id=order,
                notice=notified.notice,
                provider_status=notified.provider_status,
                reservation_id=notified.reservation,
                external_id=notified.external,
                codes=notified.sealed,
                provider_updated_at=moment,
            ),
        )
    if notified.reservation is None:
        return None
    return Publication(
        KINGUIN_NOTICES,
        notified.reservation,
        ReservationNotified(
            event_id=notified.event_id,
            occurred_at=incoming.received_at,
            reservation_id=notified.reservation,
            notice=notified.notice,
            provider_status=notified.provider_status,
            codes=notified.sealed,
            provider_updated_at=moment,
        ),
    )


def _note(publication: Publication | None, *, understood: bool) -> str:
    notes = [
        "" if publication else "it names neither an order of ours nor a reservation",
        "" if understood else "its codes were not understood and are left out",
    ]
    return "; ".join(note for note in notes if note)


def _esa(incoming: Incoming, matched: str) -> Notification:
    """Read a hint that an order's status changed, or a product; the dashboard's test button may send nothing."""
    document: Document = parse_object(incoming.body) if incoming.body.strip() else {}
    name = fields.label({"name": incoming.headers.get(ESA_NAME_HEADER)}, "name")
    status = fields.word(document, "status") or ""
    external = fields.word(document, "orderExternalId")
    external_id = fields.label(document, "orderId", "productId", "kinguinId")
    check_words(document, name, status, external, external_id)
    event_type = f"{name}/{status}" if status else name
    event_id = content_id("kinguin", external_id, event_type, external, fields.label(document, "updatedAt"))
    order = order_of(external) if name == "order.status" else None
    return Notification(
        provider="kinguin",
        external_id=external_id,
        event_type=event_type.lower(),
        event_id=event_id,
        body=codes.redacted(document),
        matched=matched,
        order_id=order,
        publication=None if order is None else _hint(event_id, order, external, status, document, incoming),
        note="" if order else "it names no order of ours",
        about={"status": status},
    )


def _hint(
    event_id: EventId, order: OrderId, external: str | None, status: str, document: Document, incoming: Incoming
) -> Publication:
    reservation = fields.word(document, "orderId")
    event = KinguinNotified(
        event_id=event_id,
        occurred_at=incoming.received_at,
        order_id=order,
        notice=Notice.CHANGED,
        provider_status=status,
        reservation_id=None if reservation is None else ReservationId(reservation),
        external_id=external,
        provider_updated_at=fields.instant(document, "updatedAt"),
    )
    return Publication(ORDER_EVENTS, order, event)
