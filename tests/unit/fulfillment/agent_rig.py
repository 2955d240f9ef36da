"""The agents and timers over tables in memory, with a clock that is moved by hand."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace

from bitloot.contracts.base import Record
from bitloot.contracts.codec import encode
from bitloot.contracts.topics import KINGUIN_NOTICES, ORDER_EVENTS, Topic
from fulfillment.agents import OrdersAgent, OrderTables, ReservationRouter
from fulfillment.due import DueIndex
from fulfillment.order import Policy
from fulfillment.routing import HELD_FOR
from fulfillment.steady import SteadyClock
from fulfillment.timers import Timers, of_notices, of_orders
from tests.unit.fulfillment.order_world import START


class MemoryTable(dict):
    """A table, and the changelog that it writes: every write, whether it changed anything or not."""

    def __init__(self) -> None:
        super().__init__()
        self.changelog: list[tuple[bytes, bytes | None]] = []

    def __setitem__(self, key: bytes, value: bytes) -> None:
        super().__setitem__(key, value)
        self.changelog.append((key, value))

    def __delitem__(self, key: bytes) -> None:
        self.pop(key, None)
        self.changelog.append((key, None))

    def restored(self) -> "MemoryTable":
        """Return what another machine would make of the changelog."""
        table = MemoryTable()
        for key, value in self.changelog:
            if value is None:
                table.pop(key, None)
            else:
                dict.__setitem__(table, key, value)
        table.changelog = list(self.changelog)
        return table


class Stream:
    """Hands records to an agent."""

    def __init__(self, messages: list[SimpleNamespace]) -> None:
        self._messages = messages

    async def events(self) -> AsyncIterator[SimpleNamespace]:
        for message in self._messages:
            yield SimpleNamespace(message=message)


class Rig:
    """One worker. `wall` and `uptime` are its clocks; `ready` and `rebalancing_count` are what an app tells."""

    def __init__(self, policy: Policy | None = None, tables: OrderTables | None = None) -> None:
        self.wall, self.uptime = START, 0.0
        self.steady = SteadyClock(lambda: self.wall, lambda: self.uptime)
        self.ready, self.rebalancing_count = True, 0
        self.tables = tables or OrderTables(MemoryTable(), MemoryTable())
        self.routes = MemoryTable()
        self.due, self.due_notices = DueIndex(), DueIndex()
        self.sent: list[tuple[Topic, str, Record]] = []
        self.letters: list[tuple[SimpleNamespace, Exception]] = []
        self.orders = OrdersAgent(self.tables, self, self, self.due, clock=self.steady, policy=policy or Policy())
        self.router = ReservationRouter(self.routes, self, self, self.due_notices, clock=self.steady)
        sources = of_orders(self.tables.orders, self.due), of_notices(self.routes, self.due_notices, HELD_FOR)
        self.timers = Timers(self, self, sources, self.steady, lambda: self.uptime)
        self._offset = 0

    def post(self, topic: Topic, key: str, record: Record) -> None:
        self.sent.append((topic, key, record))

    async def send(self, message: SimpleNamespace, error: Exception) -> None:
        self.letters.append((message, error))

    def on(self, topic: Topic) -> list[Record]:
        return [record for sent, _, record in self.sent if sent is topic]

    def tell(self, *events: Record) -> None:
        """Hand events of orders to their agent."""
        asyncio.run(self.orders.run(Stream([self._message(ORDER_EVENTS, e.order_id, e) for e in events])))

    def notify(self, *records: Record) -> None:
        """Hand records of reservations to the router."""
        messages = [self._message(KINGUIN_NOTICES, record.reservation_id, record) for record in records]
        asyncio.run(self.router.run(Stream(messages)))

    def _message(self, topic: Topic, key: str, record: Record) -> SimpleNamespace:
        self._offset += 1
        return SimpleNamespace(
            topic=topic.name, partition=0, offset=self._offset, key=key.encode(), value=encode(record), headers={}
        )

    def pass_time(self, span: timedelta) -> None:
        """Let both clocks go on."""
        self.wall += span
        self.uptime += span.total_seconds()

    def tick(self) -> list[Record]:
        """Let the timers look once; return what they have sent, undelivered."""
        before = len(self.sent)
        self.timers._tick(self.steady())
        return [record for _, _, record in self.sent[before:]]

    def fire(self) -> list[Record]:
        """Let the timers look once, and hand what they send to the agents."""
        fired = self.tick()
        for record in fired:
            self.notify(record) if hasattr(record, "reservation_id") else self.tell(record)
        return fired
