"""Records as rows. Pure.

A row has the names of its table's columns. What is of an order's state, and dead letters, go to Postgres as JSON: it
turns the texts of amounts, times and ids into its types itself, and ignores names that the table does not have. Of
events and notifications there are many more: they go column by column, with values as asyncpg takes them.
"""

import base64
import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic_core import to_json

from admin_api import replay_headers
from admin_api.sink.sealed import counted_json, masked
from admin_api.sink.source import RawRecord, number
from bitloot.contracts.dead_letters import DeadLetter
from bitloot.contracts.events import CodesReceived, KinguinNotified, OrderEvent, OrderRecord, TimerFired
from bitloot.contracts.state import OrderSnapshot
from bitloot.contracts.webhooks import WebhookLogged
from bitloot.errors import Cause, Malformed

Row: TypeAlias = dict[str, Any]

CONSUMER = "sink"

_COLUMNS_OF_EVENTS = {"schema_version", "event_id", "order_id", "type", "occurred_at"}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class OrderRows:
    """All rows of one order, all of one version."""

    order: Row
    items: list[Row]
    keys: list[Row]
    payments: list[Row]
    reservations: list[Row]

    @property
    def version(self) -> int:
        """Return the order's version."""
        return int(self.order["version"])


def order_rows(snapshot: OrderSnapshot) -> OrderRows:
    """Return the rows that a snapshot stands for."""
    order = snapshot.model_dump(mode="json")
    items, keys, payments, reservations = (order.pop(part) for part in ("items", "keys", "payments", "reservations"))
    order["id"] = snapshot.order_id
    order["product_ids"] = sorted({item.product_id for item in snapshot.items})
    order["kinguin_reservation_id"] = _first_reservation(snapshot)
    of_order: Row = {"order_id": snapshot.order_id, "order_version": snapshot.version}
    return OrderRows(
        order=order,
        items=[_row(item, of_order, item_id="id") for item in items],
        keys=[_row(key, of_order, item_id="order_item_id") for key in keys],
        payments=[_row(payment, of_order, payment_id="id") for payment in payments],
        reservations=[
            _row(reservation, of_order, reservation_id="id", item_id="order_item_id", item_ids="order_item_ids")
            for reservation in reservations
        ],
    )


def _row(part: Row, of_order: Row, **columns: str) -> Row:
    """Return a part of a snapshot with some of its names changed to the table's."""
    for name, column in columns.items():
        part[column] = part.pop(name)
    return part | of_order


def _first_reservation(snapshot: OrderSnapshot) -> str | None:
    in_order = sorted(snapshot.items, key=lambda item: item.position)
    return next((item.reservation_id for item in in_order if item.reservation_id), None)


def event_row(event: OrderEvent, raw: RawRecord) -> Row | None:
    """Return an event as a line of its order's timeline, or None for timers, which say nothing to people."""
    if isinstance(event, TimerFired):
        return None
    return {
        "order_id": event.order_id,
        "event_id": event.event_id,
        "type": event.type,
        "occurred_at": event.occurred_at,
        "payload": counted_json(event.model_dump_json(exclude=_COLUMNS_OF_EVENTS, exclude_none=True)),
        "recorded_at": raw.timestamp,
        "last_recorded_at": raw.timestamp,
        "kafka_partition": raw.partition,
        "kafka_offset": raw.offset,
        "repeats": 0,
    }


def code_hash_rows(event: OrderRecord) -> list[Row]:
    """Return the hashes by which the codes of an event are found, one row for each code that has some."""
    match event:
        case CodesReceived():
            codes = [code for line in event.lines for code in line.codes]
        case KinguinNotified():
            codes = list(event.codes)
        case _:
            return []
    return [
        {
            "order_id": event.order_id,
            "key_id": code.hashes.key_id,
            "whole_hash": bytes.fromhex(code.hashes.whole_hash),
            "tail_hash": None if code.hashes.tail_hash is None else bytes.fromhex(code.hashes.tail_hash),
            "reservation_id": event.reservation_id,
            "first_seen_at": event.occurred_at,
        }
        for code in codes
        if code.hashes is not None
    ]


def webhook_row(logged: WebhookLogged, raw: RawRecord) -> Row:
    """Return a notification as a row of the log."""
    return {
        "id": number(raw),
        "provider": logged.provider,
        "external_id": logged.external_id,
        "event_type": logged.event_type,
        "order_id": logged.order_id,
        "headers": to_json(logged.headers).decode(),
        "body": masked(logged.body),
        "body_sha256": logged.body_sha256,
        "matched": logged.matched,
        "remote_address": logged.remote_address,
        "note": logged.note,
        "event_topic": logged.event_topic,
        "event_key": logged.event_key,
        "event": None if logged.event is None else counted_json(to_json(logged.event).decode()),
        "first_received_at": logged.occurred_at,
        "last_received_at": logged.occurred_at,
        "kafka_partition": raw.partition,
        "kafka_offset": raw.offset,
        "repeats": 0,
    }


def dead_letter_row(letter: DeadLetter, raw: RawRecord) -> Row:
    """Return a dead letter as a row for people; what is needed to replay it stays in Kafka."""
    return letter.model_dump(mode="json") | {
        "id": number(raw),
        "record_offset": letter.offset,
        "replay_of": letter.headers.get(replay_headers.OF),
        "replay_action": letter.headers.get(replay_headers.ACTION),
        "key": _readable(letter.key),
        # Within a letter about a letter the original is base64, in which a box would not be found.
        "value": None if letter.topic == raw.topic else _readable(letter.value),
        "kafka_partition": raw.partition,
        "kafka_offset": raw.offset,
    }


def _readable(encoded: str | None) -> str | None:
    if encoded is None:
        return None
    try:
        return masked(base64.b64decode(encoded, validate=True).decode())
    except ValueError:
        return None


def checked_order(record: OrderRecord, key: bytes | None) -> None:
    """Raise `Malformed` unless the record is keyed by its order, and that is a UUID."""
    if key != record.order_id.encode():
        raise Malformed(Cause.BAD_RECORD, "the key is not the order's id")
    check_uuid(record.order_id)


def check_uuid(text: str) -> None:
    """Raise `Malformed` unless a text is a UUID as Postgres writes it."""
    if _UUID.fullmatch(text) is None:
        raise Malformed(Cause.BAD_RECORD, "order_id: not a UUID in its usual form")
