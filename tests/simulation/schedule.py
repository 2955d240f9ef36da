"""What happens in one simulation: orders, and faults at named places. A pure function of its seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

PARTITIONS = 2
FAULTS_END = 240.0
"""Seconds after which everything is well again."""
VERY_LATE = 120.0
"""Seconds after which no look-up is under way any more: what Kinguin does then on an old request nobody can prevent."""

Group = Literal["fulfillment", "kinguin", "delivery"]
How = Literal["not_now", "lost_before", "lost_after", "late"]


@dataclass(frozen=True, slots=True)
class CallFault:
    """The `nth` call at `site` fails: before its effect (known or not), after it, or it happens `seconds` later."""

    site: str
    nth: int
    how: How
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Crash:
    """The process that is the `nth` to pass `point` dies there, and is started again after `seconds`."""

    point: str
    nth: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stall:
    """The process that is the `nth` to pass `point` stands still there; its partitions go to somebody else."""

    point: str
    nth: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Move:
    """A partition of a group gets another owner at a time; the old one may not notice for `zombie` seconds."""

    at: float
    group: Group
    partition: int
    zombie: float | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """The provider's `nth` notification is dropped, comes `seconds` late, or comes again then."""

    nth: int
    how: Literal["drop", "late", "repeat"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Click:
    """An admin asks to go on with an order."""

    at: float
    order: int


Fault = CallFault | Crash | Stall | Move | Webhook | Click


@dataclass(frozen=True, slots=True)
class Notification:
    """An IPN: payment `payment` (counted from 0) of an order has a status, told at a time."""

    at: float
    payment: int
    status: str


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """An order of items with these quantities, and the notifications of its payments."""

    placed_at: float
    quantities: tuple[int, ...]
    payments: tuple[Notification, ...]
    codes_after: float
    names_order: bool
    """Whether Kinguin's notifications name the order."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that differs between two simulations."""

    seed: int
    orders: tuple[OrderPlan, ...]
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        lines = [f"seed {self.seed}", *map(str, self.orders), *map(str, self.faults)]
        return "\n  ".join(lines)


POINTS = (
    "fulfillment.taken",
    "fulfillment.stored",
    "fulfillment.posting",
    "fulfillment.handled",
    "fulfillment.committing",
    "fulfillment.committed",
    "fulfillment.firing",
    "kinguin.taken",
    "kinguin.claiming",
    "kinguin.claimed",
    "kinguin.calling",
    "kinguin.called",
    "kinguin.recording",
    "kinguin.recorded",
    "kinguin.publishing",
    "kinguin.published",
    "kinguin.committing",
    "kinguin.committed",
    "delivery.taken",
    "delivery.claiming",
    "delivery.claimed",
    "delivery.calling",
    "delivery.called",
    "delivery.recording",
    "delivery.recorded",
    "delivery.publishing",
    "delivery.published",
    "delivery.committing",
    "delivery.committed",
)
STALLABLE = tuple(point for point in POINTS if point.split(".")[1] not in {"stored", "posting", "handled", "firing"})
SITES = (
    "kinguin.reserve",
    "kinguin.reserve",
    "kinguin.give",
    "kinguin.give",
    "kinguin.delivered",
    "kinguin.lookup",
    "mail.send",
    "mail.send",
    "store.put",
    "store.get",
    "ledger.claim",
    "ledger.look",
    "ledger.finish",
    "emails",
    "kafka.send",
)
_HOWS: tuple[How, ...] = ("not_now", "lost_before", "lost_after", "lost_after", "late")


def generate(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    orders = tuple(_order(rng) for _ in range(rng.choice((1, 1, 1, 2))))
    faults = tuple(_fault(rng, len(orders)) for _ in range(rng.choice((0, 1, 2, 3, 4, 6, 9))))
    return Schedule(seed, orders, faults)


def _order(rng: random.Random) -> OrderPlan:
    at = rng.uniform(0, 5)
    story = rng.choice((["finished"], ["waiting", "finished"], ["waiting", "confirming", "finished"]))
    told = [Notification(at + rng.uniform(0, 6), 0, status) for status in story]
    told += [Notification(at + rng.uniform(0, 60), 0, "finished") for _ in range(rng.choice((0, 0, 1, 2)))]
    rare = rng.random()
    if rare < 0.05:
        told = [Notification(at + 1, 0, rng.choice(("waiting", "expired", "partially_paid")))]
    elif rare < 0.1:
        told.append(Notification(at + rng.uniform(0, 60), 1, "finished"))
    elif rare < 0.14:
        told.append(Notification(at + rng.uniform(5, 60), 0, "refunded"))
    return OrderPlan(
        placed_at=at + rng.choice((0, 0, 4)),
        quantities=tuple(rng.choice((1, 1, 2)) for _ in range(rng.choice((1, 1, 2, 3)))),
        payments=tuple(told),
        codes_after=rng.choice((0.0, 0.5, 5.0, 60.0)),
        names_order=rng.random() < 0.5,
    )


def _fault(rng: random.Random, orders: int) -> Fault:
    kind = rng.random()
    if kind < 0.35:
        how = rng.choice(_HOWS)
        return CallFault(rng.choice(SITES), rng.choice((1, 1, 2, 3, 5)), how, rng.choice((6.0, 12.0, 18.0, VERY_LATE)))
    if kind < 0.6:
        return Crash(rng.choice(POINTS), rng.choice((1, 1, 2, 3, 5, 8)), rng.choice((0.1, 1.0, 15.0, 60.0)))
    if kind < 0.72:
        return Stall(rng.choice(STALLABLE), rng.choice((1, 1, 2, 3, 5)), rng.choice((3.0, 15.0, 40.0, 90.0)))
    if kind < 0.86:
        group: Group = rng.choice(("fulfillment", "kinguin", "delivery"))
        zombie = rng.choice((None, 2.0, 10.0, 40.0))
        return Move(rng.choice((rng.uniform(0, 12), rng.uniform(0, 90))), group, rng.randrange(PARTITIONS), zombie)
    if kind < 0.96:
        return Webhook(rng.randint(1, 6), rng.choice(("drop", "late", "repeat")), rng.choice((1.0, 20.0, 100.0)))
    return Click(rng.uniform(5, FAULTS_END), rng.randrange(orders))


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Leave out of a failing schedule whatever it fails without: faults, then orders' parts."""
    again = True
    while again:
        again = False
        for smaller in _smaller(schedule):
            if fails(smaller):
                schedule, again = smaller, True
                break
    return schedule


def _smaller(schedule: Schedule) -> list[Schedule]:
    found = [
        replace(schedule, faults=schedule.faults[:n] + schedule.faults[n + 1 :]) for n in range(len(schedule.faults))
    ]
    for n, order in enumerate(schedule.orders):
        before, after = schedule.orders[:n], schedule.orders[n + 1 :]
        if len(schedule.orders) > 1 and not any(isinstance(f, Click) for f in schedule.faults):
            found.append(replace(schedule, orders=before + after))
        found.extend(replace(schedule, orders=(*before, less, *after)) for less in _less(order))
    return found


def _less(order: OrderPlan) -> list[OrderPlan]:
    less = [replace(order, quantities=order.quantities[1:])] if len(order.quantities) > 1 else []
    if len(order.payments) > 1:
        without = (order.payments[:n] + order.payments[n + 1 :] for n in range(len(order.payments)))
        less.extend(replace(order, payments=payments) for payments in without)
    return less
