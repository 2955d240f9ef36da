"""What comes late: outcomes of tries that were given up, answers to what was asked twice, and dead workers."""

import pytest

from bitloot.contracts.effects import BuyKey, GiveReservation, LookUpPurchase, SendMail, StoreKeys
from bitloot.contracts.events import (
    Failure,
    FoundReservation,
    Notice,
    PaymentStatus,
)
from bitloot.contracts.state import ItemStatus, OrderStatus, ReservationStatus
from bitloot.ids import ReservationId
from fulfillment.order.policy import Kind
from tests.unit.fulfillment.order_world import (
    ORDER,
    failed,
    given_up,
    paid_world,
    payment,
)


def abandoned_world():
    """A purchase whose worker never reported; Kinguin has been asked, had nothing, and it is tried again."""
    world, (first,) = paid_world()
    world.tell(failed(first, Failure.UNKNOWN, at=world.now, cause="abandoned"))
    effects = ()
    while not any(isinstance(e, BuyKey) for e in effects):
        (look_up,) = world.fire_timer()
        effects = world.tell(world.outcome(look_up))
    return world, first, effects[0]


def test_a_late_second_purchase_is_an_incident_that_names_both_and_one_is_delivered():
    world, first, second = abandoned_world()
    world.tell(world.outcome(second))
    late = given_up(first, at=world.now, reservation="r9")
    assert world.tell(late) == ()
    assert world.tell(late) == ()
    (incident,) = world.order.incidents
    assert incident.cause == "second_purchase"
    assert "r9" in incident.detail
    assert "r1" in incident.detail
    assert world.order.purchases[0].reservation_id == "r1"
    (store,) = world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    assert [len(keys.codes) for keys in store.items] == [1]
    world.settle((store,))
    assert world.order.status is OrderStatus.FULFILLED


def test_a_late_second_purchase_of_a_fulfilled_order_is_an_incident_too():
    world, first, second = abandoned_world()
    world.tell(world.outcome(second))
    world.settle(world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True)))
    world.tell(given_up(first, at=world.now, reservation="r9"))
    assert world.order.status is OrderStatus.FULFILLED
    assert [i.cause for i in world.order.incidents] == ["second_purchase"]


def test_a_late_purchase_that_is_the_only_one_is_taken():
    world, (buy,) = paid_world()
    answer = world.outcome(buy)
    world.tell(failed(buy, Failure.UNKNOWN, at=world.now, cause="abandoned"))
    world.tell(given_up(buy, at=world.now))
    assert world.order.purchases[0].status is ItemStatus.BOUGHT
    assert world.order.incidents == ()
    world.tell(answer)
    world.settle(world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True)))
    assert world.order.status is OrderStatus.FULFILLED


def test_a_late_reservation_that_nobody_has_bought_is_looked_up_and_bought():
    world, (buy,) = paid_world()
    world.outcome(buy, "half")
    world.tell(failed(buy, Failure.TRANSIENT, at=world.now))  # its worker is sure that nothing happened
    world.tell(given_up(buy, at=world.now, given=False))
    (look_up,) = world.fire_timer()
    assert isinstance(look_up, LookUpPurchase), "the purchase that waited would have bought a second time"
    (give,) = world.tell(world.outcome(look_up))
    assert isinstance(give, GiveReservation)
    assert world.order.incidents == ()


def test_of_a_reservation_and_a_purchase_the_purchase_is_delivered():
    world, (buy,) = paid_world()
    answer = world.outcome(buy)
    other = world.notice(world.reservations[0], Notice.RESERVE).model_copy(update={"reservation_id": "r9"})
    world.tell(other)
    world.tell(answer)
    assert (world.order.purchases[0].reservation_id, world.order.purchases[0].status) == ("r1", ItemStatus.BOUGHT)
    assert [i.cause for i in world.order.incidents] == ["second_purchase"]


def test_a_late_purchase_of_an_order_whose_money_went_back_is_an_incident():
    world, (buy,) = paid_world()
    world.tell(failed(buy, Failure.TRANSIENT, at=world.now))
    world.tell(payment(PaymentStatus.REFUNDED))
    assert world.order.status is OrderStatus.REFUNDED
    assert world.tell(given_up(buy, at=world.now)) == ()
    assert world.tell(given_up(buy, at=world.now)) == ()
    assert world.order.status is OrderStatus.REFUNDED
    assert [i.cause for i in world.order.incidents] == ["purchase_after_end"]
    assert [owed.kind for owed in world.order.outbox] == [Kind.NOTICE]


@pytest.mark.parametrize(("given", "status"), [(True, ReservationStatus.GIVEN), (False, ReservationStatus.RESERVED)])
def test_what_an_ended_order_has_at_kinguin_is_told_as_far_as_kinguin_has_it(given, status):
    world, buy = refunded_world()
    world.tell(given_up(buy, at=world.now, given=given))
    (reservation,) = world.order.reservations
    assert (reservation.status, reservation.given_at) == (status, world.now if given else None)


def test_a_reservation_of_an_ended_order_that_is_bought_after_all_is_told_as_bought_and_one_incident():
    world, buy = refunded_world()
    world.tell(given_up(buy, at=world.now, given=False))
    world.tell(given_up(buy, at=world.now))
    assert [r.status for r in world.order.reservations] == [ReservationStatus.GIVEN]
    assert [i.cause for i in world.order.incidents] == ["purchase_after_end"]


def refunded_world():
    world, (buy,) = paid_world()
    world.tell(failed(buy, Failure.TRANSIENT, at=world.now))
    world.tell(payment(PaymentStatus.REFUNDED))
    return world, buy


@pytest.mark.parametrize("ended", [True, False])
def test_a_second_purchase_is_told_as_bought_whenever_that_is_heard(ended):
    world, first, second = abandoned_world()
    world.tell(world.outcome(second))
    if ended:
        world.settle(world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True)))
    world.tell(given_up(first, at=world.now, reservation="r9", given=False))
    world.tell(given_up(first, at=world.now, reservation="r9"))
    status = {r.reservation_id: r.status for r in world.order.reservations}
    assert status["r9"] is ReservationStatus.GIVEN
    assert world.order.purchases[0].reservation_id == "r1"
    assert [i.cause for i in world.order.incidents] == ["second_purchase"]


def test_a_look_up_that_was_sent_twice_hides_nothing_of_its_second_answer():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy, "unknown"))
    (look_up,) = world.fire_timer()
    nothing = world.outcome(look_up)
    world.tell(nothing)
    found = FoundReservation(reservation_id=ReservationId("r9"), given=True)
    world.tell(nothing.model_copy(update={"reservations": (found,), "occurred_at": world.now}))
    assert (world.order.purchases[0].reservation_id, world.order.purchases[0].status) == ("r9", ItemStatus.BOUGHT)


def delivering_world():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy))
    (store,) = world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    (mail,) = world.tell(world.outcome(store))
    return world, mail


def test_a_late_mail_ends_the_order_and_no_other_is_sent():
    world, mail = delivering_world()
    sent = world.outcome(mail)
    world.tell(failed(mail, Failure.UNKNOWN, at=world.now, cause="abandoned"))
    world.tell(sent)
    assert world.order.status is OrderStatus.FULFILLED
    assert world.order.outbox == ()


def test_a_mail_beside_the_one_that_counts_is_an_incident():
    world, mail = delivering_world()
    sent = world.outcome(mail)
    world.settle((mail,))
    world.tell(sent)
    assert world.order.incidents == ()
    other = sent.model_copy(update={"message_id": f"{ORDER}/mail/0"})
    world.tell(other)
    world.tell(other)
    assert [i.cause for i in world.order.incidents] == ["second_mail"]


def test_an_outcome_for_an_item_that_the_order_does_not_have_changes_nothing():
    world, (buy,) = paid_world()
    stranger = given_up(buy, at=world.now).model_copy(
        update={"purchase_id": f"{ORDER}-7", "effect_id": f"{ORDER}-7/buy/1"}
    )
    before = world.order
    world.tell(stranger)
    assert world.order is before


# What dead workers leave, and how often and when Kinguin is asked


@pytest.mark.parametrize("kind", [BuyKey, GiveReservation, StoreKeys, SendMail])
def test_what_a_dead_worker_began_is_reconciled(kind):
    """A purchase is asked about; a write-once object and a mail under its key are repeated."""
    world, (buy,) = paid_world()
    effect = buy
    if kind is not BuyKey:
        world.outcome(buy, "half" if kind is GiveReservation else "ok")
        (effect, *_) = world.tell(given_up(buy, at=world.now, given=kind is not GiveReservation)) or (None,)
    if kind in {StoreKeys, SendMail}:
        (effect,) = world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    if kind is SendMail:
        (effect,) = world.tell(world.outcome(effect))
    assert isinstance(effect, kind)
    world.tell(failed(effect, Failure.UNKNOWN, at=world.now, cause="abandoned"))
    (then,) = world.fire_timer()
    if kind in {BuyKey, GiveReservation}:
        assert isinstance(then, LookUpPurchase)
        return
    assert isinstance(then, kind)
    assert then.attempt == effect.attempt + 1
    if isinstance(then, SendMail):
        assert then.message_id == effect.message_id


def test_kinguin_is_asked_more_than_once_and_not_too_early_before_nothing_counts_as_nothing():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy, "unknown"))
    asked, began = [], world.now
    effects = ()
    while not any(isinstance(e, BuyKey) for e in effects):
        (look_up,) = world.fire_timer()
        assert isinstance(look_up, LookUpPurchase)
        asked.append((world.now - began).total_seconds())
        effects = world.tell(world.outcome(look_up))
    assert len(asked) == 3
    assert asked[0] >= 2, "asked before Kinguin's search can know of it"
    assert asked[1] - asked[0] >= 5
    assert asked[2] - asked[1] >= 10
