"""Turns the times that orders have set themselves, and those of waiting notices, into events."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bitloot import log, metrics
from bitloot.contracts.base import Record
from bitloot.contracts.events import TimerFired
from bitloot.contracts.notices import NoticesOverdue
from bitloot.contracts.topics import KINGUIN_NOTICES, ORDER_EVENTS, Topic
from bitloot.crash_points import CrashPoint, reach
from bitloot.ids import EventId, OrderId, ReservationId
from fulfillment import codec
from fulfillment.agents import Outputs
from fulfillment.due import Due, DueIndex
from fulfillment.steady import Clock

TICK_SECONDS = 0.1
MAX_PER_TICK = 500
MAX_UNANSWERED = 2000
"""After an outage no more is sent than the agents get done: what waits behind other work would be fired again."""
_TICK_AGE_SECONDS = 30 * TICK_SECONDS + 5
_LATE = timedelta(minutes=10)
"""A timer that had no effect for so long: a restart sets all of them anew."""
_FILLED_AT_ONCE = 2000

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """A table whose rows want to be woken, and how."""

    name: str
    table: Any
    due: DueIndex[str]
    topic: Topic
    times: Callable[[bytes, datetime], tuple[datetime, datetime] | None]
    """From a row's bytes and now: when it wants to be woken, and when that is by the clock of the timers."""
    event: Callable[[str, datetime], Record]
    """The record that wakes a row, dated so."""


def of_orders(table: Any, due: DueIndex[str]) -> Source:
    """Return the source of orders' own timers."""
    return Source("orders", table, due, ORDER_EVENTS, _order_times, _timer_fired)


def of_notices(table: Any, due: DueIndex[str], held_for: timedelta) -> Source:
    """Return the source of timers of notices that wait for their order."""

    def times(value: bytes, _now: datetime) -> tuple[datetime, datetime] | None:
        since = codec.held_since(value)
        return None if since is None else (since + held_for, since + held_for)

    return Source("notices", table, due, KINGUIN_NOTICES, times, _overdue)


class Timers:
    """Fires what is due in the sources.

    `app` tells whether this worker owns its partitions and has their tables restored. After each rebalance the
    indexes are filled anew from the tables, a few thousand rows at a time. `clock` must not jump.
    """

    def __init__(
        self,
        app: Any,
        outputs: Outputs,
        sources: Iterable[Source],
        clock: Clock,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._outputs = outputs
        self._sources = tuple(sources)
        self._clock = clock
        self._uptime = uptime
        self._generation = -1
        self._ticked_at = uptime()
        self._answered: dict[str, tuple[int, float]] = {}  # by source: so many firings had an effect, and since when
        self._gauges = {
            source.name: (
                metrics.TIMER_LAG_SECONDS.labels(source.name),
                metrics.TIMERS_WAITING.labels(source.name),
            )
            for source in self._sources
        }

    async def run(self) -> None:
        """Tick until canceled. An exception ends the process: timers that stand still are worse."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self._app.ready:
                self._clear()
            elif self._generation != self._app.rebalancing_count:
                await self._fill()
            else:
                self._tick(self._clock())
            self._ticked_at = self._uptime()

    async def check(self) -> str | None:
        """Return why the timers do not run or have no effect, or None. A restart cures both."""
        age = self._uptime() - self._ticked_at
        if age > _TICK_AGE_SECONDS:
            return f"the last tick was {age:.0f} s ago"
        late = [source.name for source in self._sources if self._lag(source) > _LATE and self._idle(source) > _LATE]
        return f"timers of {' and '.join(late)} have had no effect for {_LATE}" if late else None

    def _lag(self, source: Source) -> timedelta:
        since = source.due.late_since()
        return timedelta(0) if since is None else max(timedelta(0), self._clock() - since)

    def _idle(self, source: Source) -> timedelta:
        """Return for how long no firing has had an effect; as far as that is known."""
        now, answered = self._uptime(), source.due.answered
        known, since = self._answered.get(source.name, (-1, now))
        if known != answered:
            since = now
            self._answered[source.name] = (answered, now)
        return timedelta(seconds=now - since)

    def _clear(self) -> None:
        for source in self._sources:
            source.due.clear()
        self._generation = -1

    async def _fill(self) -> None:
        generation = self._app.rebalancing_count
        self._clear()
        for source in self._sources:
            started, seen, now = time.perf_counter(), 0, self._clock()
            for key, value in source.table.items():
                self._set(source, key.decode(), value, now)
                seen += 1
                if seen % _FILLED_AT_ONCE == 0:
                    await asyncio.sleep(0)
                    now = self._clock()
                    if not self._app.ready or self._app.rebalancing_count != generation:
                        return
            seconds = round(time.perf_counter() - started, 3)
            _log.info("timers.filled", source=source.name, rows=seen, waiting=len(source.due), seconds=seconds)
        self._generation = generation

    def _set(self, source: Source, key: str, value: bytes, now: datetime) -> None:
        times = source.times(value, now)
        if times is not None and key not in source.due:  # what an event has set since is newer
            source.due.set(key, *times)

    def _tick(self, now: datetime) -> None:
        for source in self._sources:
            for due in source.due.due(now, min(MAX_PER_TICK, MAX_UNANSWERED - source.due.unanswered)):
                self._fire(source, due, now)
            self._idle(source)
            lag, waiting = self._gauges[source.name]
            lag.set(self._lag(source).total_seconds())
            waiting.set(len(source.due))

    def _fire(self, source: Source, due: Due[str], now: datetime) -> None:
        # By the clock of who set the time it must have come, or nothing would follow.
        self._outputs.post(source.topic, due.key, source.event(due.key, max(now, due.wake_at)))
        reach(CrashPoint.TIMERS_SENT)


def _order_times(value: bytes, now: datetime) -> tuple[datetime, datetime] | None:
    wake_at, at = codec.wake_of(value), codec.time_of(value)
    if wake_at is None or at is None:
        return None
    # An order whose time is ahead of ours was dated by a clock that was: it waits no longer than it wanted to.
    return wake_at, min(wake_at, now + max(wake_at - at, timedelta(0)))


def _timer_fired(order_id: str, at: datetime) -> TimerFired:
    event_id = EventId(f"timer/{order_id}/{at.isoformat()}")
    return TimerFired(event_id=event_id, occurred_at=at, order_id=OrderId(order_id))


def _overdue(reservation_id: str, at: datetime) -> NoticesOverdue:
    event_id = EventId(f"overdue/{reservation_id}/{at.isoformat()}")
    return NoticesOverdue(event_id=event_id, occurred_at=at, reservation_id=ReservationId(reservation_id))
