"""Whole days of sales in any order, with repeats, losses and crashes: no code is used twice."""

from collections import Counter

import pytest

from bitloot.contracts.sales import SaleStatus
from fulfillment.selling.reservation import pending
from tests.unit.selling.sale_world import SaleWorld

SEEDS = range(150)


@pytest.fixture(scope="module")
def days() -> list[SaleWorld]:
    worlds = []
    for seed in SEEDS:
        world = SaleWorld(seed, sales=8, codes=7)
        world.run(900)
        worlds.append(world)
    return worlds


def test_no_code_is_shown_to_two_customers(days):
    for world in days:
        owners = Counter(code for each in world.kinguin.values() for code in set(each.sent))
        assert max(owners.values(), default=0) <= 1, world.kinguin


def test_no_sale_is_sent_two_codes(days):
    assert all(len(set(each.sent)) <= 1 for world in days for each in world.kinguin.values())


def test_a_code_that_left_stays_with_its_sale(days):
    for world in days:
        for code in world.codes:
            if code.left:
                assert code.owner is not None
                assert code.id in world.kinguin[code.owner].sent


def test_every_code_that_did_not_leave_is_free_in_the_end(days):
    for world in days:
        held = [code for code in world.codes if code.owner is not None and not code.left]
        doubtful = [code for code in held if world.sale(code.owner).sent]
        # A request that was lost on its way there might have arrived: such a code is withheld, and no other.
        assert held == doubtful


def test_every_sale_ends_and_nothing_is_owed(days):
    for world in days:
        for each in world.heard_of():
            sale = world.sale(each.id)
            assert pending(sale) == ()
            assert sale.closed_at is not None or each.status is SaleStatus.OUT_OF_STOCK
            # Nobody asks what came after a delivery: whatever it is, the code is not used again.
            assert sale.status in (each.status, SaleStatus.DELIVERED) or not sale.over


def test_the_days_are_worth_looking_at(days):
    ends = Counter(each.status for world in days for each in world.kinguin.values())
    assert min(ends[status] for status in ("DELIVERED", "CANCELED", "RETURNED", "REFUNDED", "REVERSED")) > 10
    tries = Counter(len(each.sent) for world in days for each in world.kinguin.values())
    assert tries[2] > 10
