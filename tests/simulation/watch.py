"""What is watched while a simulation runs: promises that hold at every moment."""

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from pydantic import BaseModel

from bitloot.contracts.events import EffectFailed, Outcome
from bitloot.contracts.state import CLOSED, OrderStatus
from bitloot.contracts.topics import ORDER_EVENTS, ORDER_STATE, RETIRED_CHANGELOG
from bitloot.errors import Cause
from bitloot.ids import OrderId
from fulfillment.codec import wake_of
from tests.simulation.broker import Written
from tests.simulation.fulfillment_process import FulfillmentProcess
from tests.simulation.market import CODE
from tests.simulation.schedule import FAULTS_END

if TYPE_CHECKING:
    from tests.simulation.world import World

CALLS_A_MINUTE = 60
"""Of an order of up to 3 items, to all providers together."""
TIMERS_A_MINUTE = 30
STANDSTILL = FAULTS_END + 1800.0
"""Seconds after which nothing is under way any more: the longest wait between two tries is 10 minutes."""
LATE_TIMER = 60.0
"""Seconds after its time at which a timer must have fired when all is well."""
_CODE = CODE.encode()


class _State(BaseModel):
    """What is of interest in an order's snapshot: to read it whole would take much of a simulation's time."""

    order_id: OrderId
    version: int
    status: OrderStatus


_UNDER_WAY = {OrderStatus.PAID, OrderStatus.PURCHASING, OrderStatus.DELIVERING}


class Watch:
    """Notes breaches; a simulation ends at the first."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.breaches: list[str] = []
        self.most_calls = 0
        self.most_timers = 0
        self._calls: dict[str, deque[float]] = defaultdict(deque)
        self._timers: dict[str, deque[float]] = defaultdict(deque)
        self.snapshots: dict[OrderId, dict[int, list[bytes]]] = {}
        self.last_version: dict[OrderId, int] = {}
        self._left: dict[OrderId, float] = {}
        self.late: dict[tuple[str, str], OrderId] = {}
        """By process and event id: outcomes that came when another one had been recorded, and must be told as well."""
        self._newest: dict[OrderId, str] = {}

    def appended(self, record: Written) -> None:
        """Look at a record on any topic."""
        value = record.value or b""
        if _CODE in value:
            self.breaches.append(f"a plain code stands in {record.topic}")
        if b'"cause":"defect"' in value:
            self.breaches.append(f"a defect: {value!r}")
        if record.topic == RETIRED_CHANGELOG.name:
            self._leaves(OrderId(record.key.decode()))
        if record.topic == ORDER_STATE.name:
            self._snapshot(value)
        elif record.topic == ORDER_EVENTS.name and b'"timer.fired"' in value:
            count = self._count(self._timers[record.key.decode()])
            self.most_timers = max(self.most_timers, count)
            if count > TIMERS_A_MINUTE:
                self.breaches.append("timers fire without end")

    def called(self, order: str) -> None:
        """Note a call to a provider."""
        count = self._count(self._calls[order])
        self.most_calls = max(self.most_calls, count)
        if count > CALLS_A_MINUTE:
            self.breaches.append("providers are called without end")

    def timers(self) -> None:
        """See whether a timer stands still."""
        if self._world.loop.time() < FAULTS_END + LATE_TIMER:
            return
        for process in self._world.processes:
            if not isinstance(process, FulfillmentProcess):
                continue
            if any(key.decode() not in process.due for key, value in process.orders.items() if wake_of(value)):
                self.breaches.append("a timer is not set")
            late = process.due.late_since()
            if late is not None and (process.steady() - late).total_seconds() > LATE_TIMER:
                self.breaches.append("a timer stands still")

    def standstill(self) -> None:
        """See whether a paid order still waits long after all is well."""
        for order_id in self._world.order_ids:
            order = self._world.order(order_id)
            if order is not None and order.status in _UNDER_WAY:
                self.breaches.append(f"an order is still {order.status} long after all is well")

    def outdone(self, incarnation: str, outcome: Outcome) -> None:
        """Note that a worker has come too late with what it did."""
        if not (isinstance(outcome, EffectFailed) and outcome.cause == Cause.ABANDONED):
            self.late[incarnation, outcome.event_id] = outcome.order_id

    def died(self, incarnation: str) -> None:
        """Note that a process died: it tells nothing any more."""
        self.late = {key: order for key, order in self.late.items() if key[0] != incarnation}

    def _leaves(self, order: OrderId) -> None:
        now = self._world.loop.time()
        if now > self._left.setdefault(order, now) + 60:
            self.breaches.append("an order that had left leaves again")

    def _snapshot(self, value: bytes) -> None:
        """After a crash the last versions may be told again, from the table as it was."""
        state = _State.model_validate_json(value)
        now = self._world.loop.time()
        if now > self._left.get(state.order_id, now) + 60:
            self.breaches.append("an order that has left lives on")
        told = self.snapshots.setdefault(state.order_id, {})
        newest = max(told, default=0)
        if state.version > newest:
            before = self._newest.get(state.order_id, "")
            if before in CLOSED and state.status != before:
                self.breaches.append(f"a closed order went from {before} to {state.status}")
            self._newest[state.order_id] = state.status
        told.setdefault(state.version, []).append(value)
        self.last_version[state.order_id] = state.version

    def _count(self, times: deque[float]) -> int:
        now = self._world.loop.time()
        times.append(now)
        while times[0] < now - 60:
            times.popleft()
        return len(times)
