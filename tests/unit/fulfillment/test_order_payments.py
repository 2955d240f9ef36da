"""Payments, case by case: contract "NOWPayments", sections 3, 4 and 6."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from bitloot.contracts.effects import BuyKey, CheckPayment, CreatePayment, FindPayments
from bitloot.contracts.events import (
    Failure,
    PaymentCreated,
    PaymentInstructions,
    PaymentRequested,
    PaymentsFound,
    PaymentStatus,
)
from bitloot.contracts.state import OrderStatus, PaymentVerdict
from bitloot.ids import EventId, PaymentId, outcome_id
from fulfillment.order import wake_at
from fulfillment.order.policy import ASKING, MOST_OFFERS, RETRIES, UNPAID_FOR, Kind, Policy
from fulfillment.snapshot import snapshot
from tests.unit.fulfillment.order_world import (
    INVOICE,
    ORDER,
    START,
    World,
    facts_of,
    failed,
    paid_world,
    payment,
    placed,
    reprocess,
)

PAYMENT = PaymentId("5000000001")
ADDRESS = PaymentInstructions(
    payment_id=PAYMENT,
    pay_currency="btc",
    network="btc",
    pay_address="TEST-ADDRESS-1",
    pay_amount=Decimal("0.001"),
    valid_until=START + timedelta(days=7),
)
FINISHED = payment(PaymentStatus.FINISHED)
CURRENT = [PaymentStatus.WAITING, PaymentStatus.CONFIRMING, PaymentStatus.CONFIRMED, PaymentStatus.SENDING]
ENDS = [s for s in PaymentStatus if s not in CURRENT and s is not PaymentStatus.UNKNOWN]


def placed_world(**facts) -> World:
    world = World()
    world.tell(placed(**facts))
    return world


def causes(world: World) -> list[str]:
    return [incident.cause for incident in world.order.incidents]


# Read once before anything is bought


def test_a_finished_notification_is_read_before_anything_is_bought():
    world = placed_world()
    (check,) = world.tell(FINISHED)
    assert isinstance(check, CheckPayment)
    assert (check.payment_id, check.known_status, check.urgent) == (PAYMENT, PaymentStatus.FINISHED, True)
    assert (world.order.status, world.order.paid_at) == (OrderStatus.PAID, None)
    assert world.order.payments[0].verdict is PaymentVerdict.CHECKING
    (buy,) = world.tell(world.outcome(check))
    assert isinstance(buy, BuyKey)
    assert world.order.payments[0].verdict is PaymentVerdict.ACCEPTED
    assert world.order.paid_at == FINISHED.occurred_at, "time-to-key counts from the notification"


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"status": PaymentStatus.FAILED, "provider_status": "failed"}, "failed"),
        ({"price_amount": Decimal("4.99")}, "4.99"),
        ({"price_currency": "usd"}, "usd"),
        ({"pay_currency": "eth"}, "eth"),
        ({"pay_amount": Decimal("0.0001"), "actually_paid": Decimal("0.0001")}, "0.0001"),
        ({"parent_payment_id": PaymentId("4999999999")}, "4999999999"),
    ],
)
def test_what_is_read_must_be_what_was_told(facts, named):
    world = placed_world()
    (check,) = world.tell(FINISHED)
    world.payments[PAYMENT] = world.payments[PAYMENT].model_copy(update=facts)
    assert world.tell(world.outcome(check)) == ()
    assert (world.order.status, world.order.review.cause) == (OrderStatus.NEEDS_REVIEW, "payment_differs")
    assert named in world.order.review.detail
    assert world.order.paid_at is None


def test_what_is_read_may_show_that_less_came_than_was_told():
    world = placed_world()
    (check,) = world.tell(FINISHED)
    world.payments[PAYMENT] = world.payments[PAYMENT].model_copy(update={"actually_paid": Decimal("0.0009")})
    world.tell(world.outcome(check))
    assert world.order.review.cause == "underpaid"
    assert "0.0009 of 0.001 btc" in world.order.review.detail


def test_a_payment_of_another_invoice_is_foreign_once_it_is_read():
    world = placed_world()
    (check,) = world.tell(payment(PaymentStatus.FINISHED, invoice_id=None))
    world.payments[PAYMENT] = world.payments[PAYMENT].model_copy(update={"invoice_id": "999"})
    world.tell(world.outcome(check))
    assert world.order.review.cause == "foreign_payment"


def test_nowpayments_that_lags_behind_its_notification_is_asked_again_and_then_a_human():
    world = placed_world()
    (check,) = world.tell(FINISHED)
    world.payments[PAYMENT] = world.payments[PAYMENT].model_copy(
        update={"status": PaymentStatus.SENDING, "provider_status": "sending"}
    )
    world.tell(world.outcome(check))
    assert world.order.status is OrderStatus.PAID
    assert timedelta(seconds=1) <= wake_at(world.order) - world.now <= timedelta(seconds=1.25)
    while world.order.review is None:
        for again in world.fire_timer():
            world.tell(world.outcome(again))
    assert world.order.review.cause == "payment_unconfirmed"
    assert "sending" in world.order.review.detail
    assert world.now - START < timedelta(days=1, minutes=10)


@pytest.mark.parametrize("cause", ["timeout", "provider_unavailable", "rate_limited", "authorization"])
def test_nowpayments_away_holds_an_order_up_no_longer_than_it_is_away(cause):
    world = placed_world()
    effects = world.tell(FINISHED)
    for _ in range(20):
        world.tell(failed(effects[0], Failure.TRANSIENT, at=world.now, cause=cause))
        assert world.order.status is OrderStatus.PAID
        effects = world.fire_timer()
    (buy,) = world.tell(world.outcome(effects[0]))
    assert isinstance(buy, BuyKey)


def test_nowpayments_away_for_a_day_is_a_review_and_a_click_reads_again():
    world = placed_world()
    effects = world.tell(FINISHED)
    while world.order.review is None:
        for check in effects:
            world.tell(failed(check, Failure.TRANSIENT, at=world.now))
        effects = world.fire_timer() if world.order.review is None else ()
    assert world.order.review.cause == "payment_unconfirmed"
    (check,) = [e for e in world.tell(reprocess("one", at=world.now)) if isinstance(e, CheckPayment)]
    (buy,) = world.tell(world.outcome(check))
    assert isinstance(buy, BuyKey)


def test_a_payment_that_nowpayments_does_not_know_is_a_review():
    world = placed_world()
    (check,) = world.tell(FINISHED)
    world.tell(failed(check, Failure.REFUSED, at=world.now, cause="not_found"))
    assert world.order.review.cause == "payment_unconfirmed"
    assert PAYMENT in world.order.review.detail


def test_a_repeated_outcome_of_a_read_changes_nothing():
    world = placed_world()
    (check,) = world.tell(FINISHED)
    read = world.outcome(check)
    world.tell(read)
    before = world.order
    assert world.tell(read) == ()
    assert world.order is before


def test_a_read_that_was_under_way_is_not_waited_for():
    world = placed_world(payment_instructions=ADDRESS)
    (polled,) = world.fire_timer()
    early = world.outcome(polled)  # asked before the money came
    assert early.type == "effect.failed"
    (check,) = world.tell(payment(PaymentStatus.FINISHED, at=world.now, invoice_id=None))
    assert check.effect_id != polled.effect_id
    assert [type(e) for e in world.tell(world.outcome(check))] == [BuyKey]
    assert world.tell(early) == ()


# Whose payment it is


def test_a_payment_that_was_made_for_the_order_pays_it_in_its_coin_only():
    world = placed_world(payment_instructions=ADDRESS, pay_currency="btc")
    assert [type(e) for e in world.pay(payment(PaymentStatus.FINISHED, invoice_id=None))] == [BuyKey]
    other = placed_world(payment_instructions=ADDRESS, pay_currency="btc")
    other.pay(payment(PaymentStatus.FINISHED, invoice_id=None, pay_currency="eth"))
    assert (other.order.review.cause, "eth" in other.order.review.detail) == ("payment_mismatch", True)


@pytest.mark.parametrize("invoice", ["999", None])
def test_a_payment_of_somebody_elses_making_pays_nothing(invoice):
    world = placed_world(payment_instructions=ADDRESS)
    effects = world.pay(payment(PaymentStatus.FINISHED, payment_id="6000000000", invoice_id=invoice))
    assert not any(isinstance(e, BuyKey) for e in effects)
    assert world.order.review.cause == "foreign_payment"
    assert "6000000000" in world.order.review.detail


def test_an_order_placed_by_two_processes_is_paid_either_way():
    world = placed_world()
    world.tell(placed(payment_instructions=ADDRESS))
    assert world.order.offers == (INVOICE, ADDRESS)
    assert [type(e) for e in world.pay(payment(PaymentStatus.FINISHED, invoice_id=None))] == [BuyKey]


def test_a_payment_that_came_before_its_offer_was_known_is_judged_anew():
    world = placed_world()
    world.tell(payment(PaymentStatus.FINISHED, invoice_id="77"))
    assert world.order.review.cause == "foreign_payment"
    (check,) = world.tell(placed(payment_instructions=INVOICE.model_copy(update={"invoice_id": "77"})))
    assert isinstance(check, CheckPayment)


# Amounts


@pytest.mark.parametrize(
    ("came", "tolerance", "paid"),
    [("0.00099", "0.01", True), ("0.0009899", "0.01", False), ("0.001", "0", True), ("0.00099999", "0", False)],
)
def test_the_tolerance_is_a_setting(came, tolerance, paid):
    policy = Policy(tolerance=Decimal(tolerance))
    world = World()
    world.tell(placed(), policy)
    effects = world.pay(payment(PaymentStatus.FINISHED, actually_paid=Decimal(came)), policy)
    assert any(isinstance(e, BuyKey) for e in effects) is paid


def test_too_much_money_pays_the_order_and_a_human_hears_how_much():
    world = placed_world()
    (buy,) = world.pay(payment(PaymentStatus.FINISHED, actually_paid=Decimal("0.002")))
    assert isinstance(buy, BuyKey)
    (incident,) = world.order.incidents
    assert (incident.cause, "0.002 of 0.001 btc" in incident.detail) == ("overpaid", True)


@pytest.mark.parametrize("missing", ["actually_paid", "pay_amount"])
def test_a_finished_payment_without_its_amounts_pays_nothing(missing):
    world = placed_world()
    assert not any(isinstance(e, BuyKey) for e in world.pay(payment(PaymentStatus.FINISHED, **{missing: None})))
    assert world.order.review.cause == "payment_mismatch"


# Repeated deposits, wrong assets, late and extra money: never a second delivery


@pytest.mark.parametrize("status", [PaymentStatus.FINISHED, PaymentStatus.PARTIALLY_PAID])
@pytest.mark.parametrize(("coin", "cause"), [("btc", "extra_payment"), ("eth", "wrong_asset")])
def test_more_money_to_a_used_address_is_told_and_delivers_nothing(status, coin, cause):
    deposit = payment(status, payment_id="5000000002", parent_payment_id=PAYMENT, pay_currency=coin, actually_paid=1)
    world, _ = paid_world()
    assert world.tell(deposit) == ()
    assert causes(world) == [cause]
    assert "1 of 0.001" in world.order.incidents[0].detail
    assert PAYMENT in world.order.incidents[0].detail
    unpaid = placed_world(payment_instructions=ADDRESS)
    assert unpaid.tell(deposit) == ()
    assert (unpaid.order.review.cause, unpaid.order.paid_at) == (cause, None)


def test_two_payments_at_the_same_time_are_one_delivery():
    world = placed_world()
    (first,) = world.tell(FINISHED)
    (second,) = world.tell(payment(PaymentStatus.FINISHED, payment_id="5000000002"))
    effects = (*world.tell(world.outcome(first)), *world.tell(world.outcome(second)))
    assert [type(e) for e in effects] == [BuyKey]
    assert causes(world) == ["extra_payment"]


def test_two_payments_one_after_the_other_are_one_delivery():
    world, _ = paid_world()
    assert world.tell(payment(PaymentStatus.FINISHED, payment_id="5000000002")) == ()
    assert causes(world) == ["extra_payment"]


@pytest.mark.parametrize("came", [Decimal(0), Decimal("1e-18")])
def test_a_finished_payment_of_nothing_pays_nothing(came):
    world = placed_world()
    world.pay(payment(PaymentStatus.FINISHED, actually_paid=came))
    assert (world.order.paid_at, world.order.review.cause) == (None, "underpaid")


def test_an_enormous_amount_pays_the_order_once_and_a_human_hears_of_it():
    world = placed_world()
    effects = world.pay(payment(PaymentStatus.FINISHED, actually_paid=Decimal("1e17")))
    assert [type(e) for e in effects] == [BuyKey]
    assert causes(world) == ["overpaid"]


def test_money_that_is_told_before_the_order_is_known_pays_it_when_it_comes():
    world = World()
    assert world.tell(FINISHED) == ()
    (read,) = world.tell(placed())
    assert isinstance(read, CheckPayment)
    assert [type(e) for e in world.tell(world.outcome(read))] == [BuyKey]


@pytest.mark.parametrize("status", [PaymentStatus.EXPIRED, PaymentStatus.FAILED])
def test_money_in_a_payment_that_failed_is_a_review(status):
    world = placed_world()
    world.tell(payment(status, actually_paid=Decimal("0.0001")))
    assert world.order.review.cause == "money_in_ended_payment"
    assert "0.0001 of 0.001 btc" in world.order.review.detail


def test_partial_money_on_an_expired_payment_is_a_review():
    world = placed_world()
    world.tell(payment(PaymentStatus.EXPIRED))
    world.tell(payment(PaymentStatus.PARTIALLY_PAID, actually_paid=Decimal("0.0005")))
    assert world.order.review.cause == "underpaid"


# Forward only, and the audited exceptions


@pytest.mark.parametrize("now", ENDS)
@pytest.mark.parametrize("then", PaymentStatus)
def test_an_ended_payment_moves_where_the_contract_says_and_nowhere_else(now, then):
    allowed = {
        PaymentStatus.PARTIALLY_PAID: {PaymentStatus.FINISHED, PaymentStatus.CANCELED, PaymentStatus.REFUNDED},
        PaymentStatus.EXPIRED: {PaymentStatus.PARTIALLY_PAID, PaymentStatus.FINISHED, PaymentStatus.REFUNDED},
        PaymentStatus.FAILED: {PaymentStatus.PARTIALLY_PAID, PaymentStatus.FINISHED, PaymentStatus.REFUNDED},
        PaymentStatus.CANCELED: {PaymentStatus.FINISHED, PaymentStatus.REFUNDED},
        PaymentStatus.FINISHED: {PaymentStatus.REFUNDED},
        PaymentStatus.REFUNDED: set(),
    }
    world = placed_world()
    world.tell(payment(now))
    world.tell(payment(then))
    moved = then in allowed[now]
    assert world.order.payments[0].status is (then if moved else now)


def test_a_reversal_is_told():
    world = placed_world()
    world.tell(payment(PaymentStatus.PARTIALLY_PAID, actually_paid=Decimal("0.0005")))
    assert [type(e) for e in world.pay(FINISHED)] == [BuyKey]
    (incident,) = world.order.incidents
    assert incident.cause == "payment_reversal"
    assert "from partially_paid to finished" in incident.detail


def test_a_word_that_nobody_knows_is_kept_and_changes_nothing():
    world = placed_world()
    world.tell(payment(PaymentStatus.UNKNOWN).model_copy(update={"provider_status": "hibernating"}))
    assert [(p.status, p.verdict) for p in world.order.payments] == [(PaymentStatus.UNKNOWN, PaymentVerdict.OPEN)]
    world.tell(payment(PaymentStatus.CONFIRMING))
    assert world.order.payments[0].status is PaymentStatus.CONFIRMING
    before = world.order
    world.tell(payment(PaymentStatus.UNKNOWN))
    assert world.order is before


def test_a_refund_before_the_read_closes_the_order():
    world = placed_world()
    (check,) = world.tell(FINISHED)
    world.tell(payment(PaymentStatus.REFUNDED))
    assert world.order.status is OrderStatus.REFUNDED
    assert world.tell(world.outcome(check)) == ()
    assert world.order.paid_at is None


# What no notification told


def test_an_invoice_of_which_nothing_is_heard_is_asked_about_until_it_is_found():
    world = placed_world()
    (find,) = world.fire_timer()
    assert isinstance(find, FindPayments)
    assert (find.invoice_id, world.now - START) == (INVOICE.invoice_id, ASKING)
    world.tell(world.outcome(find))
    world.payments[PAYMENT] = facts_of(FINISHED)
    (find,) = world.fire_timer()
    (check,) = world.tell(world.outcome(find))
    assert isinstance(check, CheckPayment)
    assert world.order.payments[0].found_by == "poll"
    assert [type(e) for e in world.tell(world.outcome(check))] == [BuyKey]
    assert all(owed.kind is not Kind.FIND for owed in world.order.outbox)


def test_an_address_of_which_nothing_is_heard_is_read_and_pays_at_once():
    world = placed_world(payment_instructions=ADDRESS)
    world.payments[PAYMENT] = facts_of(payment(PaymentStatus.FINISHED, invoice_id=None))
    (check,) = world.fire_timer()
    assert (check.known_status, check.urgent) == (None, False)
    assert [type(e) for e in world.tell(world.outcome(check))] == [BuyKey]
    assert world.order.payments[0].found_by == "poll"


def test_open_payments_are_asked_about_less_and_less_often_until_a_day_after_their_end():
    world = placed_world(payment_instructions=ADDRESS)
    world.payments[PAYMENT] = facts_of(payment(PaymentStatus.WAITING, invoice_id=None, actually_paid=Decimal(0)))
    asked = []
    while not world.order.closed:
        for check in world.fire_timer():
            if isinstance(check, CheckPayment):
                asked.append(world.now)
                world.tell(world.outcome(check))
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert gaps[0] < timedelta(minutes=4)
    assert all(gap <= timedelta(hours=2.6) for gap in gaps)
    assert len(asked) < 120
    assert world.order.status is OrderStatus.CANCELED
    assert timedelta(0) <= START + timedelta(days=8) - asked[-1] < timedelta(hours=2.6)


def test_an_expired_payment_is_read_again_for_late_money():
    world = placed_world(payment_instructions=ADDRESS)
    world.tell(payment(PaymentStatus.EXPIRED, invoice_id=None))
    world.payments[PAYMENT] = facts_of(payment(PaymentStatus.FINISHED, invoice_id=None))
    (check,) = world.fire_timer()
    world.tell(world.outcome(check))
    assert world.order.review.cause == "late_payment"


def test_a_payment_that_moves_is_asked_about_every_few_minutes():
    world = placed_world(payment_instructions=ADDRESS)
    world.tell(payment(PaymentStatus.CONFIRMING, invoice_id=None))
    last = world.now
    for _ in range(20):
        (check,) = [e for e in world.fire_timer() if isinstance(e, CheckPayment)]
        world.tell(world.outcome(check))
        assert world.now - last <= timedelta(minutes=13)
        last = world.now


def test_a_payment_that_moves_for_half_a_day_is_stuck_and_asked_about_less_often():
    world = placed_world(payment_instructions=ADDRESS)
    world.tell(payment(PaymentStatus.CONFIRMING, invoice_id=None))
    asked = 0
    while world.now < START + timedelta(days=8):
        checks = [e for e in world.fire_timer() if isinstance(e, CheckPayment)]
        for check in checks:
            world.tell(world.outcome(check))
        asked += len(checks)
    assert 100 < asked < 200


def test_one_refused_question_does_not_end_the_asking_about_a_payment():
    world = placed_world(payment_instructions=ADDRESS)
    (check,) = world.fire_timer()
    world.tell(failed(check, Failure.REFUSED, at=world.now, cause="rejected"))
    world.payments[PAYMENT] = facts_of(payment(PaymentStatus.FINISHED, invoice_id=None))
    (again,) = world.fire_timer()
    effects = world.tell(world.outcome(again))
    assert [type(effect) for effect in effects] == [BuyKey]


def test_where_listing_is_not_possible_nobody_is_bothered():
    world = placed_world()
    (find,) = world.fire_timer()
    world.tell(failed(find, Failure.REFUSED, at=world.now, cause="cannot_ask"))
    assert (world.order.status, world.order.outbox) == (OrderStatus.AWAITING_PAYMENT, ())
    assert wake_at(world.order) == START + UNPAID_FOR


@pytest.mark.parametrize(("failure", "cause"), [("transient", "timeout"), ("refused", "rejected")])
def test_a_list_is_asked_for_again_after_a_failure(failure, cause):
    world = placed_world()
    (find,) = world.fire_timer()
    world.tell(failed(find, Failure(failure), at=world.now, cause=cause))
    (again,) = world.fire_timer()
    assert (type(again), again.attempt) == (FindPayments, 2)


def test_payments_of_an_invoice_are_listed_until_the_order_closes_however_late_a_way_to_pay_was_made():
    world = placed_world()
    asked = asked_about_invoices(world, START + timedelta(days=7))
    (create,) = world.tell(requested("late", "btc", at=world.now))
    late = ADDRESS.model_copy(update={"payment_id": PaymentId("7"), "valid_until": START + timedelta(days=14)})
    world.tell(created(create, late, at=world.now))
    asked += asked_about_invoices(world, START + timedelta(days=20))
    assert (world.order.status, world.order.closed_at) == (OrderStatus.CANCELED, START + timedelta(days=15))
    assert START + timedelta(days=15) - asked[-1] < timedelta(hours=2.6)
    assert all(later - earlier < timedelta(hours=2.6) for earlier, later in pairwise(asked))


def test_an_order_waits_for_a_late_invoice_as_long_as_its_payments_live():
    world = World()
    (create,) = world.tell(placed(payment_instructions=None))
    world.now = START + timedelta(days=7) - timedelta(hours=1)
    world.tell(created(create, INVOICE, at=world.now))
    assert world.order.close_at == world.now + timedelta(days=8), "an invoice tells no end of its own"
    asked_about_invoices(world, START + timedelta(days=9))
    world.payments[PAYMENT] = facts_of(FINISHED)
    effects = []
    while not effects:
        finds = [effect for effect in world.fire_timer() if isinstance(effect, FindPayments)]
        effects = [effect for find in finds for effect in world.tell(world.outcome(find))]
    assert [type(effect) for effect in effects] == [CheckPayment]
    assert [type(effect) for effect in world.tell(world.outcome(effects[0]))] == [BuyKey]


@pytest.mark.parametrize("paid", ["first", "second"])
def test_each_invoice_that_a_buyer_was_shown_is_asked_about(paid):
    world = placed_world(payment_instructions=INVOICE.model_copy(update={"invoice_id": "first"}))
    asked_about_invoices(world, START + timedelta(days=1))
    world.tell(placed(payment_instructions=INVOICE.model_copy(update={"invoice_id": "second"}), at=world.now))
    soon = world.now + timedelta(hours=2.6)
    world.payments[PAYMENT] = facts_of(payment(PaymentStatus.FINISHED, invoice_id=paid))
    listed, bought = set(), []
    while not bought and world.now < soon:
        for effect in world.fire_timer():
            listed.add(effect.invoice_id)
            for check in world.tell(world.outcome(effect)):
                bought += world.tell(world.outcome(check))
    assert paid in listed
    assert [type(effect) for effect in bought] == [BuyKey]


def test_a_new_invoice_is_asked_about_soon_and_the_one_before_as_often_as_ever():
    world = placed_world()
    asked_about_invoices(world, START + timedelta(days=1))
    second = INVOICE.model_copy(update={"invoice_id": "second"})
    world.tell(placed(payment_instructions=second, at=world.now))
    begun, when = world.now, {"second": [], INVOICE.invoice_id: []}
    while world.now < begun + timedelta(days=1):
        for find in world.fire_timer():
            when[find.invoice_id].append(world.now)
            world.tell(world.outcome(find))
    assert when["second"][0] == begun + ASKING
    assert len(when[INVOICE.invoice_id]) >= 9
    assert all(later - earlier < timedelta(hours=2.6) for times in when.values() for earlier, later in pairwise(times))


def test_an_invoice_refused_is_asked_about_again_and_not_in_the_place_of_another():
    world = placed_world()
    world.tell(placed(payment_instructions=INVOICE.model_copy(update={"invoice_id": "second"})))
    first, second = sorted(world.fire_timer(), key=lambda find: find.attempt)
    world.tell(failed(first, Failure.REFUSED, at=world.now, cause="rejected"))
    world.tell(failed(second, Failure.TRANSIENT, at=world.now))
    again = {find.invoice_id for _ in range(2) for find in world.fire_timer()}
    assert again == {INVOICE.invoice_id, "second"}


def test_a_question_owed_since_before_questions_named_their_invoice_is_about_the_newest():
    world = placed_world()
    (owed,) = world.order.outbox
    world.order = replace(world.order, outbox=(replace(owed, invoice_id=None),))
    (find,) = world.fire_timer()
    assert find.invoice_id == INVOICE.invoice_id


def test_payments_of_an_invoice_are_listed_while_a_moving_one_puts_off_the_end():
    world = placed_world()
    world.payments[PAYMENT] = facts_of(payment(PaymentStatus.CONFIRMING))
    asked = asked_about_invoices(world, START + timedelta(days=12))
    assert world.order.status is OrderStatus.AWAITING_PAYMENT
    assert world.now - asked[-1] < timedelta(hours=2.6)


def test_an_order_that_waits_for_a_human_is_asked_about_no_longer_than_it_would_have_waited_for_money():
    world = placed_world()
    world.payments[PAYMENT] = facts_of(payment(PaymentStatus.PARTIALLY_PAID, actually_paid=Decimal("0.0005")))
    asked = asked_about_invoices(world, START + timedelta(days=30))
    assert world.order.status is OrderStatus.NEEDS_REVIEW
    assert timedelta(0) <= START + UNPAID_FOR - asked[-1] < timedelta(hours=2.6)


def asked_about_invoices(world: World, until) -> list:
    """Let time pass, answer every question about payments, and return when an invoice's were listed."""
    asked = []
    while (due := wake_at(world.order)) is not None and due <= until:
        for effect in world.fire_timer():
            if isinstance(effect, FindPayments):
                asked.append(world.now)
            if not isinstance(effect, CreatePayment):
                world.tell(world.outcome(effect))
    world.now = max(world.now, until)
    return asked


def created(create: CreatePayment, offer: PaymentInstructions, *, at) -> PaymentCreated:
    return PaymentCreated(
        event_id=outcome_id(create.effect_id, "created"),
        occurred_at=at,
        order_id=ORDER,
        effect_id=create.effect_id,
        payment_instructions=offer,
    )


def test_a_list_that_is_told_twice_changes_nothing():
    world = placed_world()
    world.payments[PAYMENT] = facts_of(payment(PaymentStatus.CONFIRMING))
    (find,) = world.fire_timer()
    found = world.outcome(find)
    assert isinstance(found, PaymentsFound)
    world.tell(found)
    before = world.order
    assert world.tell(found) == ()
    assert world.order is before


# A way to pay that is made later


def test_an_order_without_a_way_to_pay_gets_one():
    world = World()
    (create,) = world.tell(placed(payment_instructions=None, pay_currency="xrp"))
    assert isinstance(create, CreatePayment)
    assert (create.effect_id, create.pay_currency, create.amount) == (f"{ORDER}/pay/1", "xrp", Decimal("5.00"))
    assert create.placed_at == START
    world.tell(world.outcome(create))
    assert world.order.offers == (INVOICE,)
    state = snapshot(world.order)
    assert (state.pay_url, state.payment_instructions) == (INVOICE.pay_url, INVOICE)
    assert [type(e) for e in world.pay(FINISHED)] == [BuyKey]


def test_the_ingress_has_used_up_the_first_attempt():
    world = placed_world(payment_instructions=ADDRESS.model_copy(update={"valid_until": START}))
    (create,) = world.tell(requested("one", "btc", at=START))
    assert create.effect_id == f"{ORDER}/pay/2"


@pytest.mark.parametrize("failure", [Failure.TRANSIENT, Failure.UNKNOWN])
def test_a_way_to_pay_is_asked_for_again_until_there_is_one(failure):
    world = World()
    effects = world.tell(placed(payment_instructions=None))
    for _ in range(10):
        world.tell(failed(effects[0], failure, at=world.now))
        effects = world.fire_timer()
        assert isinstance(effects[0], CreatePayment)
    world.tell(world.outcome(effects[0]))
    assert world.order.offers == (INVOICE,)
    assert RETRIES[Kind.PAY].cap == timedelta(minutes=10)


def test_a_refused_way_to_pay_is_told_and_the_buyer_may_ask_for_another():
    world = World()
    (create,) = world.tell(placed(payment_instructions=None, pay_currency="doge"))
    world.tell(failed(create, Failure.REFUSED, at=world.now, cause="coin_unavailable"))
    assert (causes(world), world.order.status) == (["payment_not_created"], OrderStatus.AWAITING_PAYMENT)
    (again,) = world.tell(requested("one", "btc", at=world.now))
    assert (again.pay_currency, again.attempt) == ("btc", 2)


def requested(action: str, coin: str | None, *, at) -> PaymentRequested:
    return PaymentRequested(
        event_id=EventId(f"pay/{action}"), occurred_at=at, order_id=ORDER, action_id=action, pay_currency=coin
    )


def test_a_buyer_may_choose_another_coin_but_not_ask_for_the_same_again():
    world = placed_world()
    assert world.tell(requested("same", None, at=START)) == ()
    (create,) = world.tell(requested("other", "btc", at=START))
    assert create.pay_currency == "btc"
    assert world.tell(requested("other", "btc", at=START)) == ()
    assert world.tell(requested("while it is made", "eth", at=START)) == ()
    created = PaymentCreated(
        event_id=outcome_id(create.effect_id, "created"),
        occurred_at=START,
        order_id=ORDER,
        effect_id=create.effect_id,
        payment_instructions=ADDRESS,
    )
    world.tell(created)
    assert snapshot(world.order).payment_instructions == ADDRESS
    assert world.tell(requested("again", "btc", at=START)) == ()
    assert [type(e) for e in world.pay(FINISHED)] == [BuyKey], "the invoice of before still pays"


def test_a_buyer_cannot_ask_for_ways_to_pay_without_end():
    world = placed_world()
    for n in range(3 * MOST_OFFERS):
        for create in world.tell(requested(f"click {n}", ["btc", "eth"][n % 2], at=START)):
            made = ADDRESS.model_copy(update={"payment_id": f"7{n}", "pay_currency": create.pay_currency})
            world.tell(
                PaymentCreated(
                    event_id=outcome_id(create.effect_id, "created"),
                    occurred_at=START,
                    order_id=ORDER,
                    effect_id=create.effect_id,
                    payment_instructions=made,
                )
            )
    assert len(world.order.offers) == MOST_OFFERS


def test_a_paid_order_gets_no_other_way_to_pay():
    world, _ = paid_world()
    assert world.tell(requested("one", "btc", at=START)) == ()
