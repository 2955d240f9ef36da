"""A mail of which nobody can tell any more whether it was sent."""

from decimal import Decimal

from bitloot.contracts.effects import SendMail
from bitloot.contracts.events import Failure, Notice, PaymentStatus
from bitloot.contracts.state import OrderStatus
from tests.unit.fulfillment.order_world import ORDER, World, failed, payment, placed, reprocess


def doubtful_world(cause: str) -> World:
    """An order that waits for a human because its mail was refused for `cause`."""
    world = World()
    world.tell(placed(1))
    (buy,) = world.pay(payment(PaymentStatus.FINISHED, price_amount=Decimal(5)))
    world.tell(world.outcome(buy))
    (store,) = world.tell(world.notice(world.reservations[0], Notice.DELIVERED, codes=True))
    (mail,) = world.tell(world.outcome(store))
    world.tell(failed(mail, Failure.REFUSED, at=world.now, cause=cause))
    assert (world.order.status, world.order.review.cause) == (OrderStatus.NEEDS_REVIEW, cause)
    return world


def test_a_mail_of_unknown_outcome_is_sent_under_a_new_number_when_an_admin_asks():
    world = doubtful_world("mail_outcome_unknown")
    (mail,) = world.tell(reprocess("one", at=world.now))

    assert isinstance(mail, SendMail)
    assert mail.message_id == f"{ORDER}/mail/2"
    assert world.tell(reprocess("one", at=world.now)) == ()
    world.tell(world.outcome(mail))
    assert world.order.status is OrderStatus.FULFILLED
    assert world.order.incidents == ()


def test_a_mail_that_was_refused_for_another_reason_keeps_its_number():
    world = doubtful_world("bad_recipient")
    (mail,) = world.tell(reprocess("one", at=world.now))

    assert mail.message_id == f"{ORDER}/mail/1"
