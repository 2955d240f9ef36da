"""The shell around the pure parts: two loops over Kafka records."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from bitloot import log, metrics, trace
from bitloot.contracts.base import Record
from bitloot.contracts.codec import MAX_RECORD_BYTES, decode, encode
from bitloot.contracts.events import OrderEvent, OrderRetired, PaymentStatus, TimerFired
from bitloot.contracts.notices import NoticeRecord
from bitloot.contracts.state import PaymentState
from bitloot.contracts.topics import KINGUIN_NOTICES, ORDER_EVENTS, Topic
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import Cause, Malformed
from fulfillment import codec
from fulfillment.due import DueIndex
from fulfillment.order import DEFAULT_POLICY, Policy, order_time, pending_count
from fulfillment.routing import HELD_FOR, Held, Place, Route, Routed, overdue_at, route
from fulfillment.served import observe
from fulfillment.steady import Clock
from fulfillment.step import Step, after_leaving, released, step

_log = log.get(__name__)


class Outputs(Protocol):
    """Sends records; nothing is committed before they are acknowledged."""

    def post(self, topic: Topic, key: str, record: Record) -> Any:
        """Send without waiting, in order per key."""


class Table(Protocol):
    """Bytes by bytes; writable only while an event is handled."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""

    def __setitem__(self, key: bytes, value: bytes) -> None:
        """Store a value."""

    def __delitem__(self, key: bytes) -> None:
        """Remove a key, and say so in the changelog, whether it is there or not."""


class DeadLetters(Protocol):
    """Takes what cannot be handled."""

    async def send(self, message: Any, error: Exception) -> None:
        """Return once the dead letter is acknowledged; until then its offset must not move."""


class Stream(Protocol):
    """A Faust stream."""

    def events(self) -> AsyncIterator[Any]:
        """Iterate over events; going on to the next one acknowledges the last."""


async def each_event(stream: Stream, handle: Callable[[Any], Awaitable[None]], dead_letters: DeadLetters) -> None:
    """Handle every event, whatever is in it: Faust acknowledges the event of an agent that raised."""
    async for event in stream.events():
        try:
            message = event.message
            with trace.use(trace.from_headers(message.headers or {}), f"{message.topic} process", "consumer"):
                if message.topic == ORDER_EVENTS.name:
                    trace.join((message.key or b"").decode(errors="replace"))
                await handle(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is put aside and seen
            await dead_letters.send(event.message, error)


def checked_key(key: bytes | None, expected: str, what: str) -> bytes:
    """Return the key. Raises `Malformed` when it is not the one that the record names."""
    if key is None or key.decode(errors="replace") != expected:
        raise Malformed(Cause.BAD_RECORD, f"the key is not the {what} id")
    return key


@dataclass(frozen=True, slots=True)
class OrderTables:
    """The orders, and the marks of those that have left."""

    orders: Table
    retired: Table


class OrdersAgent:
    """Hands each event to its order, stores the order and sends what follows from it."""

    def __init__(
        self,
        tables: OrderTables,
        outputs: Outputs,
        dead_letters: DeadLetters,
        due: DueIndex[str],
        *,
        clock: Clock,
        policy: Policy = DEFAULT_POLICY,
    ) -> None:
        self._orders = tables.orders
        self._retired = tables.retired
        self._outputs = outputs
        self._dead_letters = dead_letters
        self._due = due
        self._clock = clock
        self._policy = policy
        self._recent = codec.RecentOrders()

    async def run(self, stream: Stream) -> None:
        """Handle every event."""
        await each_event(stream, self._handle, self._dead_letters)

    async def _handle(self, message: Any) -> None:
        started = time.perf_counter()
        event: OrderEvent = decode(ORDER_EVENTS, message.value)
        key = checked_key(message.key, event.order_id, "order")
        stored = self._orders.get(key)
        if isinstance(event, OrderRetired):
            self._retire(key, stored, event)
        elif stored is None and (mark := self._retired.get(key)) is not None:
            self._answer_late(event, mark)
        else:
            self._take(key, stored, event, started)
        metrics.RECORDS_CONSUMED.labels(ORDER_EVENTS.name).inc()

    def _take(self, key: bytes, stored: bytes | None, event: OrderEvent, started: float) -> None:
        try:
            result = _bounded(step(stored, event, self._policy, self._recent.read))
        except Exception:
            if isinstance(event, TimerFired):  # it would come again and again, and end as a dead letter each time
                self._due.set(event.order_id, None)
            raise
        if result.leaves:
            del self._orders[key]
        if result.value is not None:
            self._orders[key] = result.value
            self._recent.keep(result.value, result.after)
            reach(CrashPoint.ORDERS_STORED)
        self._set_timer(event, result)
        for topic, output_key, record in result.outputs:
            self._outputs.post(topic, output_key, record)
        if result.outputs:
            reach(CrashPoint.ORDERS_SENT)
        _tell(event, result, time.perf_counter() - started)

    def _set_timer(self, event: OrderEvent, result: Step) -> None:
        """Set it as far from now as it is in the order's own time: clocks of other machines differ from ours."""
        fire_at = None
        if result.wake_at is not None:
            fire_at = self._clock() + max(result.wake_at - order_time(result.after, event), timedelta(0))
        self._due.set(event.order_id, result.wake_at, fire_at)

    def _retire(self, key: bytes, stored: bytes | None, event: OrderRetired) -> None:
        """Let an order go. Both rows are written whatever is there, so that a repeat mends what a crash has left."""
        if stored is not None and not codec.order_from_bytes(stored).closed:
            raise Malformed(Cause.BAD_RECORD, "an order that is not closed cannot leave")
        self._retired[key] = codec.mark_to_bytes(event.closed_at)
        reach(CrashPoint.ORDERS_STORED)
        del self._orders[key]
        self._due.set(event.order_id, None)
        for topic, output_key, record in released(event):
            self._outputs.post(topic, output_key, record)
        metrics.ORDERS_RETIRED.inc()
        _log.info("order.left", order_id=event.order_id, closed_at=event.closed_at, reservations=event.reservation_ids)

    def _answer_late(self, event: OrderEvent, mark: bytes) -> None:
        """Record an event that came after its order had left; it stays in Kafka and in the order's timeline."""
        outputs = after_leaving(event)
        # One can be set: timers are filled from rows that have left meanwhile. It would fire again and again.
        self._due.set(event.order_id, None)
        for topic, output_key, record in outputs:
            self._outputs.post(topic, output_key, record)
        metrics.RETIRED_ORDER_EVENTS.labels(event.type).inc()
        _log.warning(
            "order.retired",
            order_id=event.order_id,
            event_type=event.type,
            event_id=event.event_id,
            closed_at=codec.mark_from_bytes(mark),
            answered=bool(outputs),
        )


def _bounded(result: Step) -> Step:
    """Return a step that can be stored: the changelog would refuse a larger one, and the worker would crash."""
    if result.value is not None and len(result.value) > MAX_RECORD_BYTES:
        raise Malformed(Cause.TOO_LARGE, f"the order would grow to {len(result.value)} bytes")
    return result


def _tell(event: OrderEvent, result: Step, seconds: float) -> None:
    observe(result.before, result.after)
    for payment in _found_by_polling(result):
        metrics.PAYMENTS_FOUND_BY_POLLING.labels(payment.status).inc()
        _log.warning(
            "payment.found_by_polling", order_id=event.order_id, payment_id=payment.payment_id, status=payment.status
        )
    _log.info(
        "order.decided",
        order_id=event.order_id,
        event_type=event.type,
        event_id=event.event_id,
        changed=result.after is not result.before,
        left=result.leaves,
        status_before=result.before.status,
        status=result.after.status,
        version=result.after.version,
        effects=[effect.effect_id for effect in result.effects],
        owed=pending_count(result.after),
        review=result.after.review.cause if result.after.review else None,
        seconds=round(seconds, 6),
    )


def _found_by_polling(result: Step) -> list[PaymentState]:
    """Return the payments whose news no notification had told: something on the way here loses them."""
    before = {payment.payment_id: payment.status for payment in result.before.payments}
    return [
        payment
        for payment in result.after.payments
        if payment.found_by == "poll"
        and payment.status not in {before.get(payment.payment_id), PaymentStatus.WAITING, PaymentStatus.EXPIRED}
    ]


@dataclass(frozen=True, slots=True)
class _Origin:
    """A notice that was kept, as the record that it had been (`bitloot.dead_letters.Taken`)."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    topic: str = KINGUIN_NOTICES.name
    headers: Mapping[str, bytes] = field(default_factory=dict)


class ReservationRouter:
    """Forwards notifications to the order of their reservation, and keeps those that come too early."""

    def __init__(
        self,
        routes: Table,
        outputs: Outputs,
        dead_letters: DeadLetters,
        due: DueIndex[str],
        *,
        clock: Clock,
        held_for: timedelta = HELD_FOR,
    ) -> None:
        self._routes = routes
        self._outputs = outputs
        self._dead_letters = dead_letters
        self._due = due
        self._clock = clock
        self._held_for = held_for

    async def run(self, stream: Stream) -> None:
        """Handle every record."""
        await each_event(stream, self._handle, self._dead_letters)

    async def _handle(self, message: Any) -> None:
        record: NoticeRecord = decode(KINGUIN_NOTICES, message.value)
        key = checked_key(message.key, record.reservation_id, "reservation")
        stored = self._routes.get(key)
        before = codec.route_from_bytes(stored) if stored is not None else Route()
        place = Place(message.partition, message.offset, self._clock())
        routed = route(before, record, place, self._held_for)
        for held in routed.aside:  # before they leave the table: a crash in between repeats this record
            await self._put_aside(key, held, routed.why)
        self._store(key, routed.route)
        for event in routed.events:
            self._outputs.post(ORDER_EVENTS, event.order_id, event)
            reach(CrashPoint.ROUTER_SENT)
        _tell_routed(record, routed)

    def _store(self, key: bytes, after: Route | None) -> None:
        """Write the route, changed or not: the changelog may lack what this disk has."""
        if after is None:
            del self._routes[key]
            self._due.set(key.decode(), None)
            return
        self._routes[key] = codec.route_to_bytes(after)
        reach(CrashPoint.ROUTER_STORED)
        self._due.set(key.decode(), overdue_at(after, self._held_for))

    async def _put_aside(self, key: bytes, held: Held, why: str) -> None:
        origin = _Origin(held.place.partition, held.place.offset, key, encode(held.notice))
        await self._dead_letters.send(origin, Malformed(Cause.UNKNOWN_RESERVATION, why))


def _tell_routed(record: NoticeRecord, routed: Routed) -> None:
    _log.info(
        "reservation.routed",
        reservation_id=record.reservation_id,
        record_type=record.type,
        order_id=routed.route.order_id if routed.route else None,
        held=len(routed.route.held) if routed.route else 0,
        forwarded=len(routed.events),
        put_aside=len(routed.aside),
    )
    metrics.RECORDS_CONSUMED.labels(KINGUIN_NOTICES.name).inc()
