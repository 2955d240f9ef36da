"""The life of an order, row by row."""

from datetime import timedelta
from decimal import Decimal

import pytest

from bitloot.contracts.effects import BuyKey, FetchCodes, GiveReservation, LookUpPurchase, SendMail, StoreKeys
from bitloot.contracts.events import (
    CodesReceived,
    Failure,
    FoundReservation,
    KeysRevealed,
    LineCodes,
    Notice,
    PaymentStatus,
    PurchasePlaced,
    PurchasesFound,
)
from bitloot.contracts.state import ItemStatus, OrderStatus, PaymentVerdict, ReservationStatus
from bitloot.ids import EventId, ReservationId, order_id, outcome_id
from fulfillment.codec import order_from_bytes, order_to_bytes
from fulfillment.dialects import rules
from fulfillment.order import Order, decide, pending, wake_at
from fulfillment.order.policy import RETRIES, STUCK_AFTER, UNPAID_FOR, Kind, Policy
from fulfillment.snapshot import snapshot
from tests.unit.fulfillment.order_world import (
    ORDER,
    START,
    World,
    bought_world,
    failed,
    paid_world,
    payment,
    placed,
    reprocess,
    sealed,
)

FINISHED = payment(PaymentStatus.FINISHED)


def fulfilled_world(*quantities: int) -> World:
    world, effects = paid_world(*quantities)
    for buy in effects:
        world.tell(world.outcome(buy))
    effects = ()
    for r in world.reservations:
        effects += world.tell(world.notice(r, Notice.DELIVERED, codes=True))
    world.settle(effects)
    return world


def test_a_placed_order_waits_for_its_payment():
    order, effects = decide(Order(ORDER), placed(2, 1))
    assert order.status is OrderStatus.AWAITING_PAYMENT
    assert order.total == Decimal("15.00")
    assert effects == ()
    assert order.close_at == START + UNPAID_FOR


def test_a_finished_payment_asks_for_one_purchase_per_item_at_once():
    world, effects = paid_world(1, 2)
    assert [type(e) for e in effects] == [BuyKey, BuyKey]
    assert [(e.lines[0].product_id, e.lines[0].quantity, e.external_id) for e in effects] == [
        ("product-1", 1, f"{ORDER}-1"),
        ("product-2", 2, f"{ORDER}-2"),
    ]
    assert world.order.status is OrderStatus.PURCHASING


def test_from_payment_to_fulfilled():
    world = fulfilled_world(1, 2)
    assert world.order.status is OrderStatus.FULFILLED
    assert [(k.item_id, k.position) for k in world.order.keys] == [
        (f"{ORDER}-1", 1),
        (f"{ORDER}-2", 1),
        (f"{ORDER}-2", 2),
    ]
    assert {k.storage_ref for k in world.order.keys} == {f"keys/{ORDER}.json"}
    assert world.order.outbox == ()
    assert wake_at(world.order) is None
    assert len(world.mails) == 1
    assert [r.status for r in world.order.reservations] == [ReservationStatus.DELIVERED] * 2


def test_codes_leave_the_state_once_they_are_stored():
    assert all(part.codes == () for purchase in fulfilled_world().order.purchases for part in purchase.parts)


@pytest.mark.parametrize(
    ("facts", "verdict", "cause"),
    [
        ({"price_amount": Decimal("4.99")}, PaymentVerdict.MISMATCH, "payment_mismatch"),
        ({"price_amount": None}, PaymentVerdict.MISMATCH, "payment_mismatch"),
        ({"price_currency": "usd"}, PaymentVerdict.MISMATCH, "payment_mismatch"),
        ({"actually_paid": Decimal("0.00098")}, PaymentVerdict.UNDERPAID, "underpaid"),
        ({"parent_payment_id": "4999999999"}, PaymentVerdict.EXTRA, "extra_payment"),
    ],
)
def test_finished_alone_does_not_pay_an_order(facts, verdict, cause):
    world = World()
    world.tell(placed())
    effects = world.tell(payment(PaymentStatus.FINISHED, **facts))
    assert effects == ()
    assert world.order.paid_at is None
    assert world.order.payments[0].verdict is verdict
    assert (world.order.status, world.order.review.cause) == (OrderStatus.NEEDS_REVIEW, cause)


def test_the_right_payment_still_pays_an_order_in_review_for_a_wrong_one():
    world = World()
    world.tell(placed())
    world.tell(payment(PaymentStatus.FINISHED, price_amount=Decimal("4.99")))
    (buy,) = world.pay(payment(PaymentStatus.FINISHED, payment_id="5000000002"))
    assert isinstance(buy, BuyKey)
    assert world.order.review is None


def test_a_partial_payment_that_is_made_whole_pays_the_order():
    world = World()
    world.tell(placed())
    world.tell(payment(PaymentStatus.PARTIALLY_PAID, actually_paid=Decimal("0.0005")))
    assert world.order.review.cause == "underpaid"
    assert world.tell(payment(PaymentStatus.PARTIALLY_PAID, actually_paid=Decimal("0.0008"))) == ()
    assert world.order.payments[0].actually_paid == Decimal("0.0008")
    assert [type(e) for e in world.pay(FINISHED)] == [BuyKey]


@pytest.mark.parametrize("status", [s for s in PaymentStatus if s is not PaymentStatus.FINISHED])
def test_no_other_status_pays(status):
    world = World()
    world.tell(placed())
    assert world.tell(payment(status, actually_paid=Decimal("0.001"))) == ()
    assert world.order.paid_at is None


def test_a_late_status_does_not_move_a_payment_back():
    world, _ = paid_world()
    before = world.order
    for late in (PaymentStatus.WAITING, PaymentStatus.CONFIRMING, PaymentStatus.EXPIRED, PaymentStatus.PARTIALLY_PAID):
        world.tell(payment(late))
    assert world.order is before


def test_a_payment_that_overtakes_its_order_pays_it():
    world = World()
    assert world.tell(FINISHED) == ()
    assert world.order.status is OrderStatus.UNPLACED
    (check,) = world.tell(placed())
    assert [type(e) for e in world.tell(world.outcome(check))] == [BuyKey]


def test_a_second_payment_is_an_incident_and_buys_nothing():
    world, _ = paid_world()
    assert world.tell(payment(PaymentStatus.FINISHED, payment_id="5000000002")) == ()
    assert [i.cause for i in world.order.incidents] == ["extra_payment"]


def test_money_after_the_payment_had_expired_goes_to_review():
    world = World()
    world.tell(placed())
    world.tell(payment(PaymentStatus.EXPIRED))
    assert world.tell(FINISHED) == ()
    assert world.order.review.cause == "late_payment"


def test_an_unpaid_order_is_canceled_and_late_money_is_an_incident():
    world = World()
    world.tell(placed())
    world.fire_timer(world.order.close_at)
    assert world.order.status is OrderStatus.CANCELED
    assert world.tell(FINISHED) == ()
    assert world.order.status is OrderStatus.CANCELED
    assert [i.cause for i in world.order.incidents] == ["late_payment"]


def test_an_order_with_a_payment_on_its_way_is_not_canceled():
    world = World()
    world.tell(placed())
    world.tell(payment(PaymentStatus.CONFIRMING))
    world.fire_timer(world.order.close_at)
    assert world.order.status is OrderStatus.AWAITING_PAYMENT
    assert [type(e) for e in world.pay(FINISHED)] == [BuyKey]


def test_an_order_whose_only_payment_failed_ends_as_failed():
    world = World()
    world.tell(placed())
    world.tell(payment(PaymentStatus.FAILED))
    world.fire_timer(world.order.close_at)
    assert world.order.status is OrderStatus.FAILED


def test_a_duplicate_changes_nothing_and_what_is_owed_is_still_pending():
    world, (buy,) = paid_world()
    before = world.order
    assert world.tell(FINISHED) == ()
    assert world.order is before
    assert pending(world.order) == (buy,)


def test_a_failed_call_is_tried_again_after_a_growing_wait_and_then_a_human_decides():
    world, effects = paid_world()
    waits = []
    for attempt in range(1, RETRIES[Kind.BUY].tries + 1):
        (buy,) = effects
        assert (buy.attempt, buy.external_id) == (attempt, f"{ORDER}-1")
        world.tell(failed(buy, Failure.TRANSIENT, at=world.now))
        if world.order.status is OrderStatus.NEEDS_REVIEW:
            break
        waits.append((wake_at(world.order) - world.now).total_seconds())
        effects = world.fire_timer()
    assert [base <= wait <= base * 1.25 for base, wait in zip([1, 2, 4, 8], waits, strict=True)] == [True] * 4
    assert world.order.review.cause == "timeout"
    assert world.order.purchases[0].status is ItemStatus.FAILED


def test_retry_after_is_obeyed():
    world, (buy,) = paid_world()
    world.tell(failed(buy, Failure.TRANSIENT, at=world.now).model_copy(update={"retry_after": 40.0}))
    assert timedelta(seconds=40) <= wake_at(world.order) - world.now <= timedelta(seconds=50)


def test_orders_that_are_told_to_come_back_at_one_time_do_not_come_at_one_time():
    times = set()
    for n in range(20):
        order, _ = decide(Order(order_id(f"order {n}")), placed(order=order_id(f"order {n}")))
        paid = FINISHED.model_copy(update={"order_id": order.order_id, "source": "poll"})
        order, (buy,) = decide(order, paid)
        no = failed(buy, Failure.TRANSIENT, at=START).model_copy(update={"retry_after": 60.0})
        order, _ = decide(order, no)
        times.add(wake_at(order))
    assert len(times) == 20
    assert max(times) - min(times) > timedelta(seconds=5)


@pytest.mark.parametrize(
    ("cause", "retry_after"),
    [
        ("rate_limited", None),
        ("rate_limited", 30.0),
        ("insufficient_balance", 60.0),
        ("authorization", 60.0),
        ("provider_unavailable", 5.0),
    ],
)
def test_what_keeps_kinguin_from_being_asked_uses_up_no_tries(cause, retry_after):
    world, (buy,) = paid_world()
    began = world.now
    while world.now - began < timedelta(hours=20):
        no = failed(buy, Failure.TRANSIENT, at=world.now, cause=cause)
        assert world.tell(no.model_copy(update={"retry_after": retry_after})) == ()
        assert world.order.status is OrderStatus.PURCHASING
        (buy,) = world.fire_timer()
    assert buy.attempt < 400, "asked more often than about every five minutes"
    world.settle(world.tell(world.outcome(buy)))
    assert world.order.purchases[0].status is ItemStatus.BOUGHT


def test_waits_between_two_tries_do_not_give_more_tries():
    world, (buy,) = paid_world()
    tries = 0
    while world.order.status is OrderStatus.PURCHASING:
        waits = failed(buy, Failure.TRANSIENT, at=world.now, cause="rate_limited")
        world.tell(waits)
        (buy,) = world.fire_timer()
        world.tell(failed(buy, Failure.TRANSIENT, at=world.now))
        tries += 1
        if world.order.status is OrderStatus.PURCHASING:
            (buy,) = world.fire_timer()
    assert tries == RETRIES[Kind.BUY].tries


def test_waiting_ends_after_a_day():
    world, (buy,) = paid_world()
    no = failed(buy, Failure.TRANSIENT, at=world.now + timedelta(days=1), cause="rate_limited")
    world.tell(no)
    assert world.order.review.cause == "rate_limited"


@pytest.mark.parametrize(("dialect", "searches", "span"), [("reservations", 3, 15), ("esa", 7, 180)])
def test_each_dialect_has_its_patience_with_look_ups(dialect, searches, span):
    world, (buy,) = paid_world()
    policy = Policy(look_ups=rules(dialect).look_ups)
    world.tell(world.outcome(buy, "unknown"), policy)
    began, asked, effects = world.now, 0, ()
    while not effects:
        (look_up,) = world.fire_timer()
        effects = world.tell(world.outcome(look_up), policy)
        asked += 1
    assert asked == searches
    assert span <= (world.now - began).total_seconds() <= 2 * span


def test_an_unknown_outcome_asks_before_it_buys_again():
    world, (buy,) = paid_world()
    assert world.tell(world.outcome(buy, "unknown")) == ()
    for _ in range(3):
        (look_up,) = world.fire_timer()
        assert isinstance(look_up, LookUpPurchase)
        effects = world.tell(world.outcome(look_up))
    (again,) = effects
    assert (type(again), again.attempt) == (BuyKey, 2)


def test_an_unknown_outcome_that_did_happen_is_adopted():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy, "lost"))
    (look_up,) = world.fire_timer()
    world.tell(world.outcome(look_up))
    assert world.order.purchases[0].reservation_id == "r1"
    assert world.order.purchases[0].status is ItemStatus.BOUGHT
    assert len(world.reservations) == 1


@pytest.mark.parametrize("failure", list(Failure))
def test_a_reservation_that_is_told_before_its_purchase_fails_is_looked_up_and_bought(failure):
    world, (buy,) = paid_world()
    world.outcome(buy, "half")
    world.tell(world.notice(world.reservations[0], Notice.RESERVE))
    world.tell(failed(buy, failure, at=world.now))
    (look_up,) = world.fire_timer()
    assert isinstance(look_up, LookUpPurchase)
    (give,) = world.tell(world.outcome(look_up))
    assert isinstance(give, GiveReservation)
    world.tell(world.outcome(give))
    assert world.order.purchases[0].status is ItemStatus.BOUGHT
    assert len(world.reservations) == 1


def test_a_provider_that_cannot_be_asked_leaves_the_order_to_a_human():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy, "lost"))
    (look_up,) = world.fire_timer()
    world.tell(failed(look_up, Failure.REFUSED, at=world.now, cause="cannot_be_asked"))
    assert world.order.review.cause == "cannot_be_asked"
    assert pending(world.order) == ()


def test_two_purchases_found_raise_an_incident_and_one_is_delivered():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy, "unknown"))
    (look_up,) = world.fire_timer()
    found = tuple(FoundReservation(reservation_id=ReservationId(r), given=True) for r in ("r8", "r9"))
    world.tell(
        PurchasesFound(
            event_id=outcome_id(look_up.effect_id, "found"),
            occurred_at=world.now,
            order_id=ORDER,
            effect_id=look_up.effect_id,
            purchase_id=look_up.purchase_id,
            reservations=found,
        )
    )
    assert world.order.purchases[0].reservation_id == "r8"
    assert [i.cause for i in world.order.incidents] == ["second_purchase"]


def test_a_reservation_that_was_not_bought_is_given():
    world, (buy,) = paid_world()
    (give,) = world.tell(
        PurchasePlaced(
            event_id=outcome_id(buy.effect_id, "placed"),
            occurred_at=world.now,
            order_id=ORDER,
            effect_id=buy.effect_id,
            purchase_id=buy.purchase_id,
            reservation_id=ReservationId("r7"),
            given=False,
        )
    )
    assert isinstance(give, GiveReservation)
    assert give.reservation_id == "r7"


def test_codes_are_asked_for_when_no_webhook_comes():
    world, (fetch,) = bought_world()
    assert isinstance(fetch, FetchCodes)
    world.tell(world.outcome(fetch))
    (fetch,) = world.fire_timer()
    world.reservations[0].codes_ready = True
    (store,) = world.tell(world.outcome(fetch))
    assert isinstance(store, StoreKeys)


def test_a_delivered_webhook_without_codes_fetches_them_now():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy))
    (fetch,) = world.tell(world.notice(world.reservations[0], Notice.DELIVERED))
    assert isinstance(fetch, FetchCodes)


def test_a_delivered_webhook_may_come_before_the_answer_to_the_purchase():
    world, (buy,) = paid_world()
    answer = world.outcome(buy)
    (store,) = world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    assert isinstance(store, StoreKeys)
    world.tell(answer)
    world.settle((store,))
    assert world.order.status is OrderStatus.FULFILLED
    assert world.order.outbox == ()


def test_fewer_codes_than_bought_are_never_delivered():
    world, (fetch,) = bought_world()
    event = CodesReceived(
        event_id=outcome_id(fetch.effect_id, "codes"),
        occurred_at=world.now,
        order_id=ORDER,
        effect_id=fetch.effect_id,
        purchase_id=fetch.purchase_id,
        reservation_id=fetch.reservation_id,
        lines=(LineCodes(item_id=f"{ORDER}-1", codes=sealed("a", "b")),),
    )
    assert world.tell(event) == ()
    assert world.order.review.cause == "bad_codes"


def test_a_canceled_reservation_goes_to_review_and_reprocess_buys_under_a_new_number():
    world, _ = bought_world()
    world.tell(world.notice(world.reservations[0], Notice.CANCEL))
    assert world.order.review.cause == "supplier_canceled"
    assert pending(world.order) == ()
    (buy,) = world.tell(reprocess("one", at=world.now))
    assert (buy.external_id, buy.attempt) == (f"{ORDER}-1-p2", 2)
    assert world.tell(reprocess("one", at=world.now)) == ()


def test_a_reversal_after_delivery_is_an_incident():
    world = fulfilled_world()
    world.tell(world.notice(world.reservations[0], Notice.REVERSED))
    assert world.order.status is OrderStatus.FULFILLED
    assert [i.cause for i in world.order.incidents] == ["supplier_reversed"]


def test_a_notice_for_an_unpaid_order_changes_nothing():
    world, (buy,) = paid_world()
    world.outcome(buy)
    fresh, _ = decide(Order(ORDER), placed())
    assert decide(fresh, world.notice(world.reservations[0], Notice.DELIVERED, codes=True)) == (fresh, ())


def test_a_refund_before_anything_was_bought_stops_the_purchase():
    world, (buy,) = paid_world()
    world.tell(failed(buy, Failure.TRANSIENT, at=world.now))
    world.tell(payment(PaymentStatus.REFUNDED))
    assert world.order.status is OrderStatus.REFUNDED
    (notice,) = world.fire_timer()
    world.tell(world.outcome(notice))
    assert wake_at(world.order) is None


def test_a_refund_while_the_outcome_of_a_purchase_is_unknown_still_finds_out():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy, "unknown"))
    world.tell(payment(PaymentStatus.REFUNDED))
    for _ in range(3):
        (look_up,) = world.fire_timer()
        assert world.tell(world.outcome(look_up)) == ()
    assert world.order.status is OrderStatus.REFUNDED
    assert world.reservations == []


def test_a_refund_after_delivery_is_an_incident():
    world = fulfilled_world()
    world.tell(payment(PaymentStatus.REFUNDED))
    assert world.order.status is OrderStatus.FULFILLED
    assert [i.cause for i in world.order.incidents] == ["refunded_after_delivery"]


def test_nothing_is_delivered_once_the_money_went_back():
    world, (fetch,) = bought_world()
    world.tell(payment(PaymentStatus.REFUNDED))
    assert world.order.review.cause == "refunded_while_buying"
    world.reservations[0].codes_ready = True
    assert world.tell(world.outcome(fetch)) == ()
    assert world.tell(reprocess("go", at=world.now)) == ()


def test_a_mail_that_cannot_be_sent_yet_keeps_the_order_delivering():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy))
    (store,) = world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    (mail,) = world.tell(world.outcome(store))
    for _ in range(20):
        assert isinstance(mail, SendMail)
        assert mail.message_id == f"{ORDER}/mail/1"
        world.tell(failed(mail, Failure.TRANSIENT, at=world.now))
        assert world.order.status is OrderStatus.DELIVERING
        (mail,) = world.fire_timer()
    world.tell(world.outcome(mail))
    assert world.order.status is OrderStatus.FULFILLED


def test_an_effect_without_outcome_is_sent_again():
    world, (buy,) = paid_world()
    assert wake_at(world.order) > world.now
    assert world.fire_timer() == (buy,)


def test_an_order_that_is_stuck_goes_to_review_and_recovers_when_the_codes_come():
    world, _ = bought_world()
    world.fire_timer(world.order.working_since + STUCK_AFTER)
    assert world.order.review.cause == "stuck"
    effects = world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    world.settle(effects)
    assert world.order.status is OrderStatus.FULFILLED


def test_a_reveal_is_noted_once():
    world = fulfilled_world()
    first = KeysRevealed(event_id=EventId("reveal/1"), occurred_at=world.now, order_id=ORDER)
    world.tell(first)
    later = first.model_copy(update={"occurred_at": world.now + timedelta(hours=1)})
    world.tell(later)
    assert {k.viewed_at for k in world.order.keys} == {world.now}


def test_an_event_of_another_order_is_ignored():
    world, _ = paid_world()
    other = placed(order=order_id("another"))
    assert decide(world.order, other) == (world.order, ())


def test_state_survives_its_bytes():
    for world in (fulfilled_world(1, 2), paid_world()[0], bought_world()[0]):
        assert order_from_bytes(order_to_bytes(world.order)) == world.order


def test_the_snapshot_holds_no_codes():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy))
    world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    assert world.order.purchases[0].parts[0].codes
    text = snapshot(world.order).model_dump_json()
    assert '"box"' not in text
    assert "r1/0" not in text


def test_a_notice_with_fewer_codes_than_bought_fetches_instead():
    world, (buy,) = paid_world(2)
    world.tell(world.outcome(buy))
    notice = world.notice(world.reservations[0], Notice.DELIVERED, codes=True)
    (fetch,) = world.tell(notice.model_copy(update={"codes": notice.codes[:1]}))
    assert isinstance(fetch, FetchCodes)
    assert world.order.purchases[0].parts[0].codes == ()


def test_a_purchase_whose_answer_was_lost_needs_no_look_up_when_the_webhook_was_faster():
    world, (buy,) = paid_world()
    lost = world.outcome(buy, "lost")
    effects = world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    assert world.tell(lost) == ()
    world.settle(effects)
    assert world.order.status is OrderStatus.FULFILLED
    assert world.order.outbox == ()


def test_an_answer_with_another_reservation_than_the_webhook_is_an_incident():
    world, (buy,) = paid_world()
    answer = world.outcome(buy)
    other = world.notice(world.reservations[0], Notice.GIVE).model_copy(update={"reservation_id": ReservationId("r9")})
    world.tell(other)
    world.tell(answer)
    assert world.order.purchases[0].reservation_id == "r9"
    assert [i.cause for i in world.order.incidents] == ["second_purchase"]


def test_reprocessing_an_unknown_purchase_asks_before_it_buys():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy, "lost"))
    (look_up,) = world.fire_timer()
    world.tell(failed(look_up, Failure.REFUSED, at=world.now, cause="cannot_be_asked"))
    (again,) = world.tell(reprocess("one", at=world.now))
    assert isinstance(again, LookUpPurchase)
    world.tell(world.outcome(again))
    assert world.order.purchases[0].status is ItemStatus.BOUGHT


def test_reprocessing_does_not_touch_a_purchase_that_is_under_way():
    world, (buy,) = paid_world()
    world.outcome(buy)
    world.tell(world.notice(world.reservations[0], Notice.CANCEL))
    assert world.order.purchases[0].status is ItemStatus.CANCELED
    assert world.tell(reprocess("one", at=world.now)) == ()
    assert pending(world.order) == (buy,)


def test_reprocessing_an_order_that_needs_no_review_does_nothing():
    world, (buy,) = paid_world()
    assert world.tell(reprocess("one", at=world.now)) == ()
    assert pending(world.order) == (buy,)
    done = fulfilled_world()
    done.tell(reprocess("two", at=done.now))
    assert done.order.status is OrderStatus.FULFILLED


def test_an_admin_can_let_a_refused_purchase_be_tried_again():
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy, "refused"))
    assert (world.order.review.cause, world.order.purchases[0].status) == ("timeout", ItemStatus.FAILED)
    (again,) = world.tell(reprocess("one", at=world.now))
    assert (again.attempt, again.external_id) == (2, buy.external_id)
    world.tell(world.outcome(again))
    world.settle(world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True)))
    assert world.order.status is OrderStatus.FULFILLED
