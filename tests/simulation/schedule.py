"""What happens in one simulation: orders, and faults at named places. A pure function of its seed."""

import random
from dataclasses import dataclass, replace
from typing import Literal

PARTITIONS = 2
FAULTS_END = 240.0
"""Seconds after which everything is well again."""
VERY_LATE = 120.0
"""Seconds after which no look-up is under way any more: what Kinguin does then on an old request nobody can prevent."""
ESA_SHARE = 4
"""One schedule in so many speaks the buyer API."""
DAY = 86_400.0
HOUR = 3600.0

Group = Literal["fulfillment", "payments", "kinguin", "delivery"]
Dialect = Literal["reservations", "esa"]
Part = Literal["broker", "database", "kinguin", "mail", "store", "nowpayments"]
Billed = Literal["invoice", "twice", "address", "later"]
How = Literal["not_now", "lost_before", "lost_after", "late", "refused", "error_before", "error_after", "garbled"]
Supply = Literal["whole", "parts", "short", "mended", "repeated", "shared"]
"""How codes come: at once; in two parts; for ever one too few; so, and mended later; one twice; one in two items.

In the buyer API one too few is one that Kinguin cancels.
"""
Retold = Literal["placed", "payment", "delivered", "outcome", "reveal"]
Wish = Literal["go on", "mail", "address", "revoke"]
Junk = Literal["empty", "no_json", "version", "type", "key", "stranger"]


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
class Outage:
    """A part of the world is away for everybody."""

    at: float
    part: Part
    seconds: float


@dataclass(frozen=True, slots=True)
class ClockJump:
    """The clocks of a group's machines (or the ingress's) go wrong by `seconds` at a time, and stay wrong."""

    at: float
    group: Group | Literal["ingress"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Skew:
    """The clock of every second process of a group is `seconds` ahead of the others from its start."""

    group: Group
    seconds: float


@dataclass(frozen=True, slots=True)
class Webhook:
    """The provider's `nth` notification is dropped, comes `seconds` late, or comes again then."""

    nth: int
    how: Literal["drop", "late", "repeat"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Ending:
    """Kinguin ends the `nth` reservation of all: `seconds` after it was made, or after its codes were told."""

    nth: int
    how: Literal["cancel", "reversed"]
    after: Literal["reserve", "delivered"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Foreign:
    """Somebody writes a record that does not belong there."""

    at: float
    topic: int
    junk: Junk


@dataclass(frozen=True, slots=True)
class Again:
    """Long after, something is told again: the order, a payment, a delivery, an outcome; or the page is opened."""

    at: float
    order: int
    what: Retold


@dataclass(frozen=True, slots=True)
class Click:
    """So many people wish the same for an order at the same time: that it goes on, or what its buyer may ask for."""

    at: float
    order: int
    admins: int = 1
    wish: Wish = "go on"


@dataclass(frozen=True, slots=True)
class Replay:
    """An admin replays all dead letters."""

    at: float


Fault = (
    CallFault | Crash | Stall | Move | Outage | ClockJump | Skew | Webhook | Ending | Foreign | Again | Click | Replay
)


@dataclass(frozen=True, slots=True)
class Notification:
    """An IPN: payment `payment` (counted from 0) of an order has a status, told at a time."""

    at: float
    payment: int
    status: str
    paid: Literal["all", "less", "other"] = "all"
    """What a `finished` one settles: the price, less of it, or the price of something else."""


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """An order of items with these quantities, and the notifications of its payments."""

    placed_at: float
    quantities: tuple[int, ...]
    payments: tuple[Notification, ...]
    codes_after: float
    names_order: bool
    """Whether Kinguin's notifications name the order."""
    supply: Supply = "whole"
    billed: Billed = "invoice"
    """What the order is placed with; `twice`: by two processes, and its buyer pays one of the two invoices; `later`:
    NOWPayments did not answer then."""
    lost: bool = False
    """Whether every notification is lost."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that differs between two simulations."""

    seed: int
    orders: tuple[OrderPlan, ...]
    faults: tuple[Fault, ...]
    dialect: Dialect = "reservations"

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, {self.dialect}", *map(str, self.orders), *map(str, self.faults)]
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
PAYMENT_POINTS = tuple(
    f"payments.{point}"
    for point in (
        "taken",
        "claiming",
        "claimed",
        "calling",
        "called",
        "recording",
        "recorded",
        "publishing",
        "published",
        "committing",
        "committed",
    )
)
PAYMENT_SITES = ("nowpayments.create", "nowpayments.read", "nowpayments.read", "nowpayments.find")
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
_HOWS: tuple[How, ...] = (
    "not_now",
    "lost_before",
    "lost_after",
    "lost_after",
    "late",
    "late",
    "refused",
    "error_before",
    "error_after",
    "garbled",
)
_SUPPLIES: tuple[Supply, ...] = ("parts", "short", "mended", "repeated", "shared")
_JUNK: tuple[Junk, ...] = ("empty", "no_json", "version", "type", "key", "stranger")
_PARTS: tuple[Part, ...] = ("broker", "broker", "database", "database", "kinguin", "mail", "store")


def generate(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    orders = tuple(_order(rng) for _ in range(rng.choice((1, 1, 1, 2))))
    count = rng.choice((0, 1, 2, 3, 4, 6, 9))
    kind = rng.choice((_fault, _fault, _rarer_fault, _unrest)) if count > 1 else _fault
    faults = [kind(rng, len(orders)) for _ in range(count)]
    if rng.random() < 0.25:  # what comes long after the end
        faults += _long_after(rng, len(orders))
    orders, of_payments = _with_billing(random.Random(f"payments {seed}"), orders)  # noqa: S311 - see above
    faults += of_payments
    return Schedule(seed, orders, tuple(faults), "esa" if seed % ESA_SHARE == ESA_SHARE - 1 else "reservations")


def _with_billing(rng: random.Random, orders: tuple[OrderPlan, ...]) -> tuple[tuple[OrderPlan, ...], list[Fault]]:
    """Return the orders with how they are billed and what is lost of it, and faults of the payments worker.

    By dice of their own: what else happens in a schedule does not depend on them.
    """
    billed = []
    for order in orders:
        # Of a second payment, or one that was sent back, only a notification tells.
        findable = all(told.payment == 0 and told.status != "refunded" for told in order.payments)
        how: Billed = rng.choice(("invoice", "invoice", "twice", "address", "later"))
        billed.append(replace(order, billed=how, lost=findable and rng.random() < 0.15))
    faults = [_payment_fault(rng) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    return tuple(billed), faults


def _payment_fault(rng: random.Random) -> Fault:
    kind, nth = rng.random(), rng.choice((1, 1, 2, 3))
    if kind < 0.4:
        how = rng.choice(_HOWS)
        return CallFault(rng.choice(PAYMENT_SITES), nth, how, rng.choice((6.0, 12.0, 18.0)))
    if kind < 0.65:
        return Crash(rng.choice(PAYMENT_POINTS), nth, rng.choice((0.1, 1.0, 15.0, 60.0)))
    if kind < 0.8:
        return Stall(rng.choice(PAYMENT_POINTS), nth, rng.choice((3.0, 15.0, 40.0)))
    if kind < 0.9:
        return Outage(_early(rng), "nowpayments", rng.choice((8.0, 40.0, 90.0)))
    return Move(_early(rng), "payments", rng.randrange(PARTITIONS), rng.choice((None, 2.0, 10.0, 40.0)))


def _long_after(rng: random.Random, orders: int) -> list[Fault]:
    faults: list[Fault] = [_again(rng, orders) for _ in range(rng.choice((1, 2, 4)))]
    if rng.random() < 0.5:
        at = rng.choice((rng.uniform(1, 45), rng.uniform(31, 45))) * DAY
        faults.append(Move(at, "fulfillment", rng.randrange(PARTITIONS), None))
    return faults


def _order(rng: random.Random) -> OrderPlan:
    at = rng.uniform(0, 5)
    return OrderPlan(
        placed_at=at + rng.choice((0, 0, 4)),
        quantities=tuple(rng.choice((1, 1, 2)) for _ in range(rng.choice((1, 1, 2, 3)))),
        payments=_payments(rng, at),
        codes_after=rng.choice((0.0, 0.5, 5.0, 60.0)),
        names_order=rng.random() < 0.5,
        supply=rng.choice(_SUPPLIES) if rng.random() < 0.12 else "whole",
    )


def _payments(rng: random.Random, at: float) -> tuple[Notification, ...]:
    story = rng.choice((["finished"], ["waiting", "finished"], ["waiting", "confirming", "finished"]))
    told = [Notification(at + rng.uniform(0, 6), 0, status) for status in story]
    told += [Notification(at + rng.uniform(0, 60), 0, "finished") for _ in range(rng.choice((0, 0, 1, 2)))]
    rare = rng.random()
    if rare < 0.05:
        told = [Notification(at + 1, 0, rng.choice(("waiting", "confirming", "expired", "partially_paid", "failed")))]
    elif rare < 0.1:
        told.append(Notification(at + rng.uniform(0, 60), 1, "finished"))
    elif rare < 0.14:
        told.append(Notification(at + rng.uniform(5, 60), 0, "refunded"))
    elif rare < 0.17:
        told = [Notification(n.at, n.payment, n.status, rng.choice(("less", "other"))) for n in told]
        told += [Notification(at + rng.uniform(0, 60), 1, "finished") for _ in range(rng.choice((0, 1)))]
    elif rare < 0.19:
        told.append(Notification(at + rng.choice((0.0, 3.0, 9 * DAY)), 1, "expired"))
    return tuple(told)


def _fault(rng: random.Random, orders: int) -> Fault:
    kind = rng.random()
    if kind < 0.27:
        how = rng.choice(_HOWS)
        return CallFault(rng.choice(SITES), rng.choice((1, 1, 2, 3, 5)), how, rng.choice((6.0, 12.0, 18.0, VERY_LATE)))
    if kind < 0.47:
        return Crash(rng.choice(POINTS), rng.choice((1, 1, 2, 3, 5, 8)), rng.choice((0.1, 1.0, 15.0, 60.0)))
    if kind < 0.57:
        return Stall(rng.choice(STALLABLE), rng.choice((1, 1, 2, 3, 5)), rng.choice((3.0, 15.0, 40.0, 90.0)))
    if kind < 0.68:
        zombie = rng.choice((None, 2.0, 10.0, 40.0))
        return Move(_early(rng), _group(rng), rng.randrange(PARTITIONS), zombie)
    if kind < 0.76:
        return Webhook(rng.randint(1, 6), rng.choice(("drop", "late", "repeat")), rng.choice((1.0, 20.0, 100.0)))
    return _rarer_fault(rng, orders)


def _unrest(rng: random.Random, orders: int) -> Fault:
    """Return a fault of one of our own processes, early, when there is something to do."""
    del orders
    kind, group = rng.random(), _group(rng)
    if kind < 0.4:
        return Move(rng.uniform(0, 15), group, rng.randrange(PARTITIONS), rng.choice((None, 2.0, 10.0, 40.0)))
    points = [point for point in (STALLABLE if kind < 0.7 else POINTS) if point.startswith(group)]
    if kind < 0.7:
        return Stall(rng.choice(points), rng.randint(1, 6), rng.choice((3.0, 15.0, 40.0)))
    return Crash(rng.choice(points), rng.randint(1, 6), rng.choice((0.1, 1.0, 15.0)))


def _rarer_fault(rng: random.Random, orders: int) -> Fault:  # noqa: PLR0911 - one line per kind
    kind = rng.random()
    if kind < 0.25:
        return Outage(_early(rng), rng.choice(_PARTS), rng.choice((2.0, 8.0, 15.0, 40.0, 90.0)))
    if kind < 0.4:
        group: Group | Literal["ingress"] = rng.choice(("fulfillment", "fulfillment", "kinguin", "delivery", "ingress"))
        return ClockJump(_early(rng), group, rng.choice((-HOUR, -20.0, 20.0, HOUR)))
    if kind < 0.47:
        return Skew(_group(rng), rng.choice((-30.0, -0.5, 0.5, 30.0)))
    if kind < 0.6:
        seconds = rng.choice((0.0, 0.2, 3.0, 30.0))
        return Ending(
            rng.randint(1, 3), rng.choice(("cancel", "reversed")), rng.choice(("reserve", "delivered")), seconds
        )
    if kind < 0.72:
        return Foreign(_early(rng), rng.randrange(4), rng.choice(_JUNK))
    if kind < 0.8:
        return Replay(rng.uniform(5, 2 * FAULTS_END))
    at, order, people = rng.uniform(5, 2 * FAULTS_END), rng.randrange(orders), rng.choice((1, 1, 2))
    return Click(at, order, people, rng.choice(("go on", "go on", "mail", "address", "revoke")))


def _again(rng: random.Random, orders: int) -> Again:
    at = rng.choice((rng.uniform(0, HOUR), rng.uniform(1, 45) * DAY, rng.uniform(29.99, 30.01) * DAY))
    what: Retold = rng.choice(("placed", "payment", "delivered", "outcome", "reveal"))
    return Again(at, rng.randrange(orders), what)


def _early(rng: random.Random) -> float:
    return rng.choice((rng.uniform(0, 12), rng.uniform(0, 90)))


def _group(rng: random.Random) -> Group:
    return rng.choice(("fulfillment", "kinguin", "delivery"))
