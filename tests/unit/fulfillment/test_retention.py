"""Closed orders leave the table, and nothing that comes later brings them back."""

from datetime import timedelta

import pytest

from bitloot.contracts.events import MailKind, MailRequested, Notice, OrderRetired, PaymentStatus, TimerFired
from bitloot.contracts.notices import ReservationReleased
from bitloot.contracts.state import OrderStatus
from bitloot.contracts.topics import DELIVERIES, KINGUIN_NOTICES, ORDER_EVENTS, ORDER_STATE
from bitloot.errors import Malformed
from bitloot.ids import EventId
from fulfillment.agents import OrderTables
from fulfillment.codec import mark_from_bytes, order_from_bytes, order_to_bytes
from fulfillment.order import wake_at
from fulfillment.order.policy import UNPAID_FOR, Policy
from tests.unit.fulfillment.agent_rig import MemoryTable, Rig
from tests.unit.fulfillment.order_world import (
    ORDER,
    START,
    World,
    address,
    mail_requested,
    paid_world,
    payment,
    placed,
    reprocess,
)

DAYS = timedelta(days=30)
KEEP = Policy(retention=DAYS)
KEY = ORDER.encode()


def fulfilled() -> World:
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy))
    world.settle(world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True)))
    assert world.order.status is OrderStatus.FULFILLED
    return world


def rig_with(world: World) -> Rig:
    """Return a worker that has the order in its table and has just been assigned its partition."""
    rig = Rig(KEEP)
    rig.tables.orders[KEY] = order_to_bytes(world.order, KEEP)
    refill(rig)
    return rig


def refill(rig: Rig) -> None:
    for source in rig.timers._sources:
        for key, value in source.table.items():
            rig.timers._set(source, key.decode(), value, rig.steady())


def retired_rig() -> Rig:
    world = fulfilled()
    rig = rig_with(world)
    rig.pass_time(world.order.closed_at - START + DAYS)
    (timer,) = rig.fire()
    (leaving,) = rig.on(ORDER_EVENTS)[1:]
    assert isinstance(timer, TimerFired)
    rig.tell(leaving)
    return rig


def late_events(world: World) -> list:
    reservation = world.reservations[0]
    return [
        placed(),
        payment(PaymentStatus.FINISHED),
        payment(PaymentStatus.REFUNDED),
        world.notice(reservation, Notice.DELIVERED, codes=True),
        world.notice(reservation, Notice.REVERSED),
        reprocess("late", at=world.now),
        TimerFired(event_id=EventId("timer/late"), occurred_at=world.now + DAYS, order_id=ORDER),
    ]


def test_a_closed_order_waits_for_its_retention_and_no_longer():
    world = fulfilled()
    assert wake_at(world.order, KEEP) == world.order.closed_at + DAYS
    assert wake_at(world.order) is None, "without a retention it stays"
    rig = rig_with(world)
    rig.pass_time(world.order.closed_at - START + DAYS - timedelta(seconds=1))
    assert rig.tick() == []


def test_a_retired_order_leaves_a_mark_of_eight_bytes_and_releases_its_reservations():
    rig = retired_rig()
    assert KEY not in rig.tables.orders
    assert len(rig.tables.retired[KEY]) == 8
    assert mark_from_bytes(rig.tables.retired[KEY]) == fulfilled().order.closed_at
    (released,) = rig.on(KINGUIN_NOTICES)
    assert isinstance(released, ReservationReleased)
    assert rig.on(ORDER_STATE) == [], "a fresh snapshot would take the place of the good one"
    rig.pass_time(DAYS)
    assert rig.tick() == []


def test_its_route_leaves_the_router_too():
    rig = retired_rig()
    rig.routes[b"r1"] = b"\0" * 8 + b"{}"
    rig.notify(*rig.on(KINGUIN_NOTICES))
    assert rig.routes == {}
    assert rig.routes.changelog[-1] == (b"r1", None)


@pytest.mark.parametrize("event", late_events(fulfilled()), ids=lambda e: e.type)
def test_what_comes_for_a_retired_order_changes_nothing_and_sends_nothing(event):
    rig = retired_rig()
    before = len(rig.sent)
    rig.tell(event)
    assert KEY not in rig.tables.orders
    assert rig.sent[before:] == []
    assert rig.letters == []
    assert len(rig.due) == 0


def test_a_timer_that_was_set_from_a_row_that_has_left_meanwhile_fires_once():
    """Timers are filled from all rows while events flow: an order can leave between the look at its row and the end."""
    rig = retired_rig()
    rig.due.set(ORDER, rig.wall)
    (timer,) = rig.fire()
    assert isinstance(timer, TimerFired)
    assert len(rig.due) == rig.due.unanswered == 0
    rig.pass_time(timedelta(hours=1))
    assert rig.tick() == []


BUYER = address("buyer@bitloot.test")


def mail_wanted(kind: MailKind, email: str | None = BUYER, action: str = "click") -> MailRequested:
    return mail_requested(action, at=START, kind=kind, email=email)


@pytest.mark.parametrize("kind", [MailKind.KEYS, MailKind.LOST])
def test_the_buyer_of_a_retired_order_still_gets_links(kind):
    rig = retired_rig()
    for _ in range(2):
        rig.tell(mail_wanted(kind))
    rig.tell(mail_wanted(kind, action="another click"))
    first, repeat, other = rig.on(DELIVERIES)
    assert (first.kind, first.email, first.object_key) == (MailKind.LOST, BUYER, "")
    assert first == repeat, "one click is one effect"
    assert other.effect_id != first.effect_id
    assert other.message_id != first.message_id
    assert KEY not in rig.tables.orders
    assert rig.letters == []


@pytest.mark.parametrize(
    "event", [mail_wanted(MailKind.CONFIRM, address("new@bitloot.test")), mail_wanted(MailKind.KEYS, None)]
)
def test_a_retired_order_takes_no_other_address_and_mails_nobody_unknown(event):
    rig = retired_rig()
    rig.tell(event)
    assert rig.on(DELIVERIES) == []


def test_a_mark_is_written_before_the_order_leaves():
    writes = []

    class Watched(MemoryTable):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            writes.append((self.name, "set"))

        def __delitem__(self, key):
            super().__delitem__(key)
            writes.append((self.name, "del"))

    world = fulfilled()
    rig = Rig(KEEP, OrderTables(Watched("orders"), Watched("retired")))
    rig.tables.orders[KEY] = order_to_bytes(world.order, KEEP)
    rig.tell(leaving(world))
    assert writes[-2:] == [("retired", "set"), ("orders", "del")]


def leaving(world: World) -> OrderRetired:
    return OrderRetired(
        event_id=EventId(f"retired/{ORDER}"),
        occurred_at=world.order.closed_at + DAYS,
        order_id=ORDER,
        closed_at=world.order.closed_at,
        reservation_ids=tuple(r.reservation_id for r in world.order.reservations),
    )


@pytest.mark.parametrize("mark_survives", [True, False])
@pytest.mark.parametrize("tombstone_survives", [True, False])
def test_a_crash_while_leaving_is_mended_by_the_repeated_event(mark_survives, tombstone_survives):
    """The two changelogs are two topics: of what was on its way either may have arrived, and the event comes again."""
    world = fulfilled()
    rig = rig_with(world)
    rig.tell(leaving(world))
    if not mark_survives:
        rig.tables.retired.changelog.clear()
    if not tombstone_survives:
        rig.tables.orders.changelog.pop()
    reborn = Rig(KEEP, OrderTables(rig.tables.orders.restored(), rig.tables.retired.restored()))
    assert (KEY in reborn.tables.orders) is not tombstone_survives
    reborn.tell(leaving(world), placed())
    assert KEY not in reborn.tables.orders
    assert KEY in reborn.tables.retired
    assert [type(r) for r in reborn.on(KINGUIN_NOTICES)] == [ReservationReleased]


def test_a_crash_on_a_disk_that_was_ahead_writes_both_changelogs_again():
    """Killed after the table was written and before its changelog was: the disk knows all, and nobody else does."""
    world = fulfilled()
    rig = rig_with(world)
    rig.tell(leaving(world))
    rig.tables.retired.changelog.clear()
    rig.tables.orders.changelog.clear()
    rig.tell(leaving(world))
    assert rig.tables.retired.changelog
    assert rig.tables.orders.changelog == [(KEY, None)]


def test_an_order_that_is_not_closed_cannot_be_made_to_leave():
    world, _ = paid_world()
    rig = rig_with(world)
    forged = OrderRetired(
        event_id=EventId("forged"), occurred_at=world.now, order_id=ORDER, closed_at=world.now, reservation_ids=()
    )
    rig.tell(forged)
    assert order_from_bytes(rig.tables.orders[KEY]) == world.order
    assert KEY not in rig.tables.retired
    ((_, error),) = rig.letters
    assert isinstance(error, Malformed)


def test_an_order_that_was_never_placed_leaves_without_a_mark_and_can_still_be_placed():
    rig = Rig(KEEP)
    rig.tell(payment(PaymentStatus.WAITING))
    rig.pass_time(DAYS)
    (timer,) = rig.fire()
    assert isinstance(timer, TimerFired)
    assert rig.tables.orders == {}
    assert rig.tables.retired == {}
    assert rig.tables.orders.changelog[-1] == (KEY, None)
    rig.tell(placed(at=rig.wall))
    assert order_from_bytes(rig.tables.orders[KEY]).status is OrderStatus.AWAITING_PAYMENT


def test_a_longer_retention_holds_for_orders_that_were_closed_before_it_was_set():
    world = fulfilled()
    rig = rig_with(world)
    longer = Rig(Policy(retention=2 * DAYS), rig.tables)
    refill(longer)
    longer.pass_time(world.order.closed_at - START + DAYS)
    longer.fire()
    assert KEY in longer.tables.orders
    assert longer.due.oldest() == world.order.closed_at + 2 * DAYS


def test_an_unpaid_order_is_canceled_and_leaves_after_its_retention():
    rig = Rig(KEEP)
    rig.tell(placed())
    rig.pass_time(UNPAID_FOR)
    rig.fire()
    assert order_from_bytes(rig.tables.orders[KEY]).status is OrderStatus.CANCELED
    rig.pass_time(DAYS)
    rig.fire()
    rig.tell(rig.on(ORDER_EVENTS)[-1])
    assert rig.tables.orders == {}
    assert KEY in rig.tables.retired
