"""A canceled purchase and an admin who asks to go on, while what became of the purchase is still awaited."""

import pytest

from bitloot.contracts.effects import BuyKey
from bitloot.contracts.events import Failure, Notice
from bitloot.contracts.state import ItemStatus, OrderStatus
from tests.unit.fulfillment.order_world import Reservation, failed, given_up, paid_world, reprocess


def canceled_and_asked_for():
    """Kinguin has canceled r1 before the worker could report it, and an admin asks to go on all the same."""
    world, (buy,) = paid_world()
    canceled = Reservation("r1", buy.external_id, 1, given=False)
    world.tell(world.notice(canceled, Notice.CANCEL))
    assert world.order.status is OrderStatus.NEEDS_REVIEW
    assert world.tell(reprocess("one", at=world.now)) == ()
    return world, buy


def test_it_is_bought_anew_once_the_first_purchase_is_reported():
    world, buy = canceled_and_asked_for()
    (anew,) = world.tell(given_up(buy, at=world.now, given=False))
    assert isinstance(anew, BuyKey)
    assert anew.external_id == f"{buy.external_id}-p2"


@pytest.mark.parametrize("failure", Failure)
def test_it_is_bought_anew_once_the_first_purchase_has_failed(failure: Failure):
    world, buy = canceled_and_asked_for()
    (anew,) = world.tell(failed(buy, failure, at=world.now))
    assert isinstance(anew, BuyKey)
    assert anew.external_id == f"{buy.external_id}-p2"


def test_nothing_is_bought_anew_unless_somebody_asks():
    world, (buy,) = paid_world()
    world.tell(world.notice(Reservation("r1", buy.external_id, 1, given=False), Notice.CANCEL))
    assert world.tell(given_up(buy, at=world.now, given=False)) == ()
    assert world.order.status is OrderStatus.NEEDS_REVIEW


@pytest.mark.parametrize("given", [False, True])
def test_what_was_canceled_is_not_taken_for_what_is_bought_anew(*, given: bool):
    world, buy = canceled_and_asked_for()
    world.tell(given_up(buy, at=world.now, given=False))
    assert world.tell(given_up(buy, at=world.now, given=given)) == ()
    (item,) = world.order.purchases
    assert (item.status, item.reservation_id) == (ItemStatus.BUYING, None)
