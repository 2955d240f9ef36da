"""One simulation: the broker, the processes, the providers, and a schedule that lets them fail."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from bitloot.consumer.records import Handle
from bitloot.contracts.base import Record
from bitloot.contracts.codec import encode
from bitloot.contracts.events import (
    KinguinNotified,
    Notice,
    OrderItem,
    OrderPlaced,
    PaymentStatus,
    PaymentUpdated,
    ReprocessRequested,
)
from bitloot.contracts.notices import ReservationNotified
from bitloot.contracts.sealed import SealedCode
from bitloot.contracts.topics import KINGUIN_NOTICES, ORDER_EVENTS, ORDERS_CHANGELOG, Topic
from bitloot.ids import EventId, OrderId, PaymentId, ProductId, ReservationId, content_id, item_id, order_id, order_of
from delivery.pace import Pace
from delivery.sending import MailPorts
from delivery.worker import DeliveryWorker, WorkerPorts
from fulfillment.codec import order_from_bytes, order_to_bytes
from fulfillment.kinguin.worker import KinguinWorker
from fulfillment.order import Order
from tests.simulation import mutations
from tests.simulation.mutations import Bug
from tests.simulation.processes import TOPICS, Broker, FulfillmentProcess, Process, WorkerProcess, stamped
from tests.simulation.providers import (
    EmailsPort,
    Kinguin,
    LedgerPort,
    Mailbox,
    MailerPort,
    Market,
    OpenSealer,
    Purchase,
    Row,
    StorePort,
)
from tests.simulation.schedule import (
    FAULTS_END,
    PARTITIONS,
    CallFault,
    Click,
    Crash,
    Fault,
    Group,
    Move,
    Notification,
    OrderPlan,
    Schedule,
    Stall,
    Webhook,
)
from tests.simulation.virtual_time import VirtualClock, VirtualLoop

CLAIM_TIME = timedelta(seconds=25)
DAYS_TO_REST = 20.0

R = TypeVar("R", bound=Record)


@dataclass
class Seen:
    """How often a named place was passed, and which faults wait there."""

    faults: dict[tuple[str, int], Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def next(self, place: str) -> Any:
        self.counts[place] += 1
        return self.faults.get((place, self.counts[place]))


class World:
    """Everything of one simulation."""

    def __init__(self, loop: VirtualLoop, schedule: Schedule, bugs: frozenset[Bug]) -> None:
        self.loop = loop
        self.schedule = schedule
        self.rng = random.Random(schedule.seed)  # noqa: S311 - repeatable on purpose
        self.clock = VirtualClock(loop)
        self.broker = Broker()
        self.kinguin = Kinguin(self)
        self.mailbox = Mailbox()
        self.objects: dict[str, bytes] = {}
        self.ledger: dict[str, Row] = {}
        self.emails: dict[str, Any] = {}
        self.defects: list[BaseException] = []
        self.accepted: list[Record] = []
        self.processes: list[Process] = []
        self.order_ids = [order_id(f"simulated {n}") for n in range(len(schedule.orders))]
        self._bugs = bugs
        self._plans = dict(zip(self.order_ids, schedule.orders, strict=True))
        self._numbers = 0
        self._pending = 0
        self._crashes = Seen({(f.point, f.nth): f for f in schedule.faults if isinstance(f, Crash)})
        self._stalls = Seen({(f.point, f.nth): f for f in schedule.faults if isinstance(f, Stall)})
        self._calls = Seen({(f.site, f.nth): f for f in schedule.faults if isinstance(f, CallFault)})
        self._hooks = Seen({("hook", f.nth): f for f in schedule.faults if isinstance(f, Webhook)})

    # --- what processes and providers ask ---

    def has(self, bug: Bug) -> bool:
        return bug in self._bugs

    def latency(self) -> float:
        return self.rng.uniform(0.002, 0.2)

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def later(self, seconds: float, act: Callable[..., Any], *about: Any) -> None:
        self.loop.call_later(seconds, act, *about)

    def plan_of(self, external_id: str) -> OrderPlan:
        return self._plans[order_of(external_id) or OrderId("")]

    def in_virtual_time(self, record: R) -> R:
        return stamped(record, self)  # type: ignore[return-value]

    @property
    def healed(self) -> bool:
        return self.loop.time() >= FAULTS_END

    def crash_at(self, point: str) -> Crash | None:
        found: Crash | None = None if self.healed else self._crashes.next(point)
        return found

    def stall_at(self, point: str) -> Stall | None:
        found: Stall | None = None if self.healed else self._stalls.next(point)
        return found

    def fault(self, site: str) -> CallFault | None:
        found: CallFault | None = None if self.healed else self._calls.next(site)
        return found

    def read_value(self, table: str, value: bytes | None) -> bytes | None:
        if value is None or table != ORDERS_CHANGELOG.name or not self._bugs:
            return value
        return order_to_bytes(mutations.as_read(order_from_bytes(value), self._bugs))

    def written_value(self, table: str, value: bytes) -> bytes:
        if table != ORDERS_CHANGELOG.name or not self._bugs:
            return value
        return order_to_bytes(mutations.as_written(order_from_bytes(value), self._bugs))

    # --- what comes from outside ---

    def accept(self, topic: Topic, key: str, record: Record) -> None:
        """Publish what the ingress has answered with success."""
        self.accepted.append(record)
        self.broker.append(topic.name, key.encode(), encode(record))

    def notify(self, purchase: Purchase, notice: str) -> None:
        """Send one of Kinguin's notifications, perhaps."""
        fault: Webhook | None = None if self.healed else self._hooks.next("hook")
        delay = self.rng.choice((0.01, 0.3, 2.0))
        if fault is None or fault.how == "repeat":
            self.later(delay, self._notified, purchase, notice)
        if fault is not None and fault.how != "drop":
            self.later(delay + fault.seconds, self._notified, purchase, notice)

    def _notified(self, purchase: Purchase, notice: str) -> None:
        purchase.told = True
        codes = purchase.codes if notice == "delivered" and self.rng.random() < 0.5 else ()
        sealed = tuple(SealedCode(key_id="open", box=code) for code in codes)
        event_id = content_id("kinguin", purchase.id, notice, bool(codes))
        about: dict[str, Any] = {
            "event_id": event_id,
            "occurred_at": self.clock(),
            "reservation_id": ReservationId(purchase.id),
            "notice": Notice(notice),
            "provider_status": notice,
            "codes": sealed,
        }
        order = order_of(purchase.external_id)
        if order is not None and self.plan_of(purchase.external_id).names_order:
            event = KinguinNotified(**about, order_id=order, external_id=purchase.external_id)
            self.accept(ORDER_EVENTS, order, event)
        else:
            self.accept(KINGUIN_NOTICES, purchase.id, ReservationNotified(**about))

    def _place(self, order: OrderId, plan: OrderPlan) -> None:
        items = tuple(
            OrderItem(
                item_id=item_id(order, n),
                product_id=ProductId(f"product-{n}"),
                title=f"Game {n}",
                quantity=quantity,
                unit_price=Decimal(5),
            )
            for n, quantity in enumerate(plan.quantities, start=1)
        )
        event = OrderPlaced(
            event_id=content_id("shop", order),
            occurred_at=self.clock(),
            order_id=order,
            email="buyer@example.com",
            currency="eur",
            items=items,
            total=Decimal(5) * sum(plan.quantities),
            request_hash="0" * 64,
        )
        self.accept(ORDER_EVENTS, order, event)

    def _pay(self, order: OrderId, plan: OrderPlan, told: Notification) -> None:
        status = PaymentStatus(told.status)
        paid = {PaymentStatus.FINISHED: "0.002", PaymentStatus.PARTIALLY_PAID: "0.001"}.get(status, "0")
        event = PaymentUpdated(
            event_id=content_id("nowpayments", order, told.payment, status),
            occurred_at=self.clock(),
            order_id=order,
            payment_id=PaymentId(f"{order}/{told.payment}"),
            status=status,
            provider_status=status,
            price_amount=Decimal(5) * sum(plan.quantities),
            price_currency="eur",
            pay_amount=Decimal("0.002"),
            pay_currency="btc",
            actually_paid=Decimal(paid),
        )
        self.accept(ORDER_EVENTS, order, event)

    def _click(self, click: Click) -> None:
        order, number = self.order_ids[click.order], self.number()
        event = ReprocessRequested(
            event_id=EventId(f"reprocess/{number}"),
            occurred_at=self.clock(),
            order_id=order,
            action_id=f"click {number}",
            actor="admin",
        )
        self.accept(ORDER_EVENTS, order, event)

    # --- processes ---

    def handler(self, process: WorkerProcess) -> Handle:
        """Return the real worker of a process, on ports of its own."""
        ledger: Any = LedgerPort(process)
        producer: Any = process
        if process.group == "kinguin":
            market = Market(process)
            return KinguinWorker(market, ledger, producer, claim_time=CLAIM_TIME, clock=self.clock).handle
        store = StorePort(process)
        mail = MailPorts(
            emails=EmailsPort(process),
            mailer=MailerPort(process),
            links=store,
            page_of=lambda order: f"https://page/{order}",
            clock=self.clock,
            sender="orders@bitloot.test",
        )
        pace = Pace(1000.0, clock=self.loop.time)
        ports = WorkerPorts(OpenSealer(), store, mail, pace, ledger, producer, self.clock)
        return DeliveryWorker(ports).handle

    def _start(self, group: Group) -> Process:
        incarnation = f"{group}-{self.number()}"
        process = (
            FulfillmentProcess(self, incarnation) if group == "fulfillment" else WorkerProcess(self, group, incarnation)
        )
        self.processes.append(process)
        for partition in range(PARTITIONS):
            if (group, partition) not in self.broker.owners:
                self._hand(group, partition, process)
        return process

    def _hand(self, group: Group, partition: int, process: Process) -> None:
        self.broker.owners[group, partition] = process
        process.assign(partition)

    def on_death(self, process: Process, restart_after: float) -> None:
        self.processes.remove(process)
        self.later(min(restart_after, 10.0), self.take_away, process)
        self.later(restart_after, self._start, process.group)

    def take_away(self, process: Process) -> None:
        """The broker has not heard of a member for a while: its partitions go to others."""
        if process.alive and process.frozen_until <= self.loop.time():
            return
        for partition in range(PARTITIONS):
            if self.broker.owners.get((process.group, partition)) is process:
                self._move(process.group, partition, process)

    def _move(self, group: Group, partition: int, old: Process) -> None:
        others = [p for p in self.processes if p.group == group and p is not old and p.frozen_until <= self.loop.time()]
        if others:
            self._hand(group, partition, self.rng.choice(others))
        else:
            self._start_for(group, partition)

    def _start_for(self, group: Group, partition: int) -> None:
        self.broker.owners.pop((group, partition), None)
        self._start(group)

    def _rebalance(self, move: Move) -> None:
        old = self.broker.owners.get((move.group, move.partition))
        if old is None or not old.alive or old.frozen_until > self.loop.time():
            return
        if move.zombie is None:
            task = old.spawn(old.give_up(move.partition))
            task.add_done_callback(lambda _: self._given_up(old, move))
        elif isinstance(old, FulfillmentProcess) and not self.has(Bug.ZOMBIE_WRITES):
            # It has not heard of the group for as long as the group waits for members, and so it writes no more.
            old.freeze(max(move.zombie, 11.0))
        else:
            self._move(move.group, move.partition, old)
            self.later(move.zombie, old.forget, [move.partition])

    def _given_up(self, old: Process, move: Move) -> None:
        if self.broker.owners.get((move.group, move.partition)) is old:
            self._move(move.group, move.partition, old)
            old.forget([move.partition])

    # --- the run ---

    async def run(self) -> None:
        """Start all, let the schedule happen, and wait until nothing moves any more."""
        for group in TOPICS:
            first = self._start(group)
            if self.rng.random() < 0.5:
                self.processes.append(self._second(first))
        for order, plan in self._plans.items():
            self.later(plan.placed_at, self._place, order, plan)
            for told in plan.payments:
                self.later(told.at, self._pay, order, plan, told)
        for fault in self.schedule.faults:
            self._arrange(fault)
        await asyncio.sleep(FAULTS_END + 120)
        pause = 60.0
        while not self.at_rest():
            if self.loop.time() > DAYS_TO_REST * 86_400:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 43_200.0)

    def _second(self, first: Process) -> Process:
        incarnation = f"{first.group}-{self.number()}"
        if first.group == "fulfillment":
            second: Process = FulfillmentProcess(self, incarnation)
        else:
            second = WorkerProcess(self, first.group, incarnation)
        self._hand(first.group, 1, second)
        first.forget([1])
        return second

    def _arrange(self, fault: Fault) -> None:
        if isinstance(fault, Move):
            self.later(fault.at, self._rebalance, fault)
        elif isinstance(fault, Click):
            self.later(fault.at, self._click, fault)

    def at_rest(self) -> bool:
        """Tell whether all is read and handled, and nobody waits for a time."""
        for (group, partition), owner in self.broker.owners.items():
            for topic in TOPICS[group]:  # type: ignore[index]
                if self.broker.start(group, topic.name, partition) < len(self.broker.records(topic.name, partition)):
                    return False
            if not owner.alive or owner.buffer or (isinstance(owner, FulfillmentProcess) and owner.waiting):
                return False
        return True

    def order(self, order: OrderId) -> Order | None:
        """Return what the changelog says of an order."""
        for partition in range(PARTITIONS):
            for record in reversed(self.broker.records(ORDERS_CHANGELOG.name, partition)):
                if record.key == order.encode():
                    return order_from_bytes(record.value)
        return None
