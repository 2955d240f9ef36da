from dataclasses import replace

import pytest

from bitloot.contracts.events import Failure
from bitloot.contracts.sales import CodeFate, HandOverCode, LookUpSale, ReserveCode, SaleStatus, SettleCode
from fulfillment.selling import codec
from fulfillment.selling.reservation import HAND_OVER_WITHIN, Sale, decide, leaves, pending
from tests.unit.selling.sale_world import (
    RESERVATION,
    at,
    failed,
    fired,
    follow,
    handed,
    looked_up,
    missing,
    news,
    only,
    reserved,
    settled,
    told,
)


def paid(seconds: float = 2) -> Sale:
    """A sale with its code, whose hand-over is under way."""
    sale, _ = follow(told("BUYING", 0))
    sale, _ = follow(reserved(only(sale), 1), told("BOUGHT", seconds), sale=sale)
    return sale


def handed_over() -> Sale:
    sale = paid()
    return follow(handed(only(sale), 3), sale=sale)[0]


def test_a_reservation_gets_a_code():
    sale, effects = follow(told("BUYING", 0))
    assert [(type(each), each.product_id, each.attempt) for each in effects] == [(ReserveCode, "game", 1)]
    sale, effects = follow(reserved(effects[0], 1), sale=sale)
    assert (sale.code_id, effects) == (7, ())


def test_a_payment_hands_the_code_over_once():
    sale = paid()
    (effect,) = pending(sale)
    assert isinstance(effect, HandOverCode)
    assert (effect.code_id, effect.offer_id, len(effect.request_id)) == (7, "offer", 36)
    sale, effects = follow(told("OUT_OF_STOCK", 2.5), sale=sale)
    assert effects == ()
    sale, effects = follow(handed(effect, 3), told("OUT_OF_STOCK", 4), told("BOUGHT", 5), sale=sale)
    assert (sale.accepted, effects, pending(sale)) == (True, (), ())


def test_a_payment_that_is_told_first_reserves_and_hands_over():
    sale, effects = follow(told("OUT_OF_STOCK", 2))
    assert isinstance(effects[0], ReserveCode)
    assert isinstance(follow(reserved(effects[0], 3), sale=sale)[1][0], HandOverCode)


def test_a_delivery_is_recorded():
    sale, (effect,) = follow(told("DELIVERED", 4), sale=handed_over())
    assert isinstance(effect, SettleCode)
    assert effect.fate is CodeFate.DELIVERED
    sale, effects = follow(settled(effect, 5), sale=sale)
    assert (sale.fate, sale.closed_at, effects) == (CodeFate.DELIVERED, at(5), ())


@pytest.mark.parametrize("end", ["CANCELED", "REVERSED", "REFUNDED", "RETURNED"])
def test_a_code_that_never_left_is_free_again(end):
    sale, _ = follow(told("BUYING", 0))
    sale, (effect,) = follow(reserved(only(sale), 1), told(end, 2), sale=sale)
    assert isinstance(effect, SettleCode)
    assert effect.fate is CodeFate.FREE


@pytest.mark.parametrize(
    ("end", "fate"),
    [
        ("CANCELED", CodeFate.WITHHELD),
        ("RETURNED", CodeFate.RETURNED),
        ("REFUNDED", CodeFate.REFUNDED),
        ("REVERSED", CodeFate.REVERSED),
    ],
)
def test_a_code_that_was_handed_over_is_never_free_again(end, fate):
    _, (effect,) = follow(told(end, 4), sale=handed_over())
    assert effect.fate is fate


@pytest.mark.parametrize("failure", [Failure.UNKNOWN, Failure.REFUSED])
def test_a_code_that_may_have_left_is_never_free_again(failure):
    sale = paid()
    sale, (effect,) = follow(told("CANCELED", 3), failed(only(sale), 4, failure), sale=sale)
    assert effect.fate is CodeFate.WITHHELD


def test_a_code_that_is_known_not_to_have_left_is_free_again():
    sale = paid()
    _, (effect,) = follow(told("CANCELED", 3), failed(only(sale), 4, Failure.TRANSIENT), sale=sale)
    assert effect.fate is CodeFate.FREE


def test_a_transient_failure_after_a_doubtful_one_frees_nothing():
    sale = paid()
    sale, _ = follow(failed(only(sale), 3, Failure.UNKNOWN), fired(10), sale=sale)
    sale, _ = follow(looked_up(only(sale), 11, news("BOUGHT", 2)), sale=sale)
    assert isinstance(only(sale), HandOverCode)
    sale, _ = follow(failed(only(sale), 12, Failure.TRANSIENT), told("CANCELED", 13), sale=sale)
    assert only(sale).fate is CodeFate.WITHHELD


def test_an_unknown_outcome_is_asked_about_before_the_same_code_goes_again():
    sale = paid()
    first = only(sale)
    sale, effects = follow(failed(first, 3, Failure.UNKNOWN), sale=sale)
    assert effects == ()
    sale, (question,) = follow(fired(5), sale=sale)
    assert isinstance(question, LookUpSale)
    _, (again,) = follow(looked_up(question, 6), sale=sale)
    assert isinstance(again, HandOverCode)
    assert (again.code_id, again.request_id) == (first.code_id, first.request_id)
    assert again.effect_id != first.effect_id


def test_an_answer_that_it_was_delivered_ends_the_doubt():
    sale = paid()
    sale, (question,) = follow(failed(only(sale), 3, Failure.UNKNOWN), fired(5), sale=sale)
    _, (effect,) = follow(looked_up(question, 6, news("BOUGHT", 2), news("DELIVERED", 4)), sale=sale)
    assert (type(effect), effect.fate) == (SettleCode, CodeFate.DELIVERED)


def test_who_cannot_be_asked_gets_the_same_code_again():
    sale = paid()
    sale, (question,) = follow(failed(only(sale), 3, Failure.UNKNOWN), fired(5), sale=sale)
    _, (effect,) = follow(failed(question, 6, Failure.REFUSED), sale=sale)
    assert isinstance(effect, HandOverCode)


def test_a_refused_code_goes_again_only_when_it_is_asked_for():
    sale = paid()
    sale, (question,) = follow(failed(only(sale), 3, Failure.REFUSED), sale=sale)
    assert isinstance(question, LookUpSale)
    sale, effects = follow(looked_up(question, 4, news("BOUGHT", 2)), sale=sale)
    assert effects == ()
    _, (effect,) = follow(told("OUT_OF_STOCK", 5), sale=sale)
    assert isinstance(effect, HandOverCode)


def test_failures_wait_longer_and_longer_as_long_as_there_is_time():
    sale, waits, seconds = paid(), [], 3.0
    for _ in range(8):
        sale, _ = follow(failed(only(sale), seconds, Failure.TRANSIENT), sale=sale)
        waits.append((sale.wake_at - at(seconds)).total_seconds())
        seconds += waits[-1]
        sale, _ = follow(fired(seconds), sale=sale)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    late = HAND_OVER_WITHIN.total_seconds() + 300
    sale, effects = follow(failed(only(sale), late, Failure.TRANSIENT), sale=sale)
    assert (sale.given_up, sale.problem, effects) == (True, "late", ())


def test_a_wait_that_is_asked_for_is_kept():
    sale = paid()
    sale, _ = follow(failed(only(sale), 3, Failure.TRANSIENT, retry_after=45), sale=sale)
    assert sale.wake_at == at(48)


def test_an_empty_stock_is_tried_again():
    sale, (effect,) = follow(told("BUYING", 0))
    sale, _ = follow(missing(effect, 1), sale=sale)
    assert (sale.problem, sale.wake_at) == ("out_of_stock", at(2))
    _, (again,) = follow(fired(2), sale=sale)
    assert isinstance(again, ReserveCode)


def test_a_payment_does_not_wait_for_the_next_try_to_find_a_code():
    sale, (effect,) = follow(told("BUYING", 0))
    _, (again,) = follow(missing(effect, 1), told("BOUGHT", 1.5), sale=sale)
    assert isinstance(again, ReserveCode)


def test_a_cancelation_waits_for_the_reservation_that_is_under_way():
    sale, (effect,) = follow(told("BUYING", 0))
    sale, effects = follow(told("CANCELED", 1), sale=sale)
    assert effects == ()
    sale, (release,) = follow(reserved(effect, 2), sale=sale)
    assert release.fate is CodeFate.FREE
    sale, effects = follow(settled(release, 3), told("BUYING", 4), told("BUYING", 5), sale=sale)
    assert effects == ()


def test_what_is_over_gets_no_code():
    sale, (effect,) = follow(told("CANCELED", 1))
    assert isinstance(effect, SettleCode)
    _, effects = follow(settled(effect, 2), told("BUYING", 3), told("BOUGHT", 4), told("OUT_OF_STOCK", 5), sale=sale)
    assert effects == ()


def test_an_old_cancelation_does_not_take_a_paid_code_away():
    sale, effects = follow(told("CANCELED", 3, kinguin=1), sale=paid(2))
    assert (sale.status, effects) == (SaleStatus.BOUGHT, pending(sale))


def test_an_old_cancelation_stands_when_the_code_is_not_taken():
    sale = paid(5)
    sale, (question,) = follow(failed(only(sale), 6, Failure.REFUSED), sale=sale)
    sale, (effect,) = follow(
        looked_up(question, 7, news("BUYING", 0), news("CANCELED", 3), news("BOUGHT", 5)), sale=sale
    )
    assert (sale.status, effect.fate) == (SaleStatus.CANCELED, CodeFate.WITHHELD)


def test_a_delivery_that_cannot_be_explained_withholds_the_code():
    sale, _ = follow(told("BUYING", 0))
    _, (effect,) = follow(reserved(only(sale), 1), told("DELIVERED", 2), sale=sale)
    assert effect.fate is CodeFate.WITHHELD


def test_a_delivery_of_another_code_is_a_problem():
    sale, _ = follow(told("DELIVERED", 4, external_id="code-8"), sale=handed_over())
    assert sale.problem == "foreign_delivery"


def test_the_newer_of_two_ends_stands():
    sale, (effect,) = follow(told("DELIVERED", 4), sale=handed_over())
    sale, (effect,) = follow(settled(effect, 5), told("REFUNDED", 9), sale=sale)
    sale, _ = follow(settled(effect, 10), sale=sale)
    sale, effects = follow(told("RETURNED", 11, kinguin=8), sale=sale)
    assert (sale.status, effects) == (SaleStatus.REFUNDED, ())
    _, (effect,) = follow(told("REVERSED", 12), sale=sale)
    assert effect.fate is CodeFate.REVERSED


def test_a_repeat_sends_what_is_owed_again_and_changes_nothing():
    sale, effects = follow(told("BUYING", 0))
    again, repeated = decide(sale, told("BUYING", 0))
    assert again is sale
    assert repeated == effects


def test_an_outcome_is_taken_once():
    sale = paid()
    effect = only(sale)
    sale, _ = follow(handed(effect, 3), sale=sale)
    again, effects = decide(sale, handed(effect, 3))
    assert again is sale
    assert effects == ()


def test_an_effect_without_outcome_is_sent_again_under_its_id():
    sale = paid()
    effect = only(sale)
    sale, again = follow(fired(400), sale=sale)
    assert again == (effect,)
    assert follow(fired(401), sale=sale)[0] is sale


def test_silence_is_asked_about_with_growing_patience():
    sale, seconds, waits = handed_over(), 3.0, []
    for _ in range(4):
        waits.append((sale.wake_at - at(seconds)).total_seconds())
        seconds += waits[-1]
        sale, (question,) = follow(fired(seconds), sale=sale)
        sale, _ = follow(looked_up(question, seconds), sale=sale)
    assert waits == [120, 240, 480, 960]


def test_a_sale_that_is_over_leaves_after_its_retention():
    sale, (effect,) = follow(told("CANCELED", 1))
    sale, _ = follow(settled(effect, 2), sale=sale)
    days = 24 * 3600
    assert sale.wake_at == at(2 + 60 * days)
    assert not leaves(sale, fired(59 * days))
    assert leaves(sale, fired(61 * days))
    assert not leaves(sale, told("REFUNDED", 61 * days))


@pytest.mark.parametrize(
    "sale", [Sale(RESERVATION), paid(), handed_over(), replace(paid(), doubt=True, problem="late")]
)
def test_a_sale_comes_back_from_the_table_as_it_was(sale):
    value = codec.sale_to_bytes(sale)
    assert codec.sale_from_bytes(value) == sale
    assert codec.wake_of(value) == sale.wake_at
