"""One simulation: the broker, the processes, the providers, and a schedule that lets them fail."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bitloot.consumer.records import Handle
from bitloot.contracts.topics import ORDERS_CHANGELOG
from bitloot.ids import OrderId, order_id, order_of
from delivery.pace import Pace
from delivery.sending import Email, MailPorts
from delivery.worker import DeliveryWorker, WorkerPorts
from fulfillment.codec import order_from_bytes, order_to_bytes
from fulfillment.kinguin.worker import KinguinWorker
from fulfillment.order import Order
from ingress.payments.worker import PaymentsWorker
from tests.simulation import mutations
from tests.simulation.broker import TOPICS, Broker
from tests.simulation.buyer_market import BuyerKinguin, BuyerSide
from tests.simulation.fulfillment_process import POLICIES, FulfillmentProcess
from tests.simulation.market import Kinguin, Market, Purchase, Sealing
from tests.simulation.mutations import Bug
from tests.simulation.nowpayments import NowPaymentsPort
from tests.simulation.outside import Outside
from tests.simulation.processes import SESSION_SECONDS, Process, WorkerProcess
from tests.simulation.providers import EmailsPort, LedgerPort, Mailbox, MailerPort, NoOrders, Row, StorePort
from tests.simulation.schedule import (
    DAY,
    FAULTS_END,
    PARTITIONS,
    Again,
    CallFault,
    Click,
    ClockJump,
    Crash,
    Ending,
    Fault,
    Foreign,
    Group,
    Move,
    OrderPlan,
    Outage,
    Part,
    Replay,
    Schedule,
    Skew,
    Stall,
    Webhook,
)
from tests.simulation.virtual_time import Clocks, VirtualLoop
from tests.simulation.watch import STANDSTILL, Watch

CLAIM_TIME = timedelta(seconds=25)
DAYS_TO_REST = 100.0
"""An order that comes to its end only when something is told again, 45 days later, stays for the 30 of its retention."""
_SITES: dict[str, Part] = {"kinguin": "kinguin", "mail": "mail", "store": "store", "nowpayments": "nowpayments"}


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
        self.policy = POLICIES[schedule.dialect]
        self.rng = random.Random(schedule.seed)  # noqa: S311 - repeatable on purpose
        self.clocks = Clocks(loop)
        self.watch = Watch(self)
        self.broker = Broker(self)
        self.outside = Outside(self)
        self.kinguin = BuyerKinguin(self) if schedule.dialect == "esa" else Kinguin(self)
        self.mailbox = Mailbox()
        self.objects: dict[str, bytes] = {}
        self.ledger: dict[str, Row] = {}
        self.emails: dict[str, Email] = {}
        self.defects: list[BaseException] = []
        self.processes: list[Process] = []
        self.order_ids = [order_id(f"simulated {n}") for n in range(len(schedule.orders))]
        self._bugs = bugs
        self._plans = dict(zip(self.order_ids, schedule.orders, strict=True))
        self._numbers = 0
        self._pending = 0
        self._crashes = Seen({(f.point, f.nth): f for f in schedule.faults if isinstance(f, Crash)})
        self._stalls = Seen({(f.point, f.nth): f for f in schedule.faults if isinstance(f, Stall)})
        self._calls = Seen({(f.site, f.nth): f for f in schedule.faults if isinstance(f, CallFault)})
        self._endings = {(f.nth, f.after): f for f in schedule.faults if isinstance(f, Ending)}
        self._outages = [f for f in schedule.faults if isinstance(f, Outage)]
        self._skews = {f.group: f.seconds for f in schedule.faults if isinstance(f, Skew)}
        self._errors: dict[str, float] = {}
        self._until = (
            max((f.at for f in schedule.faults if isinstance(f, Again | Click | Replay | Move)), default=0.0) + 1
        )
        self._until = max(self._until, *(n.at for order in schedule.orders for n in order.payments))
        self._hooks = Seen({("hook", f.nth): f for f in schedule.faults if isinstance(f, Webhook)})

    # --- what processes and providers ask ---

    def has(self, bug: Bug) -> bool:
        return bug in self._bugs

    def clock(self) -> datetime:
        """Return the true time, by which the database goes."""
        return self.clocks.read()

    def clock_error(self, group: Group) -> float:
        """Return by how much the clock of a process is wrong that starts now."""
        every_second = self._skews.get(group, 0.0) if self._numbers % 2 else 0.0
        return self._errors.get(group, 0.0) + every_second

    def away(self, part: Part) -> float:
        """Return for how many seconds a part of the world will still be away; 0 when it is there."""
        if not self._outages:
            return 0.0
        left = [
            f.at + f.seconds - self.loop.time() for f in self._outages if f.part == part and f.at <= self.loop.time()
        ]
        return max((seconds for seconds in left if seconds > 1e-6), default=0.0)

    def ending(self, number: int, after: str) -> Ending | None:
        """Return how the so-many-th reservation ends after that."""
        return self._endings.pop((number, after), None)  # type: ignore[arg-type]

    def latency(self) -> float:
        return self.rng.uniform(0.002, 0.2)

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def later(self, seconds: float, act: Callable[..., Any], *about: Any) -> None:
        self.loop.call_later(seconds, act, *about)

    def plan_of(self, external_id: str) -> OrderPlan:
        return self._plans[order_of(external_id) or OrderId("")]

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
        if self.healed:
            return None
        part = _SITES.get(site.split(".", maxsplit=1)[0])
        if part is not None and self.away(part) > 0:
            return CallFault(site, 0, "not_now")
        found: CallFault | None = self._calls.next(site)
        return found

    def read_value(self, table: str, value: bytes | None) -> bytes | None:
        if value is None or table != ORDERS_CHANGELOG.name or not self._bugs & mutations.IN_THE_TABLE:
            return value
        return order_to_bytes(mutations.as_read(order_from_bytes(value), self._bugs), self.policy)

    def written_value(self, table: str, value: bytes) -> bytes:
        if table != ORDERS_CHANGELOG.name or not self._bugs & mutations.IN_THE_TABLE:
            return value
        return order_to_bytes(mutations.as_written(order_from_bytes(value), self._bugs), self.policy)

    # --- what comes from outside ---

    def notify(self, purchase: Purchase, notice: str) -> None:
        """Send one of Kinguin's notifications, perhaps."""
        fault: Webhook | None = None if self.healed else self._hooks.next("hook")
        delay = self.rng.choice((0.01, 0.3, 2.0))
        if fault is None or fault.how == "repeat":
            self.later(delay, self.outside.notified, purchase, notice)
        if fault is not None and fault.how != "drop":
            self.later(delay + fault.seconds, self.outside.notified, purchase, notice)

    # --- processes ---

    def handler(self, process: WorkerProcess) -> Handle:
        """Return the real worker of a process, on ports of its own."""
        ledger: Any = LedgerPort(process)
        producer: Any = process
        if process.group == "payments":
            provider = NowPaymentsPort(process)
            return PaymentsWorker(provider, ledger, producer, claim_time=CLAIM_TIME, clock=process.clock).handle
        if process.group == "kinguin":
            market = BuyerSide(process) if self.schedule.dialect == "esa" else Market(process)
            return KinguinWorker(market, ledger, producer, claim_time=CLAIM_TIME, clock=process.clock).handle
        store = StorePort(process)
        mail = MailPorts(
            emails=EmailsPort(process),
            mailer=MailerPort(process),
            links=store,
            page_of=lambda order, generation: f"https://page/{order}/{generation}",
            confirmation_of=lambda order, generation, email: f"https://page/{order}/{generation}/{email}",
            orders=NoOrders(),
            clock=process.clock,
            sender="orders@bitloot.test",
        )
        pace = Pace(1000.0, clock=self.loop.time)
        ports = WorkerPorts(Sealing(self), store, store, mail, pace, ledger, producer, process.clock)
        return DeliveryWorker(ports).handle

    def _start(self, group: Group) -> Process:
        process = self._new(group)
        self.processes.append(process)
        for partition in range(PARTITIONS):
            if (group, partition) not in self.broker.owners:
                self._hand(group, partition, process)
        return process

    def _new(self, group: Group) -> Process:
        incarnation = f"{group}-{self.number()}"
        if group == "fulfillment":
            return FulfillmentProcess(self, incarnation)
        return WorkerProcess(self, group, incarnation)

    def _start_again(self, group: Group) -> None:
        """Start a process; without a broker it does not come far."""
        if wait := self.away("broker"):
            self.later(wait, self._start_again, group)
        else:
            self._start(group)

    def _hand(self, group: Group, partition: int, process: Process) -> None:
        self.broker.owners[group, partition] = process
        process.assign(partition)

    def on_death(self, process: Process, restart_after: float) -> None:
        self.processes.remove(process)
        self.watch.died(process.incarnation)
        self.later(min(restart_after, 10.0), self.take_away, process)
        self.later(restart_after, self._start_again, process.group)

    def take_away(self, process: Process) -> None:
        """The broker has not heard of a member for a while: its partitions go to others."""
        if process.alive and process.frozen_until <= self.loop.time():
            return
        if wait := self.away("broker"):  # it counts anew when it is back
            self.later(wait + SESSION_SECONDS, self.take_away, process)
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
        if self.away("broker") or old is None or not old.alive or old.frozen_until > self.loop.time():
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
            self.later(plan.placed_at, self.outside.place, order, plan)
            for told in () if plan.lost else plan.payments:
                self.later(told.at, self.outside.pay, order, plan, told)
        for fault in self.schedule.faults:
            self._arrange(fault)
        self.later(STANDSTILL, self.watch.standstill)
        await asyncio.sleep(FAULTS_END + 120)
        pause = 60.0
        while not self.watch.breaches and not (self.at_rest() and self.loop.time() >= self._until):
            if self.loop.time() > DAYS_TO_REST * DAY:
                return
            self.watch.timers()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5 * DAY)

    def _second(self, first: Process) -> Process:
        second = self._new(first.group)
        self._hand(first.group, 1, second)
        first.forget([1])
        return second

    def _arrange(self, fault: Fault) -> None:
        match fault:
            case Move():
                self.later(fault.at, self._rebalance, fault)
            case Outage(part="broker"):
                self.later(fault.at + min(fault.seconds, SESSION_SECONDS), self._broker_away)
                self.later(fault.at + fault.seconds + 0.001, self._broker_back)
            case ClockJump():
                self.later(fault.at, self._set_clocks, fault)
            case Foreign():
                self.later(fault.at, self.outside.write_junk, fault)
            case Again():
                self.later(fault.at, self.outside.again, fault)
            case Click():
                self.later(fault.at, self.outside.click, fault)
            case Replay():
                self.later(fault.at, self.outside.replay)
            case _:
                pass  # it waits where it strikes

    def _broker_away(self) -> None:
        if self.away("broker"):
            for process in tuple(self.processes):
                process.on_broker_away()

    def _broker_back(self) -> None:
        for process in self.processes:
            process.news.set()

    def _set_clocks(self, jump: ClockJump) -> None:
        if jump.group == "ingress":
            self.outside.ahead += jump.seconds
            return
        self._errors[jump.group] = self._errors.get(jump.group, 0.0) + jump.seconds
        for process in self.processes:
            if process.group == jump.group:
                process.ahead += jump.seconds
                process.on_clock_set()

    def at_rest(self) -> bool:
        """Tell whether all is read and handled, and nobody waits for a time."""
        for (group, partition), owner in self.broker.owners.items():
            for topic in TOPICS[group]:
                if self.broker.start(group, topic.name, partition) < len(self.broker.records(topic.name, partition)):
                    return False
            if not owner.alive or owner.buffer or (isinstance(owner, FulfillmentProcess) and owner.waiting):
                return False
        return True

    def order(self, order: OrderId) -> Order | None:
        """Return the last that the changelog says of an order."""
        for partition in range(PARTITIONS):
            for record in reversed(self.broker.records(ORDERS_CHANGELOG.name, partition)):
                if record.key == order.encode() and record.value is not None:  # an order that is gone ended like this
                    return order_from_bytes(record.value)
        return None
