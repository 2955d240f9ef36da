"""Records of one poll, decoded and put together so that each row is written once. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from admin_api.sink import rows
from admin_api.sink.rows import OrderRows, Row
from admin_api.sink.source import RawRecord, Topics
from bitloot.contracts import codec
from bitloot.dead_letters import dead_letter
from bitloot.errors import Malformed

Add: TypeAlias = Callable[["Batch", RawRecord], None]
Unique: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class Batch:
    """What is to be written, in the order in which it came. Repeats within the batch are counted already."""

    orders: dict[str, OrderRows] = field(default_factory=dict)
    events: dict[Unique, Row] = field(default_factory=dict)
    webhooks: dict[Unique, Row] = field(default_factory=dict)
    dead_letters: dict[Unique, Row] = field(default_factory=dict)


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
        if row is not None:
            _count(batch.events, (event.order_id, event.event_id), row, kept=_EVENT_OF_FIRST)

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
        _count(batch.webhooks, unique, row, kept=_WEBHOOK_OF_FIRST)

    def _add_dead_letter(self, batch: Batch, raw: RawRecord) -> None:
        try:
            letter = codec.decode(self._topics.dead_letters, raw.value)
        except Malformed as error:
            # A letter about a letter would come back here for ever: it becomes a row at once.
            letter = dead_letter(rows.CONSUMER, raw, error).model_copy(update={"occurred_at": raw.recorded_at})
        batch.dead_letters.setdefault((letter.event_id,), rows.dead_letter_row(letter, raw))


# What a repeat leaves as the first one had it; the rest is as the last one has it. The queries do the same.
_EVENT_OF_FIRST = ("type", "occurred_at", "recorded_at", "payload", "kafka_partition", "kafka_offset")
_WEBHOOK_OF_FIRST = ("id", "first_received_at")


def _count(found: dict[Unique, Row], unique: Unique, row: Row, *, kept: tuple[str, ...]) -> None:
    first = found.get(unique)
    if first is not None:
        row |= {name: first[name] for name in kept} | {"repeats": int(str(first["repeats"])) + 1}
    found[unique] = row
