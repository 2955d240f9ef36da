"""Which reviews end by themselves when the right number of codes comes after all."""

from datetime import timedelta

import pytest

from bitloot.contracts.effects import FetchCodes, GiveReservation, LookUpPurchase, SendMail, StoreKeys
from bitloot.contracts.events import (
    CodesPending,
    CodesReceived,
    Failure,
    FoundReservation,
    LineCodes,
    Notice,
    PaymentStatus,
)
from bitloot.contracts.state import OrderStatus
from bitloot.errors import Cause
from bitloot.ids import EventId, ReservationId, outcome_id
from fulfillment.order.policy import STUCK_AFTER
from tests.unit.fulfillment.order_world import (
    ORDER,
    Reservation,
    World,
    bought_world,
    failed,
    given_up,
    paid_world,
    payment,
    reprocess,
    sealed,
)

TAKEN_BACK = {Cause.CANCELED: "supplier_canceled", Cause.REFUNDED: "supplier_reversed"}


def review_after_refused_fetch(cause: str) -> World:
    world, (fetch,) = bought_world()
    world.tell(failed(fetch, Failure.REFUSED, at=world.now, cause=cause))
    return world


def review_after_refused_purchase(cause: str) -> World:
    world, (buy,) = paid_world()
    world.outcome(buy, "lost")  # Kinguin has it, whatever it answered
    world.tell(failed(buy, Failure.REFUSED, at=world.now, cause=cause))
    return world


def review_after_exhausted_retries(cause: str) -> World:
    world, (fetch,) = bought_world()
    while world.order.review is None:
        world.tell(failed(fetch, Failure.TRANSIENT, at=world.now, cause=cause))
        if world.order.review is None:
            (fetch,) = world.fire_timer()
    return world


def review_after_silence(cause: str) -> World:
    world, effects = bought_world()
    while world.order.review is None:
        for fetch in effects:
            world.tell(
                CodesPending(
                    event_id=outcome_id(fetch.effect_id, "pending"),
                    occurred_at=world.now,
                    order_id=ORDER,
                    effect_id=fetch.effect_id,
                    purchase_id=fetch.purchase_id,
                    reservation_id=fetch.reservation_id,
                )
            )
        effects = world.fire_timer()
    assert world.order.review.cause in {cause, "stuck"}
    return world


def review_for_bad_codes(cause: str) -> World:
    world, (fetch,) = bought_world()
    answer = world.outcome(fetch)
    about = answer.model_dump(include={"occurred_at", "order_id", "effect_id", "purchase_id", "reservation_id"})
    world.tell(
        CodesReceived(
            event_id=EventId("two"), lines=(LineCodes(item_id=f"{ORDER}-1", codes=sealed("a", "b")),), **about
        )
    )
    assert world.order.review.cause == cause
    return world


def review_of_a_lost_reservation(cause: str) -> World:
    world, (buy,) = paid_world()
    world.outcome(buy, "half")
    world.tell(world.notice(world.reservations[0], Notice.RESERVE))
    world.tell(failed(buy, Failure.UNKNOWN, at=world.now))
    (hidden,) = world.reservations
    while world.order.review is None:
        (look_up,) = world.fire_timer()
        answer = world.outcome(look_up)
        world.tell(answer.model_copy(update={"reservations": ()}))
    assert world.order.review.cause == cause
    assert hidden.reservation_id == world.order.purchases[0].reservation_id
    return world


def review_of_an_unknown_purchase(cause: str) -> World:
    world, (buy,) = paid_world()
    effects = (buy,)
    while world.order.review is None:
        (effect,) = effects
        how = "ok" if isinstance(effect, LookUpPurchase) else "unknown"
        effects = world.tell(world.outcome(effect, how))
        if world.order.review is None and not effects:
            effects = world.fire_timer()
    world.reservations.append(Reservation(ReservationId("r1"), buy.external_id, buy.lines, given=True))
    assert world.order.review.cause == cause
    return world


def review_of_an_end(cause: str) -> World:
    world, _ = bought_world()
    world.tell(world.notice(world.reservations[0], Notice.CANCEL if cause == "supplier_canceled" else Notice.REVERSED))
    return world


def review_of_a_refund(cause: str) -> World:
    world, _ = bought_world()
    world.tell(payment(PaymentStatus.REFUNDED))
    assert world.order.review.cause == cause
    return world


def review_of_a_stuck_order(cause: str) -> World:
    world, _ = bought_world()
    world.fire_timer(world.order.working_since + STUCK_AFTER)
    assert world.order.review.cause == cause
    return world


CURES = [
    *[(review_after_refused_fetch, cause, cause not in TAKEN_BACK) for cause in Cause],
    *[(review_after_refused_purchase, cause, True) for cause in Cause],
    *[
        (review_after_exhausted_retries, cause, True)
        for cause in (Cause.TIMEOUT, Cause.BAD_ANSWER, Cause.PROVIDER_UNAVAILABLE)
    ],
    (review_after_silence, "supplier_slow", True),
    (review_for_bad_codes, "bad_codes", True),
    (review_of_a_lost_reservation, "reservation_missing", True),
    (review_of_an_unknown_purchase, "unknown_outcome", True),
    (review_of_a_stuck_order, "stuck", True),
    (review_of_an_end, "supplier_canceled", False),
    (review_of_an_end, "supplier_reversed", False),
    (review_of_a_refund, "refunded_while_buying", False),
]


@pytest.mark.parametrize(("make", "cause", "cured"), CURES)
def test_a_review_ends_by_itself_when_the_codes_come_unless_the_purchase_was_taken_back(make, cause, cured):
    world = make(cause)
    assert world.order.status is OrderStatus.NEEDS_REVIEW
    world.now += timedelta(days=3)
    world.settle(world.tell(world.notice(world.reservations[-1], Notice.DELIVERED, codes=True)))
    assert world.order.status is (OrderStatus.FULFILLED if cured else OrderStatus.NEEDS_REVIEW)
    assert (world.order.review is None) is cured


@pytest.mark.parametrize("kind", [StoreKeys, SendMail])
def test_a_review_for_what_came_after_the_codes_is_not_ended_by_codes(kind):
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy))
    delivered = world.notice(world.reservations[0], Notice.DELIVERED, codes=True)
    (effect,) = world.tell(delivered)
    if kind is SendMail:
        (effect,) = world.tell(world.outcome(effect))
    world.tell(failed(effect, Failure.REFUSED, at=world.now, cause="duplicate_key"))
    assert world.tell(delivered.model_copy(update={"event_id": "again"})) == ()
    assert world.order.review.cause == "duplicate_key"


def test_an_order_that_was_cured_after_days_is_not_stuck_at_once():
    world = review_of_a_stuck_order("stuck")
    world.now += timedelta(days=3)
    world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    world.fire_timer()
    assert world.order.status is OrderStatus.DELIVERING


@pytest.mark.parametrize(("cause", "review"), TAKEN_BACK.items())
@pytest.mark.parametrize("kind", [GiveReservation, FetchCodes])
def test_a_purchase_that_kinguin_refuses_as_ended_can_be_bought_anew(kind, cause, review):
    if kind is FetchCodes:
        world = review_after_refused_fetch(cause)
    else:
        world, (buy,) = paid_world()
        (give,) = world.tell(given_up(buy, at=world.now, given=False))
        world.tell(failed(give, Failure.REFUSED, at=world.now, cause=cause))
    assert world.order.review.cause == review
    (again,) = world.tell(reprocess("one", at=world.now))
    assert again.external_id == f"{ORDER}-1-p2"


def test_a_reservation_that_a_look_up_shows_as_canceled_can_be_bought_anew():
    world, (buy,) = paid_world()
    (give,) = world.tell(given_up(buy, at=world.now, given=False))
    world.tell(failed(give, Failure.UNKNOWN, at=world.now))
    (look_up,) = world.fire_timer()
    ended = FoundReservation(reservation_id=ReservationId("r1"), given=False, canceled=True)
    world.tell(world.outcome(look_up).model_copy(update={"reservations": (ended,)}))
    assert world.order.review.cause == "supplier_canceled"
    (again,) = world.tell(reprocess("one", at=world.now))
    assert again.external_id == f"{ORDER}-1-p2"
