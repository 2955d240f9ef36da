"""The mails beside the one that completes an order, addresses that change, links that are revoked, and news of mails."""

from datetime import timedelta
from decimal import Decimal

import pytest

from bitloot.contracts.effects import SendMail
from bitloot.contracts.events import Failure, MailDelivery, MailKind, Notice, PaymentStatus
from bitloot.contracts.state import OrderStatus
from fulfillment.order import pending, wake_at
from fulfillment.order.policy import Kind
from tests.unit.fulfillment.order_world import (
    ORDER,
    World,
    address,
    buyer_erased,
    email_changed,
    failed,
    link_revoked,
    mail_news,
    mail_requested,
    paid_world,
    payment,
    placed,
    reprocess,
)

BUYER, RIGHT = address("buyer@example.com"), address("right@example.com")
MAIL = f"{ORDER}/mail/1"
NOTICE = f"{ORDER}/notice/1"


def stored_world():
    """An order whose keys are stored, and the mail that it asks for."""
    world = World()
    world.tell(placed(1))
    (buy,) = world.pay(payment(PaymentStatus.FINISHED, price_amount=Decimal(5)))
    world.tell(world.outcome(buy))
    (store,) = world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    (mail,) = world.tell(world.outcome(store))
    return world, mail


@pytest.fixture
def fulfilled():
    world, mail = stored_world()
    world.tell(world.outcome(mail))
    assert world.order.status is OrderStatus.FULFILLED
    return world


def known(world, message=MAIL):
    return next(mail for mail in world.order.mails if mail.message_id == message)


# --- Send again -----------------------------------------------------------------------------------


def test_the_mail_that_completes_an_order_is_listed_with_how_far_it_came():
    world, mail = stored_world()
    assert (known(world).kind, known(world).delivery) == (MailKind.KEYS, MailDelivery.PENDING)
    world.tell(world.outcome(mail))

    assert known(world).delivery is MailDelivery.SENT
    assert (known(world).sent_at, known(world).provider_message_id) == (world.now, "m")
    assert known(world).recipient == BUYER


def test_send_again_is_a_new_message_and_a_double_click_is_one(fulfilled):
    (again,) = fulfilled.tell(mail_requested("one", at=fulfilled.now))
    assert fulfilled.tell(mail_requested("one", at=fulfilled.now)) == ()

    assert isinstance(again, SendMail)
    assert (again.message_id, again.kind, again.email) == (NOTICE, MailKind.KEYS, BUYER)
    assert again.object_key == f"keys/{ORDER}.json"
    fulfilled.tell(fulfilled.outcome(again))
    (third,) = fulfilled.tell(mail_requested("two", at=fulfilled.now))
    assert third.message_id == f"{ORDER}/notice/2"
    assert fulfilled.order.status is OrderStatus.FULFILLED
    assert fulfilled.order.incidents == ()


def test_what_is_on_its_way_already_is_not_asked_for_twice(fulfilled):
    fulfilled.tell(mail_requested("one", at=fulfilled.now))
    assert fulfilled.tell(mail_requested("two", at=fulfilled.now)) == ()
    world, mail = stored_world()

    assert world.tell(mail_requested("one", at=world.now)) == ()
    assert pending(world.order) == (mail,)


def test_before_the_keys_are_there_only_the_page_can_be_sent():
    world = World()
    assert world.tell(mail_requested("early", at=world.now)) == ()
    world.tell(placed(1))
    (mail,) = world.tell(mail_requested("one", at=world.now))

    assert (mail.kind, mail.object_key) == (MailKind.PAGE, "")


def test_a_mail_that_is_refused_for_good_is_told_in_the_list_and_stops_nothing(fulfilled):
    (again,) = fulfilled.tell(mail_requested("one", at=fulfilled.now))
    fulfilled.tell(failed(again, Failure.REFUSED, at=fulfilled.now, cause="rejected"))

    assert (known(fulfilled, NOTICE).delivery, known(fulfilled, NOTICE).detail) == (MailDelivery.FAILED, "rejected")
    assert (fulfilled.order.status, fulfilled.order.incidents) == (OrderStatus.FULFILLED, ())
    assert wake_at(fulfilled.order) is None


def test_a_mail_whose_answer_was_lost_is_tried_again_as_the_same(fulfilled):
    (again,) = fulfilled.tell(mail_requested("one", at=fulfilled.now))
    fulfilled.tell(fulfilled.outcome(again, "lost"))
    (retry,) = fulfilled.fire_timer()

    assert (retry.message_id, retry.effect_id) == (NOTICE, f"{ORDER}/notice/2")
    fulfilled.tell(fulfilled.outcome(retry))
    assert [notice.message_id for notice in fulfilled.notices] == [NOTICE]
    assert fulfilled.order.outbox == ()


def test_a_confirmation_goes_to_the_new_address_and_changes_nothing(fulfilled):
    asked = mail_requested("one", at=fulfilled.now, kind=MailKind.CONFIRM, email=RIGHT)
    (confirm,) = fulfilled.tell(asked)

    assert (confirm.kind, confirm.email, confirm.object_key) == (MailKind.CONFIRM, RIGHT, "")
    assert (fulfilled.order.email, fulfilled.order.generation) == (BUYER, 1)


# --- Notices --------------------------------------------------------------------------------------


def test_a_review_that_lasts_is_told_once_for_each_cause():
    world, (buy,) = paid_world()
    world.tell(failed(buy, Failure.REFUSED, at=world.now, cause="out_of_stock"))
    assert world.order.status is OrderStatus.NEEDS_REVIEW
    (notice,) = world.fire_timer()
    assert (notice.kind, notice.about, notice.object_key) == (MailKind.REVIEW, "out_of_stock", "")
    world.tell(world.outcome(notice))

    (buy,) = world.tell(reprocess("one", at=world.now))
    assert world.tell(failed(buy, Failure.REFUSED, at=world.now, cause="out_of_stock")) == ()
    assert world.order.outbox == ()
    (buy,) = world.tell(reprocess("two", at=world.now))
    world.tell(failed(buy, Failure.REFUSED, at=world.now, cause="price_changed"))
    (other,) = world.fire_timer()
    assert (other.message_id, other.about) == (f"{ORDER}/notice/2", "price_changed")


def test_a_review_that_is_over_within_a_minute_is_not_told():
    world, (buy,) = paid_world()
    world.tell(failed(buy, Failure.REFUSED, at=world.now, cause="out_of_stock"))
    world.tell(reprocess("one", at=world.now + timedelta(seconds=30)))

    assert [owed.kind for owed in world.order.outbox] == [Kind.BUY]
    assert world.order.mails == ()


def test_when_only_the_mail_fails_no_other_mail_is_sent():
    world, mail = stored_world()
    world.tell(failed(mail, Failure.REFUSED, at=world.now, cause="bad_recipient"))

    assert world.order.status is OrderStatus.NEEDS_REVIEW
    assert world.order.outbox == ()


@pytest.mark.parametrize(
    ("status", "kind", "about"),
    [
        (PaymentStatus.EXPIRED, MailKind.CANCELED, "canceled"),
        (PaymentStatus.FAILED, MailKind.CANCELED, "failed"),
    ],
)
def test_an_order_that_nobody_paid_is_told_once(status, kind, about):
    world = World()
    world.tell(placed(1))
    world.tell(payment(status))
    world.settle(world.fire_timer(world.now + timedelta(days=8)))
    assert world.order.closed
    (notice,) = world.fire_timer()

    assert (notice.kind, notice.about) == (kind, about)
    world.tell(world.outcome(notice))
    assert wake_at(world.order) is None


def test_a_refund_is_told():
    world, (buy,) = paid_world()
    world.tell(failed(buy, Failure.TRANSIENT, at=world.now))
    world.tell(payment(PaymentStatus.REFUNDED))
    (notice,) = world.fire_timer()

    assert (notice.kind, notice.about) == (MailKind.REFUNDED, "refunded")


# --- Addresses and links --------------------------------------------------------------------------


def test_a_new_address_gets_a_newly_rendered_mail_and_revokes_the_links(fulfilled):
    (mail,) = fulfilled.tell(email_changed("one", RIGHT, at=fulfilled.now, generation=1))

    assert (mail.email, mail.kind, mail.link_generation) == (RIGHT, MailKind.KEYS, 2)
    assert mail.message_id == NOTICE
    assert (fulfilled.order.email, fulfilled.order.generation) == (RIGHT, 2)
    assert fulfilled.tell(email_changed("one", RIGHT, at=fulfilled.now, generation=1)) == ()


def test_a_confirmation_that_is_older_than_the_links_changes_nothing(fulfilled):
    fulfilled.tell(email_changed("one", RIGHT, at=fulfilled.now, generation=1))
    assert fulfilled.tell(email_changed("two", address("wrong@example.com"), at=fulfilled.now, generation=1)) == ()

    assert fulfilled.order.email == RIGHT


def test_an_address_corrected_before_the_mail_was_accepted_replaces_that_mail():
    world, old = stored_world()
    (mail,) = world.tell(email_changed("one", RIGHT, at=world.now))
    assert (mail.message_id, mail.email) == (f"{ORDER}/mail/2", RIGHT)
    world.tell(world.outcome(old))  # it had left already
    assert world.order.status is OrderStatus.DELIVERING
    world.tell(world.outcome(mail))

    assert world.order.status is OrderStatus.FULFILLED
    assert world.order.incidents == ()
    assert known(world).delivery is MailDelivery.SENT


def test_an_address_that_was_refused_is_corrected_and_the_order_goes_on():
    world, mail = stored_world()
    world.tell(failed(mail, Failure.REFUSED, at=world.now, cause="bad_recipient"))
    (mail,) = world.tell(email_changed("one", RIGHT, at=world.now))
    world.tell(world.outcome(mail))

    assert world.order.status is OrderStatus.FULFILLED


def test_before_there_are_keys_a_new_address_gets_the_new_link():
    world, _ = paid_world()
    (mail,) = world.tell(email_changed("one", RIGHT, at=world.now))

    assert (mail.kind, mail.email, mail.link_generation) == (MailKind.PAGE, RIGHT, 2)


def test_links_are_revoked_once_for_each_click(fulfilled):
    assert fulfilled.tell(link_revoked("one", at=fulfilled.now)) == ()
    assert fulfilled.tell(link_revoked("one", at=fulfilled.now)) == ()
    assert fulfilled.order.generation == 2
    fulfilled.tell(link_revoked("two", at=fulfilled.now))
    assert fulfilled.order.generation == 3


def test_a_mail_that_waits_with_a_revoked_link_is_replaced():
    world, _ = stored_world()
    (mail,) = world.tell(link_revoked("one", at=world.now))

    assert (mail.message_id, mail.link_generation) == (f"{ORDER}/mail/2", 2)


# --- News of mails --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        (["delivered", "sent", "delayed"], "delivered"),
        (["delayed", "delivered"], "delivered"),
        (["delivered", "bounced"], "bounced"),
        (["bounced", "delivered"], "bounced"),
        (["delivered", "complained", "bounced"], "complained"),
        (["suppressed", "sent"], "suppressed"),
    ],
)
def test_news_counts_by_rank(fulfilled, told, believed):
    for each in told:
        assert fulfilled.tell(mail_news(MAIL, MailDelivery(each), at=fulfilled.now)) == ()

    assert known(fulfilled).delivery == believed


def test_news_that_is_faster_than_the_answer_is_kept():
    world, mail = stored_world()
    world.tell(mail_news(MAIL, MailDelivery.DELIVERED, at=world.now))
    world.tell(world.outcome(mail))

    assert known(world).delivery is MailDelivery.DELIVERED
    assert known(world).sent_at == world.now


def test_keys_that_cannot_be_delivered_are_an_incident_once(fulfilled):
    for _ in range(2):
        fulfilled.tell(mail_news(MAIL, MailDelivery.BOUNCED, at=fulfilled.now, detail="Permanent NoEmail"))

    assert [i.cause for i in fulfilled.order.incidents] == ["mail_bounced"]
    assert fulfilled.order.status is OrderStatus.FULFILLED


def test_news_of_a_mail_that_is_not_ours_says_nothing(fulfilled):
    before = fulfilled.order
    fulfilled.tell(mail_news(f"{ORDER}/mail/7", MailDelivery.BOUNCED, at=fulfilled.now))

    assert fulfilled.order is before


def test_the_list_of_mails_stays_short(fulfilled):
    for n in range(60):
        (mail,) = fulfilled.tell(mail_requested(f"click {n}", at=fulfilled.now))
        fulfilled.tell(fulfilled.outcome(mail))

    assert len(fulfilled.order.mails) == 50
    assert known(fulfilled).message_id == MAIL


# --- Erasure --------------------------------------------------------------------------------------


def test_an_order_whose_buyer_was_erased_owes_no_mail_and_takes_no_address(fulfilled):
    fulfilled.tell(buyer_erased("one", at=fulfilled.now))
    before = fulfilled.order.version

    assert fulfilled.tell(mail_requested("two", at=fulfilled.now)) == ()
    assert fulfilled.tell(email_changed("three", RIGHT, at=fulfilled.now)) == ()
    assert fulfilled.tell(buyer_erased("four", at=fulfilled.now)) == ()

    assert fulfilled.order.email == BUYER, "it stays sealed, and nobody can open it"
    assert fulfilled.order.version == before + 3, "each click has its answer"
    accepted = {answer.action_id: (answer.accepted, answer.detail) for answer in fulfilled.order.answers}
    assert accepted["one"] == (True, "")
    assert {accepted[each] for each in ("two", "three", "four")} == {(False, "The buyer's data was erased.")}


def test_what_nobody_was_asked_to_send_yet_is_not_sent_after_an_erasure():
    world, mail = stored_world()
    world.tell(failed(mail, Failure.REFUSED, at=world.now, cause="buyer_erased"))
    assert world.order.status is OrderStatus.NEEDS_REVIEW
    world.tell(buyer_erased("one", at=world.now))

    assert world.notices == []
    assert not any(owed.kind is Kind.NOTICE for owed in world.order.outbox)


def test_nothing_is_erased_of_an_order_that_was_never_placed():
    world = World()
    assert world.tell(buyer_erased("one", at=world.now)) == ()
    assert world.order.erased_at is None


def test_links_are_revoked_after_the_buyer_was_erased_and_no_mail_is_written_anew():
    world, mail = stored_world()
    world.tell(buyer_erased("one", at=world.now))
    assert world.tell(link_revoked("two", at=world.now)) == ()
    assert (world.order.generation, world.order.answers[-1].accepted) == (2, True)
    world.tell(world.outcome(mail))  # it had left before
    assert (world.order.status, world.order.incidents) == (OrderStatus.FULFILLED, ())


def test_the_keys_of_an_erased_buyer_wait_for_a_human_once_their_mail_is_refused():
    world, mail = stored_world()
    world.tell(failed(mail, Failure.TRANSIENT, at=world.now))
    world.tell(buyer_erased("one", at=world.now))
    (mail,) = world.fire_timer()
    world.tell(failed(mail, Failure.REFUSED, at=world.now, cause="buyer_erased"))
    assert (world.order.status, world.order.review.cause) == (OrderStatus.NEEDS_REVIEW, "buyer_erased")
