"""The shell around the sales: one loop over Kafka records, beside that of the orders, with a table of its own."""

from datetime import datetime, timedelta
from typing import Any

from bitloot import log, metrics
from bitloot.contracts.codec import decode
from bitloot.contracts.sales import SaleEvent, SaleTimerFired, StockCall
from bitloot.contracts.topics import KINGUIN_SALES, STOCK_CALLS
from bitloot.crash_points import CrashPoint, reach
from bitloot.ids import EventId, ReservationId
from fulfillment.agents import DeadLetters, Outputs, Stream, Table, checked_key, each_event
from fulfillment.due import DueIndex
from fulfillment.selling import codec
from fulfillment.selling.reservation import Sale, decide, leaves
from fulfillment.steady import Clock
from fulfillment.timers import Source

_log = log.get(__name__)


class SalesAgent:
    """Hands each event to its sale, stores the sale and sends what follows from it."""

    def __init__(
        self, sales: Table, outputs: Outputs, dead_letters: DeadLetters, due: DueIndex[str], *, clock: Clock
    ) -> None:
        self._sales = sales
        self._outputs = outputs
        self._dead_letters = dead_letters
        self._due = due
        self._clock = clock

    async def run(self, stream: Stream) -> None:
        """Handle every event."""
        await each_event(stream, self._handle, self._dead_letters)

    async def _handle(self, message: Any) -> None:
        event: SaleEvent = decode(KINGUIN_SALES, message.value)
        key = checked_key(message.key, event.reservation_id, "reservation")
        try:
            self._take(key, event)
        except Exception:
            if isinstance(event, SaleTimerFired):  # it would come again and again, and end as a dead letter each time
                self._due.set(event.reservation_id, None)
            raise
        metrics.RECORDS_CONSUMED.labels(KINGUIN_SALES.name).inc()

    def _take(self, key: bytes, event: SaleEvent) -> None:
        stored = self._sales.get(key)
        before = Sale(event.reservation_id) if stored is None else codec.sale_from_bytes(stored)
        if leaves(before, event):
            self._let_go(key, before)
            return
        after, effects = decide(before, event)
        if stored is None and after is before:
            self._forget(key, event)
            return
        # Written, changed or not: the changelog may lack what this disk has.
        self._sales[key] = codec.sale_to_bytes(after)
        reach(CrashPoint.ORDERS_STORED)
        self._set_timer(after, event)
        for effect in effects:
            self._outputs.post(STOCK_CALLS, event.reservation_id, effect)
        if effects:
            reach(CrashPoint.ORDERS_SENT)
        _tell(before, after, event, effects)

    def _set_timer(self, after: Sale, event: SaleEvent) -> None:
        """Set it as far from now as it is from the event: clocks of other machines differ from ours."""
        fire_at = None
        if after.wake_at is not None:
            fire_at = self._clock() + max(after.wake_at - event.occurred_at, timedelta(0))
        self._due.set(event.reservation_id, after.wake_at, fire_at)

    def _forget(self, key: bytes, event: SaleEvent) -> None:
        """Keep no row for what says nothing of a sale that is not here: it has left, or a crash repeats its leaving.

        Such a row would never leave. The changelog may still have the one that left.
        """
        del self._sales[key]
        self._due.set(event.reservation_id, None)
        _log.info("sale.unknown", reservation_id=event.reservation_id, event_type=event.type, event_id=event.event_id)

    def _let_go(self, key: bytes, sale: Sale) -> None:
        del self._sales[key]
        self._due.set(sale.reservation_id, None)
        _log.info("sale.left", reservation_id=sale.reservation_id, closed_at=sale.closed_at, status=sale.status)


def of_sales(table: Any, due: DueIndex[str]) -> Source:
    """Return the source of sales' own timers."""
    return Source("sales", table, due, KINGUIN_SALES, _times, _fired)


def _times(value: bytes, _now: datetime) -> tuple[datetime, datetime] | None:
    wake_at = codec.wake_of(value)
    return None if wake_at is None else (wake_at, wake_at)


def _fired(reservation_id: str, at: datetime) -> SaleTimerFired:
    event_id = EventId(f"sale-timer/{reservation_id}/{at.isoformat()}")
    return SaleTimerFired(event_id=event_id, occurred_at=at, reservation_id=ReservationId(reservation_id))


def _tell(before: Sale, after: Sale, event: SaleEvent, effects: tuple[StockCall, ...]) -> None:
    if after.status is not before.status and after.status is not None:
        metrics.SALES.labels(after.status).inc()
    _log.info(
        "sale.decided",
        reservation_id=event.reservation_id,
        event_type=event.type,
        event_id=event.event_id,
        changed=after is not before,
        status_before=before.status,
        status=after.status,
        code_id=after.code_id,
        fate=after.fate,
        problem=after.problem,
        effects=[effect.effect_id for effect in effects],
        wake_at=after.wake_at,
    )
