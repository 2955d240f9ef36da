"""The shell around the pure parts: two loops over Kafka records, and the timers of orders."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from bitloot import log, metrics, trace
from bitloot.contracts.base import Record
from bitloot.contracts.codec import MAX_RECORD_BYTES, decode
from bitloot.contracts.events import OrderEvent, TimerFired
from bitloot.contracts.notices import NoticeRecord
from bitloot.contracts.topics import KINGUIN_NOTICES, ORDER_EVENTS, Topic
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import Cause, Malformed
from bitloot.ids import EventId, OrderId
from fulfillment import codec
from fulfillment.due import DueIndex
from fulfillment.order import pending
from fulfillment.routing import Route, route
from fulfillment.step import Step, step

TICK_SECONDS = 0.1
MAX_PER_TICK = 500

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


class DeadLetters(Protocol):
    """Takes what cannot be handled."""

    async def send(self, message: Any, error: Exception) -> None:
        """Return once the dead letter is acknowledged; until then its offset must not move."""


class Stream(Protocol):
    """A Faust stream."""

    def events(self) -> AsyncIterator[Any]:
        """Iterate over events; going on to the next one acknowledges the last."""


async def _each(
    stream: Stream, handle: Callable[[bytes | None, bytes | None], None], dead_letters: DeadLetters
) -> None:
    """Handle every event, whatever is in it: Faust acknowledges the event of an agent that raised."""
    async for event in stream.events():
        try:
            with trace.use(trace.from_headers(event.message.headers or {})):
                handle(event.message.key, event.message.value)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is put aside and seen
            await dead_letters.send(event.message, error)


class OrdersAgent:
    """Hands each event to its order, stores the order and sends what follows from it."""

    def __init__(self, orders: Table, outputs: Outputs, dead_letters: DeadLetters, due: DueIndex) -> None:
        self._orders = orders
        self._outputs = outputs
        self._dead_letters = dead_letters
        self._due = due

    async def run(self, stream: Stream) -> None:
        """Handle every event."""
        await _each(stream, self._handle, self._dead_letters)

    def _handle(self, key: bytes | None, value: bytes | None) -> None:
        started = time.perf_counter()
        event: OrderEvent = decode(ORDER_EVENTS, value)
        if key is None or key.decode(errors="replace") != event.order_id:
            raise Malformed(Cause.BAD_RECORD, "the key is not the order id")
        result = step(self._orders.get(key), event)
        if result.value is not None:
            if len(result.value) > MAX_RECORD_BYTES:  # the changelog would refuse it, and the worker would crash
                raise Malformed(Cause.TOO_LARGE, f"the order would grow to {len(result.value)} bytes")
            self._orders[key] = result.value
            reach(CrashPoint.ORDERS_STORED)
        self._due.set(event.order_id, result.wake_at)
        for topic, output_key, record in result.outputs:
            self._outputs.post(topic, output_key, record)
        if result.outputs:
            reach(CrashPoint.ORDERS_SENT)
        _tell(event, result, time.perf_counter() - started)


def _tell(event: OrderEvent, result: Step, seconds: float) -> None:
    _log.info(
        "order.decided",
        order_id=event.order_id,
        event_type=event.type,
        event_id=event.event_id,
        changed=result.value is not None,
        status_before=result.before.status,
        status=result.after.status,
        version=result.after.version,
        effects=[effect.effect_id for effect in result.effects],
        owed=len(pending(result.after)),
        review=result.after.review.cause if result.after.review else None,
        seconds=round(seconds, 6),
    )
    metrics.RECORDS_CONSUMED.labels(ORDER_EVENTS.name).inc()


class ReservationRouter:
    """Forwards notifications to the order of their reservation, and keeps those that come too early."""

    def __init__(self, routes: Table, outputs: Outputs, dead_letters: DeadLetters) -> None:
        self._routes = routes
        self._outputs = outputs
        self._dead_letters = dead_letters

    async def run(self, stream: Stream) -> None:
        """Handle every record."""
        await _each(stream, self._handle, self._dead_letters)

    def _handle(self, key: bytes | None, value: bytes | None) -> None:
        record: NoticeRecord = decode(KINGUIN_NOTICES, value)
        if key is None or key.decode(errors="replace") != record.reservation_id:
            raise Malformed(Cause.BAD_RECORD, "the key is not the reservation id")
        stored = self._routes.get(key)
        before = codec.route_from_bytes(stored) if stored is not None else Route()
        after, events = route(before, record)
        if after is not before:
            self._routes[key] = codec.route_to_bytes(after)
            reach(CrashPoint.ROUTER_STORED)
        for event in events:
            self._outputs.post(ORDER_EVENTS, event.order_id, event)
            reach(CrashPoint.ROUTER_SENT)
        _log.info(
            "reservation.routed",
            reservation_id=record.reservation_id,
            record_type=record.type,
            order_id=after.order_id,
            held=len(after.held),
            forwarded=len(events),
        )
        metrics.RECORDS_CONSUMED.labels(KINGUIN_NOTICES.name).inc()


class Timers:
    """Turns the times that orders have set themselves into events.

    `app` tells whether this worker owns its partitions and has their tables restored. After each rebalance
    the index is filled anew from the table, a few thousand orders at a time.
    """

    def __init__(self, app: Any, orders: Any, outputs: Outputs, due: DueIndex) -> None:
        self._app = app
        self._orders = orders
        self._outputs = outputs
        self._due = due
        self._generation = -1
        self._ticked_at = time.monotonic()

    async def run(self) -> None:
        """Tick until canceled. An exception ends the process: timers that stand still are worse."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self._app.ready:
                self._due.clear()
                self._generation = -1
            elif self._generation != self._app.rebalancing_count:
                await self._fill()
            else:
                self._tick(datetime.now(UTC))
            self._ticked_at = time.monotonic()

    async def check(self) -> str | None:
        """Return why the timers do not run, or None."""
        age = time.monotonic() - self._ticked_at
        return f"the last tick was {age:.0f} s ago" if age > 30 * TICK_SECONDS + 5 else None

    async def _fill(self) -> None:
        generation = self._app.rebalancing_count
        started, seen = time.perf_counter(), 0
        self._due.clear()
        for key, value in self._orders.items():
            wake_at = codec.wake_of(value)
            order_id = OrderId(key.decode())
            if wake_at is not None and order_id not in self._due:  # what an event has set since is newer
                self._due.set(order_id, wake_at)
            seen += 1
            if seen % 2000 == 0:
                await asyncio.sleep(0)
                if not self._app.ready or self._app.rebalancing_count != generation:
                    return
        self._generation = generation
        _log.info("timers.filled", orders=seen, waiting=len(self._due), seconds=round(time.perf_counter() - started, 3))

    def _tick(self, now: datetime) -> None:
        for order_id in self._due.due(now, MAX_PER_TICK):
            event_id = EventId(f"timer/{order_id}/{now.isoformat()}")
            self._outputs.post(
                ORDER_EVENTS, order_id, TimerFired(event_id=event_id, occurred_at=now, order_id=order_id)
            )
            reach(CrashPoint.TIMERS_SENT)
