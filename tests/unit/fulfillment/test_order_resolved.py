"""What an admin decides about an order that waits for a human, and what becomes of each click."""

import pytest

from bitloot.contracts.effects import BuyKey
from bitloot.contracts.events import Failure, Notice, PaymentStatus, Resolution
from bitloot.contracts.state import OrderStatus
from fulfillment.order import pending, wake_at
from fulfillment.order.policy import Kind
from fulfillment.snapshot import snapshot
from tests.unit.fulfillment.order_world import (
    World,
    bought_world,
    failed,
    paid_world,
    payment,
    placed,
    reprocess,
    resolve,
)


def refused_world() -> World:
    """An order of two items: Kinguin has refused one, and the other is bought."""
    world, (first, second) = paid_world(1, 1)
    world.tell(world.outcome(first, "refused"))
    world.tell(world.outcome(second))
    assert world.order.status is OrderStatus.NEEDS_REVIEW
    return world


@pytest.mark.parametrize(
    ("resolution", "status"),
    [
        (Resolution.MARK_REFUNDED, OrderStatus.REFUNDED),
        (Resolution.DELIVERED_BY_HAND, OrderStatus.FULFILLED),
        (Resolution.CLOSE, OrderStatus.CANCELED),
    ],
)
def test_a_decision_closes_the_order_and_nothing_is_asked_for_any_more(resolution, status):
    world = refused_world()
    assert world.tell(resolve("one", resolution, at=world.now)) == ()
    assert (world.order.status, world.order.review) == (status, None)
    assert all(owed.kind is Kind.NOTICE for owed in world.order.outbox)
    while wake_at(world.order) is not None:
        world.settle(world.fire_timer())
    world.settle(world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True)))
    assert world.order.outbox == ()
    assert world.mails == set()


def test_a_retry_goes_on_where_the_order_stopped():
    world = refused_world()
    (again,) = [e for e in world.tell(resolve("one", Resolution.RETRY, at=world.now)) if isinstance(e, BuyKey)]
    assert (again.attempt, world.order.status) == (2, OrderStatus.PURCHASING)


def test_an_order_that_was_never_paid_can_be_closed_and_a_retry_reads_its_payment_again():
    world = World()
    world.tell(placed())
    world.tell(payment(PaymentStatus.PARTIALLY_PAID, actually_paid="0.0001"))
    world.settle(world.tell(resolve("one", Resolution.RETRY, at=world.now)))
    assert world.order.status is OrderStatus.NEEDS_REVIEW
    assert world.order.answers[-1].accepted
    world.tell(resolve("two", Resolution.CLOSE, at=world.now))
    assert world.order.status is OrderStatus.CANCELED


@pytest.mark.parametrize("resolution", [each for each in Resolution if each is not Resolution.RETRY])
def test_nothing_is_closed_while_a_purchase_has_no_known_outcome(resolution):
    world, (first, second) = paid_world(1, 1)
    world.tell(world.outcome(first, "refused"))
    world.tell(resolve("one", resolution, at=world.now))
    assert world.order.status is OrderStatus.NEEDS_REVIEW
    assert pending(world.order) == (second,)
    (answer,) = world.order.answers
    assert (answer.accepted, answer.detail) == (False, "buy is under way: its outcome comes first.")


def test_an_order_that_waits_for_nobody_keeps_its_course_and_the_click_is_told_why():
    world, _ = bought_world()
    world.tell(resolve("one", Resolution.CLOSE, at=world.now))
    assert world.order.status is OrderStatus.PURCHASING
    assert world.order.answers[-1].detail == "The order is purchasing: it does not wait for a human."


def test_the_same_click_twice_is_one_and_has_one_answer():
    world = refused_world()
    click = resolve("one", Resolution.MARK_REFUNDED, at=world.now)
    world.tell(click)
    before = world.order
    assert world.tell(click) == ()
    assert world.order is before
    (answer,) = snapshot(world.order).actions
    assert (answer.action_id, answer.type, answer.actor, answer.accepted) == ("one", "review.resolved", "ada", True)


def test_a_retry_that_waits_for_its_time_is_superseded_by_a_click():
    world, (buy,) = paid_world()
    world.tell(failed(buy, Failure.TRANSIENT, at=world.now))
    (again,) = world.tell(reprocess("one", at=world.now))
    assert (again.attempt, again.external_id) == (2, buy.external_id)
    assert world.order.answers[-1].accepted
    world.tell(reprocess("two", at=world.now))
    assert pending(world.order) == (again,)
    assert world.order.answers[-1].detail == ("The order is purchasing: all that it waits for was asked for already.")


def test_a_look_up_waits_its_time_whoever_clicks():
    world, (buy,) = paid_world()
    world.tell(failed(buy, Failure.UNKNOWN, at=world.now))
    assert world.tell(reprocess("one", at=world.now)) == ()
    assert not world.order.answers[-1].accepted
