"""What the providers were asked, what they sold and mailed, and which webhooks they sent: the proof of every claim."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from sandbox.clock import iso
from sandbox.journal import Journal
from sandbox.seller.sale import Sale

PARTS = ("calls", "purchases", "sales", "mails", "webhooks")


class Entry(Protocol):
    """A record of any kind."""

    def shown(self) -> dict[str, object]:
        """Return the record as JSON."""
        ...


def readable(raw: bytes | None) -> object:
    """Return what a body says: its JSON, else its text, None when there is none."""
    if not raw:
        return None
    try:
        parsed: object = json.loads(raw)
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")
    return parsed


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One request to a provider. Bodies stay bytes until someone asks: it is a fifth of the memory."""

    at: float
    provider: str
    call: str
    method: str
    path: str
    order_ids: tuple[str, ...]
    idempotency_key: str | None
    request: bytes
    # None when no answer was sent.
    status: int | None
    answer: bytes
    seconds: float
    fault: str | None

    def shown(self) -> dict[str, object]:
        """Return the record as JSON."""
        return {
            "time": iso(self.at),
            "provider": self.provider,
            "call": self.call,
            "method": self.method,
            "path": self.path,
            "orderIds": self.order_ids,
            "idempotencyKey": self.idempotency_key,
            "request": readable(self.request),
            "status": self.status,
            "answer": readable(self.answer),
            "durationMs": round(self.seconds * 1000, 3),
            "fault": self.fault,
        }


@dataclass(slots=True)
class Purchase:
    """A sale: it happened when it was given; the keys follow."""

    reservation_id: str
    order_id: str
    product_id: str
    quantity: int
    at: float
    dialect: str = "reservations"
    keys: tuple[str, ...] = ()
    delivered_at: float | None = None
    # EUR, where the dialect tells; and which keys were sold and went back.
    paid: Decimal | None = None
    taken_back: tuple[str, ...] = ()

    @property
    def order_ids(self) -> tuple[str, ...]:
        """The external id that the buyer named."""
        return (self.order_id,)

    def shown(self) -> dict[str, object]:
        """Return the sale as JSON, keys included: they are what tests look for elsewhere."""
        return {
            "reservationId": self.reservation_id,
            "orderId": self.order_id,
            "productId": self.product_id,
            "quantity": self.quantity,
            "dialect": self.dialect,
            "keys": self.keys,
            "at": iso(self.at),
            "deliveredAt": None if self.delivered_at is None else iso(self.delivered_at),
            "paid": None if self.paid is None else str(self.paid),
            "takenBack": self.taken_back,
        }


@dataclass(slots=True)
class Mail:
    """A message that Resend accepted. `message` is the request body as parsed."""

    id: str
    at: float
    order_ids: tuple[str, ...]
    idempotency_key: str | None
    to: tuple[str, ...]
    message: dict[str, object]
    last_event: str = "sent"

    def shown(self) -> dict[str, object]:
        """Return the message as JSON without what it says; the ledger has that in the call."""
        body = self.message
        return {
            "id": self.id,
            "to": self.to,
            "from": body["from"],
            "subject": body["subject"],
            "cc": body.get("cc"),
            "bcc": body.get("bcc"),
            "replyTo": body.get("reply_to"),
            "headers": body.get("headers") or {},
            "tags": body.get("tags") or [],
            "idempotencyKey": self.idempotency_key,
            "orderIds": self.order_ids,
            "acceptedAt": iso(self.at),
            "lastEvent": self.last_event,
        }

    def full(self) -> dict[str, object]:
        """Return the whole message as JSON."""
        return {**self.shown(), "html": self.message.get("html"), "text": self.message.get("text")}


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """One attempt to deliver a webhook."""

    at: float
    provider: str
    event: str
    url: str
    order_ids: tuple[str, ...]
    request: bytes
    # 0 when the webhook was dropped on purpose.
    attempt: int
    # None when nobody answered.
    status: int | None
    error: str | None = None

    def shown(self) -> dict[str, object]:
        """Return the attempt as JSON."""
        return {
            "time": iso(self.at),
            "provider": self.provider,
            "event": self.event,
            "url": self.url,
            "orderIds": self.order_ids,
            "request": readable(self.request),
            "attempt": self.attempt,
            "status": self.status,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Ledger:
    """All five journals, each with a bound of its own."""

    calls: Journal[CallRecord]
    purchases: Journal[Purchase]
    # What we sold on Kinguin; found by the reservation's id.
    sales: Journal[Sale]
    mails: Journal[Mail]
    webhooks: Journal[WebhookRecord]

    def clear(self) -> None:
        """Forget what was recorded. The providers keep what they know."""
        for journal in (self.calls, self.purchases, self.sales, self.mails, self.webhooks):
            journal.clear()

    def find(self, order_id: str | None, parts: Iterable[str] = PARTS) -> dict[str, Sequence[Entry]]:
        """Return the records of the wanted parts of one order, or of all, oldest first."""
        finders: dict[str, Callable[[str | None], Sequence[Entry]]] = {
            "calls": self.calls.find,
            "purchases": self.purchases.find,
            "sales": self.sales.find,
            "mails": self.mails.find,
            "webhooks": self.webhooks.find,
        }
        return {part: finders[part](order_id) for part in parts}

    def totals(self) -> dict[str, dict[str, int]]:
        """Return what is kept and what was dropped: an oracle must know whether it saw everything."""
        return {
            "calls": self.calls.totals(),
            "purchases": self.purchases.totals(),
            "sales": self.sales.totals(),
            "mails": self.mails.totals(),
            "webhooks": self.webhooks.totals(),
        }
