"""Records of one poll, decoded and put together so that each row is written once. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from pydantic import JsonValue

from admin_api.sink import rows
from admin_api.sink.rows import OrderRows, Row
from admin_api.sink.source import RawRecord, Topics
from bitloot.contracts import codec
from bitloot.contracts.events import BuyerErased
from bitloot.dead_letters import dead_letter
from bitloot.errors import Malformed

Add: TypeAlias = Callable[["Batch", RawRecord], None]
Unique: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class Batch:
    """What is to be written, in the order in which it came. Repeats within the batch are counted already."""

    orders: dict[str, OrderRows] = field(default_factory=dict)
    events: dict[Unique, Row] = field(default_factory=dict)
    code_hashes: dict[Unique, Row] = field(default_factory=dict)
    webhooks: dict[Unique, Row] = field(default_factory=dict)
    dead_letters: dict[Unique, Row] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)


class Decoder:
    """Puts raw records into a batch."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._add: dict[str, Add] = {
            topics.events.name: self._add_event,
            topics.state.name: self._add_state,
            topics.webhooks.name: self._add_webhook,
            topics.dead_letters.name: self._add_dead_letter,
        }

    def add(self, batch: Batch, raw: RawRecord) -> None:
        """Add a record. Raises `Malformed` when it cannot be used; the batch is then as before."""
        self._add[raw.topic](batch, raw)

    def _add_event(self, batch: Batch, raw: RawRecord) -> None:
        event = codec.decode(self._topics.events, raw.value)
        rows.checked_order(event, raw.key)
        row = rows.event_row(event, raw)
        if isinstance(event, BuyerErased):
            batch.erased.add(event.order_id)
        if row is not None:
            _count(batch.events, (event.order_id, event.event_id), row, _again)
        for hashes in rows.code_hash_rows(event):
            unique = tuple(str(hashes[name]) for name in ("order_id", "key_id", "whole_hash"))
            batch.code_hashes.setdefault(unique, hashes)

    def _add_state(self, batch: Batch, raw: RawRecord) -> None:
        if raw.value is None and raw.key is not None:
            return  # a tombstone: the order left the topic, not the read model
        snapshot = codec.decode(self._topics.state, raw.value)
        rows.checked_order(snapshot, raw.key)
        known = batch.orders.get(snapshot.order_id)
        if known is None or int(str(known.order["version"])) < snapshot.version:
            batch.orders[snapshot.order_id] = rows.order_rows(snapshot)

    def _add_webhook(self, batch: Batch, raw: RawRecord) -> None:
        logged = codec.decode(self._topics.webhooks, raw.value)
        if logged.order_id is not None:
            rows.check_uuid(logged.order_id)
        row = rows.webhook_row(logged, raw)
        unique = (logged.provider, logged.external_id, logged.event_type)
        _count(batch.webhooks, unique, row, _received_again)

    def _add_dead_letter(self, batch: Batch, raw: RawRecord) -> None:
        try:
            letter = codec.decode(self._topics.dead_letters, raw.value)
        except Malformed as error:
            # A letter about a letter would come back here for ever: it becomes a row at once.
            letter = dead_letter(rows.CONSUMER, raw, error).model_copy(update={"occurred_at": raw.recorded_at})
        batch.dead_letters.setdefault((letter.event_id,), rows.dead_letter_row(letter, raw))


def _count(found: dict[Unique, Row], unique: Unique, row: Row, merge: Callable[[Row, Row], Row]) -> None:
    known = found.get(unique)
    if known is not None:
        row = merge(known, row) | {"repeats": int(str(known["repeats"])) + 1}
    found[unique] = row


# The queries merge by the same rules.


def _again(known: Row, row: Row) -> Row:
    """Merge an event that was told twice: all its records are in one partition, and the first one stands."""
    return known | {"last_recorded_at": row["last_recorded_at"]}


def _received_again(known: Row, row: Row) -> Row:
    """Merge a notification that came twice: first and last by the time of arrival, as partitions may differ."""
    first = min(known, row, key=lambda each: (_time(each["first_received_at"]), int(str(each["id"]))))
    last, other = sorted((known, row), key=_arrival, reverse=True)
    return last | {
        "id": first["id"],
        "first_received_at": first["first_received_at"],
        "order_id": last["order_id"] or other["order_id"],
    }


def _arrival(row: Row) -> tuple[datetime, int, int]:
    return _time(row["last_received_at"]), int(str(row["kafka_offset"])), int(str(row["kafka_partition"]))


def _time(text: JsonValue) -> datetime:
    return datetime.fromisoformat(str(text))
