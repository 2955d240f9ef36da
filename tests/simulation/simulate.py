"""Runs schedules and judges what they come to."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import structlog
from structlog.typing import EventDict

from bitloot.contracts.base import Record
from bitloot.contracts.codec import decode
from bitloot.contracts.events import Outcome, PaymentStatus
from bitloot.contracts.state import CLOSED, OrderStatus, PaymentVerdict
from bitloot.contracts.topics import ORDER_EVENTS, ORDER_STATE
from bitloot.ids import OrderId
from delivery.storing import content, object_key
from fulfillment.order import Order
from tests.simulation.mutations import Bug
from tests.simulation.schedule import PARTITIONS, VERY_LATE, CallFault, Schedule, generate, shrink
from tests.simulation.virtual_time import Stalled, VirtualLoop
from tests.simulation.world import World

ENDS = CLOSED | {OrderStatus.NEEDS_REVIEW}


class Broken(AssertionError):  # noqa: N818 - it names what happened
    """A promise that a simulation broke."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a schedule came to: how each order ended, and how many second purchases were found and told."""

    statuses: tuple[str, ...]
    second_purchases: int
    virtual_seconds: float


class Simulator:
    """Runs schedules one after the other on one virtual loop."""

    def __init__(self, bugs: Iterable[Bug] = ()) -> None:
        self._loop = VirtualLoop()
        self._bugs = frozenset(bugs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.close()

    def run(self, schedule: Schedule) -> Result:
        """Run a schedule and check every promise. Raises `Broken`."""
        with _silence():
            return self._loop.run(self._run(schedule))

    async def _run(self, schedule: Schedule) -> Result:
        world = World(self._loop, schedule, self._bugs)
        await world.run()
        return check(world)

    def fails(self, schedule: Schedule) -> str | None:
        """Return which promise a schedule breaks, or None."""
        try:
            self.run(schedule)
        except Stalled:
            return "everything waits for ever"
        except Broken as broken:
            return str(broken)
        return None

    def explain(self, seed: int) -> str:
        """Return why a seed fails, with the smallest schedule that fails like it."""
        reason = self.fails(generate(seed))
        smallest = shrink(generate(seed), lambda schedule: self.fails(schedule) is not None)
        return f"{reason}\nshrunk: {self.fails(smallest)}\n  {smallest}"


Tally = tuple[Counter[str], list[int]]
"""How orders ended and what else was counted; the seeds that failed."""


def run_seeds(seeds: range) -> Tally:
    """Run some seeds."""
    counted: Counter[str] = Counter()
    failed: list[int] = []
    with Simulator() as simulator:
        for seed in seeds:
            try:
                counted.update(_counted(simulator.run(generate(seed))))
            except (Broken, Stalled):
                failed.append(seed)
    return counted, failed


def _counted(result: Result) -> Counter[str]:
    counts = Counter(result.statuses)
    counts["virtual hours"] = round(result.virtual_seconds / 3600)
    counts["second purchases"] = result.second_purchases
    return counts


def _drop(logger: object, method: str, event: EventDict) -> EventDict:
    raise structlog.DropEvent


@contextmanager
def _silence() -> Iterator[None]:
    """Write no logs: thousands of simulations would write gigabytes."""
    before = structlog.get_config()
    structlog.configure([_drop], wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def _must(holds: object, promise: str) -> None:
    if not holds:
        raise Broken(promise)


def check(world: World) -> Result:
    """Check all that must hold at the end."""
    if world.defects:
        raise Broken(f"defect: {world.defects[0]!r}") from world.defects[0]
    _must(world.at_rest(), "it never comes to rest")
    seconds = 0
    statuses = []
    _check_closed_stay_closed(world)
    _check_one_story(world)
    _must(not world.broker.unhandled(), "a committed record was never handled")
    for order_id in world.order_ids:
        order = world.order(order_id)
        _must(order is not None, "an accepted order is lost")
        assert order is not None
        _check_heard(world, order)
        seconds += _check_purchases(world, order)
        _check_end(world, order)
        statuses.append(str(order.status))
    return Result(tuple(statuses), seconds, world.loop.time())


def _check_closed_stay_closed(world: World) -> None:
    closed: dict[OrderId, str] = {}
    for partition in range(PARTITIONS):
        for record in world.broker.records(ORDER_STATE.name, partition):
            state = decode(ORDER_STATE, record.value)
            before = closed.get(state.order_id)
            _must(before in {None, state.status}, f"a closed order went from {before} to {state.status}")
            if state.status in CLOSED:
                closed[state.order_id] = state.status


def _check_one_story(world: World) -> None:
    """What became of a claimed effect is told in one way only, however often."""
    told: dict[str, Record] = {}
    for partition in range(PARTITIONS):
        for record in world.broker.records(ORDER_EVENTS.name, partition):
            event = decode(ORDER_EVENTS, record.value)
            late = event.event_id.endswith("/late")  # of a worker that was given up: see `perform`
            if isinstance(event, Outcome) and event.effect_id in world.ledger and not late:
                _must(told.setdefault(event.effect_id, event) == event, "an effect has two outcomes")


def _check_heard(world: World, order: Order) -> None:
    """Every accepted event has left its mark."""
    plan = world.plan_of(order.order_id)
    _must(order.placed_at is not None, "an accepted order is lost")
    told = Counter(n.payment for n in plan.payments)
    _must({str(p.payment_id) for p in order.payments} == {f"{order.order_id}/{n}" for n in told}, "a payment is lost")
    for payment in order.payments:
        heard = {n.status for n in plan.payments if f"{order.order_id}/{n.payment}" == payment.payment_id}
        if PaymentStatus.FINISHED in heard:
            _must(payment.status in {PaymentStatus.FINISHED, PaymentStatus.REFUNDED}, "a finished payment is lost")
    accepted = any(p.verdict is PaymentVerdict.ACCEPTED for p in order.payments)
    _must(accepted == (order.paid_at is not None), "a payment was accepted and the order is not paid")


def _check_purchases(world: World, order: Order) -> int:
    """At most one purchase for each item, or a human knows of the second one."""
    given: dict[str, list[str]] = {}
    for purchase in world.kinguin.purchases.values():
        if purchase.external_id.startswith(order.order_id) and purchase.given_at is not None:
            given.setdefault(purchase.external_id, []).append(purchase.id)
    double = {external: ids for external, ids in given.items() if len(ids) > 1}
    known = any(incident.cause == "second_purchase" for incident in order.incidents)
    for external, ids in double.items():
        _must(_very_late(world.schedule), f"bought twice: {external}")
        told = all(world.kinguin.purchases[each].told for each in ids) and world.plan_of(external).names_order
        _must(known or not told, f"nobody hears of a second purchase: {external}")
    return len(double)


def _very_late(schedule: Schedule) -> bool:
    """Tell whether Kinguin acts on a request long after it was given up, which no caller can prevent."""
    return any(isinstance(f, CallFault) and f.how == "late" and f.seconds >= VERY_LATE for f in schedule.faults)


def _check_end(world: World, order: Order) -> None:
    mails = [m for m in world.mailbox.received if m.order_id == order.order_id]
    body = world.objects.get(object_key(order.order_id))
    _must(len(mails) <= 1, f"{len(mails)} mails were sent")
    _must(order.status in ENDS, f"an order stays {order.status}")
    if order.status is OrderStatus.NEEDS_REVIEW:
        _must(order.review is not None and order.review.cause, "an order waits for a human without a reason")
        _must(order.review is None or order.review.cause != "stuck", "an order was stuck")
    calm = not world.schedule.faults and order.paid_at is not None and not order.refunded
    _must(not calm or order.status is OrderStatus.FULFILLED, f"nothing failed, and a paid order ends {order.status}")
    if body is not None:
        bought = [world.kinguin.purchases[str(item.reservation_id)] for item in order.items]
        _must(all(p.given_at is not None for p in bought), "codes are stored that were never bought")
        _must(body == content([code for p in bought for code in p.codes]), "the stored codes are not the ones bought")
    if order.status is OrderStatus.FULFILLED:
        _must(len(mails) == 1, "fulfilled, and no mail was sent")
        _must(body is not None, "fulfilled, and no codes are stored")
