"""Clocks that jump, stand still or differ between machines; timers that come to nothing; orders that stand still."""

from datetime import timedelta

import pytest

from bitloot.contracts.effects import BuyKey
from bitloot.contracts.events import Failure, Notice, PaymentStatus, TimerFired
from bitloot.contracts.notices import NoticesOverdue
from bitloot.contracts.state import OrderStatus
from bitloot.contracts.topics import KINGUIN_CALLS, KINGUIN_NOTICES
from bitloot.errors import Cause
from bitloot.ids import EventId
from fulfillment.codec import order_from_bytes
from fulfillment.due import FIRE_AGAIN_AFTER
from fulfillment.order import wake_at
from fulfillment.order.policy import MOVING_FOR, RETRIES, STUCK_AFTER, UNPAID_FOR, Kind, Policy
from fulfillment.routing import HELD_FOR, MAX_HELD
from fulfillment.settings import Settings
from fulfillment.steady import SteadyClock
from fulfillment.timers import MAX_UNANSWERED
from tests.unit.fulfillment.agent_rig import Rig
from tests.unit.fulfillment.order_world import ORDER, START, World, failed, paid_world, payment, placed
from tests.unit.fulfillment.test_routing import notified

HOUR = timedelta(hours=1)
KEY = ORDER.encode()


def order(rig: Rig):
    return order_from_bytes(rig.tables.orders[KEY])


def buying_rig() -> Rig:
    rig = Rig()
    rig.tell(placed(), payment(PaymentStatus.FINISHED, source="poll"))
    return rig


def calls(rig: Rig) -> list[BuyKey]:
    return rig.on(KINGUIN_CALLS)


# A clock that jumps


def test_the_steady_clock_follows_a_jump_slowly_and_never_goes_back():
    wall, uptime = START, 0.0
    steady = SteadyClock(lambda: wall, lambda: uptime)
    for jump in (HOUR, -2 * HOUR):
        wall += jump
        before = steady()
        for _ in range(600):
            wall += timedelta(seconds=1)
            uptime += 1
            now = steady()
            assert timedelta(seconds=0.7) <= now - before <= timedelta(seconds=1.3)
            before = now
    for _ in range(10 * 3600):
        wall += timedelta(seconds=1)
        uptime += 1
    steady()
    assert abs(steady() - wall) < timedelta(seconds=1), "and agrees in the end"


def test_a_clock_that_jumps_an_hour_forward_uses_up_no_retries_and_sends_no_storm():
    rig = buying_rig()
    rig.wall += HOUR
    for _ in range(100):
        assert rig.fire() == []
    (buy,) = calls(rig)
    rig.tell(failed(buy, Failure.TRANSIENT, at=START))
    for _ in range(100):
        assert rig.fire() == [], "the back-off is the same as before"
    rig.pass_time(timedelta(seconds=2))
    rig.fire()
    assert [call.attempt for call in calls(rig)] == [1, 2]


def test_a_clock_that_jumps_an_hour_back_does_not_stop_the_timers():
    rig = buying_rig()
    rig.wall -= HOUR
    (buy,) = calls(rig)
    rig.tell(failed(buy, Failure.TRANSIENT, at=rig.wall))
    rig.pass_time(timedelta(seconds=2))
    rig.fire()
    assert [call.attempt for call in calls(rig)] == [1, 2]


@pytest.mark.parametrize("skew", [HOUR, -HOUR, 12 * HOUR, timedelta(days=-400)])
def test_workers_with_another_clock_are_retried_with_the_same_back_off(skew):
    rig = buying_rig()
    waited = []
    while order(rig).status is OrderStatus.PURCHASING:
        buy = calls(rig)[-1]
        rig.tell(failed(buy, Failure.TRANSIENT, at=rig.wall + skew))
        span = timedelta(0)
        while order(rig).status is OrderStatus.PURCHASING and calls(rig)[-1].attempt == buy.attempt:
            rig.pass_time(timedelta(seconds=0.25))
            span += timedelta(seconds=0.25)
            rig.fire()
        waited.append(span.total_seconds())
    assert len(waited) == RETRIES[Kind.BUY].tries
    assert all(least <= wait <= 1.25 * least + 0.5 for least, wait in zip((1, 2, 4, 8), waited[:-1], strict=True))


def test_an_event_that_is_older_than_the_order_does_not_move_its_time_back():
    world, (buy,) = paid_world()
    world.tell(payment(PaymentStatus.WAITING, payment_id="5000000009", at=START + HOUR))
    world.tell(failed(buy, Failure.TRANSIENT, at=START))
    assert world.order.time == START + HOUR
    assert wake_at(world.order) > START + HOUR
    assert world.order.updated_at == START, "what the event said stays: a replay is known by it"


def test_an_order_that_was_dated_in_the_future_is_woken_after_a_restart_no_later_than_it_wanted():
    rig = buying_rig()
    rig.tell(failed(calls(rig)[0], Failure.TRANSIENT, at=START + 12 * HOUR))
    restarted = Rig(tables=rig.tables)
    source = restarted.timers._sources[0]
    restarted.timers._set(source, ORDER, rig.tables.orders[KEY], restarted.steady())
    restarted.pass_time(timedelta(seconds=2))
    restarted.fire()
    assert [call.attempt for call in calls(restarted)] == [2]


# Timers that come to nothing


def test_an_order_that_cannot_be_handled_is_put_aside_once_and_not_every_half_minute():
    rig = buying_rig()
    rig.tables.orders[KEY] = b"\0" * 16 + b"{"
    for _ in range(20):
        rig.pass_time(timedelta(minutes=2))
        rig.fire()
    assert len(rig.letters) == 1


def test_no_more_timers_are_under_way_than_agents_get_done():
    rig = Rig()
    for n in range(3 * MAX_UNANSWERED):
        rig.due.set(f"order-{n}", START)
    fired = sum(len(rig.tick()) for _ in range(100))
    assert fired == MAX_UNANSWERED
    rig.pass_time(FIRE_AGAIN_AFTER)
    for n in range(3 * MAX_UNANSWERED):
        rig.due.set(f"order-{n}", START + timedelta(days=1))
    assert rig.tick() == []


def test_a_timer_is_dated_so_that_its_order_takes_it_for_due():
    rig = Rig()
    theirs = START + timedelta(days=2)
    rig.due.set(ORDER, theirs, START)
    (fired,) = rig.tick()
    assert isinstance(fired, TimerFired)
    assert fired.occurred_at == theirs


async def test_timers_without_effect_turn_health_red_and_those_with_effect_do_not():
    rig = Rig()

    def later(**span: float) -> None:
        rig.pass_time(timedelta(**span))
        rig.tick()
        rig.timers._ticked_at = rig.uptime

    rig.due.set(ORDER, START)
    later(seconds=1)
    assert await rig.timers.check() is None
    later(minutes=9)
    assert await rig.timers.check() is None
    later(minutes=2)
    assert "orders" in (await rig.timers.check() or "")
    rig.due.set(ORDER, START + timedelta(days=1))
    assert await rig.timers.check() is None


async def test_a_poisoned_order_among_others_does_not_restart_the_process():
    rig = Rig()
    rig.due.set("poisoned", START)
    for minute in range(30):
        rig.due.set("healthy", START + timedelta(minutes=minute))
        rig.pass_time(timedelta(minutes=1))
        rig.tick()
        rig.timers._ticked_at = rig.uptime
        assert await rig.timers.check() is None


async def test_timers_that_stand_still_turn_health_red():
    rig = Rig()
    assert await rig.timers.check() is None
    rig.pass_time(timedelta(minutes=1))
    assert "last tick" in (await rig.timers.check() or "")


# Notices that nobody claims


def test_notices_that_nobody_claims_become_dead_letters_that_can_be_replayed():
    rig = Rig()
    rig.notify(notified("reserve"), notified("give"))
    rig.pass_time(HELD_FOR)
    (fired,) = rig.fire()
    assert isinstance(fired, NoticesOverdue)
    assert rig.routes == {}
    assert [error.cause for _, error in rig.letters] == [Cause.UNKNOWN_RESERVATION] * 2
    (first, _), (second, _) = rig.letters
    assert [(m.topic, m.partition, m.offset) for m in (first, second)] == [
        (KINGUIN_NOTICES.name, 0, 1),
        (KINGUIN_NOTICES.name, 0, 2),
    ]
    assert KINGUIN_NOTICES.records.validate_json(first.value) == notified("reserve")
    assert first.key == b"r1"
    rig.pass_time(HELD_FOR)
    assert rig.tick() == []


def test_a_notice_beyond_the_room_for_noise_is_a_dead_letter():
    rig = Rig()
    rig.notify(*(notified(n=n) for n in range(MAX_HELD + 2)))
    assert [(m.offset, error.cause) for m, error in rig.letters] == [
        (MAX_HELD + 1, Cause.UNKNOWN_RESERVATION),
        (MAX_HELD + 2, Cause.UNKNOWN_RESERVATION),
    ]


def test_a_dead_letter_is_acknowledged_before_its_notice_leaves_the_table():
    rig = Rig()
    rig.notify(notified())
    seen = []

    async def send(message, error) -> None:
        seen.append(b"r1" in rig.routes)

    rig.router._dead_letters.send = send
    rig.pass_time(HELD_FOR)
    rig.fire()
    assert seen == [True]


# Orders that stand still


def left_alone(world: World, policy: Policy) -> timedelta:
    """Fire only the order's own timers, with every worker dead; return after how long it ends or waits for a human."""
    began = world.now
    for _ in range(5000):
        if world.order.closed or world.order.status is OrderStatus.NEEDS_REVIEW:
            return world.now - began
        due = wake_at(world.order, policy)
        assert due is not None, f"nothing will ever wake an order that is {world.order.status}"
        world.now = max(world.now, due)
        timer = TimerFired(event_id=EventId(f"timer/{world.now}"), occurred_at=world.now, order_id=ORDER)
        world.tell(timer, policy)
    raise AssertionError(f"it stays {world.order.status}")


@pytest.mark.parametrize("stuck_after", [timedelta(hours=6), STUCK_AFTER, timedelta(days=3)])
@pytest.mark.parametrize("at", ["buying", "reserved", "bought", "storing", "mailing"])
def test_a_paid_order_that_nobody_works_on_goes_to_review_with_its_reason(at, stuck_after):
    world, (buy,) = paid_world()
    if at != "buying":
        world.outcome(buy)
        world.tell(world.notice(world.reservations[0], Notice.RESERVE if at == "reserved" else Notice.GIVE))
    if at in {"storing", "mailing"}:
        (effect,) = world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
        if at == "mailing":
            world.tell(world.outcome(effect))
    span = left_alone(world, Policy(stuck_after=stuck_after))
    assert (world.order.status, world.order.review.cause) == (OrderStatus.NEEDS_REVIEW, "stuck")
    assert span <= stuck_after


def test_an_unpaid_order_ends():
    world = World()
    world.tell(placed())
    assert left_alone(world, Policy()) == UNPAID_FOR
    assert world.order.status is OrderStatus.CANCELED


def test_a_payment_that_is_on_its_way_for_ever_goes_to_review_and_still_pays_when_it_arrives():
    world = World()
    world.tell(placed(), Policy())
    world.tell(payment(PaymentStatus.CONFIRMING))
    assert left_alone(world, Policy()) <= UNPAID_FOR + MOVING_FOR + timedelta(days=1)
    assert world.order.review.cause == "payment_stalled"
    (buy,) = world.pay(payment(PaymentStatus.FINISHED, at=world.now))
    assert isinstance(buy, BuyKey)


# Settings


@pytest.mark.parametrize("value", ["2592000", "30d", "P30D", "2592000.0"])
def test_spans_are_read_as_seconds_days_or_iso_8601(value):
    settings = Settings(kafka_bootstrap_servers="localhost:1", faust_datadir=".", closed_order_retention=value)
    assert settings.policy == Policy(retention=timedelta(days=30))


def test_defaults_of_spans():
    settings = Settings(kafka_bootstrap_servers="localhost:1", faust_datadir=".")
    assert settings.policy == Policy(stuck_after=timedelta(days=1), retention=timedelta(days=30))
    assert settings.notices_held_for == timedelta(hours=1)


@pytest.mark.parametrize("name", ["closed_order_retention", "stuck_after", "notices_held_for"])
@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan"])
def test_a_span_that_makes_no_sense_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Settings(kafka_bootstrap_servers="localhost:1", faust_datadir=".", **{name: value})
