import pytest

from bitloot.ids import OfferId, ProductId
from fulfillment.selling.offers import Finding, Grant, Holdings, Problem, findings, plan
from fulfillment.selling.ports import Offer

GAME = ProductId("game")


def offer(name: str = "o-1", product: str = GAME, **changes) -> Offer:
    values = {"status": "ACTIVE", "available": 0, "buyable": 5, "reserved": 0, "declared": 5, "declared_text": 5}
    return Offer(offer_id=OfferId(name), product_id=ProductId(product), name="Portal", **(values | changes))


def planned(*offers: Offer, unsent: int | None = 10, limit: int = 1000, grant: Grant | None = None):
    holdings = {} if unsent is None else {GAME: Holdings(unsent, unsent)}
    grants = {} if grant is None else {offers[0].offer_id: grant}
    return plan(offers, holdings, grants, limit=limit)


def problems(found: tuple[Finding, ...]) -> list[Problem]:
    return [each.problem for each in found]


@pytest.mark.parametrize(
    ("unsent", "limit", "granted", "wanted"),
    [(10, 1000, None, 10), (10, 4, None, 4), (10, 1000, 3, 3), (0, 1000, None, 0), (None, 1000, None, None)],
)
def test_what_is_declared(unsent, limit, granted, wanted):
    (found,) = planned(offer(), unsent=unsent, limit=limit, grant=Grant(granted=granted))
    assert found.wanted == wanted


def test_only_what_differs_is_told():
    (same,) = planned(offer(declared=10, declared_text=10))
    (other,) = planned(offer(declared=10, declared_text=9))
    assert (same.differs, other.differs) == (False, True)


def test_codes_are_declared_once_for_the_offer_that_customers_see():
    offers = offer("a", status="INACTIVE"), offer("c"), offer("b"), offer("d", product="other")
    assert {each.offer.offer_id: each.wanted for each in planned(*offers)} == {"a": 0, "b": 10, "c": 0, "d": None}


@pytest.mark.parametrize(
    ("changes", "free", "expected"),
    [
        ({}, 10, []),
        ({"status": "BLOCKED"}, 10, ["not_visible"]),
        ({"buyable": 0}, 0, ["no_stock"]),
        ({"buyable": 0}, 10, ["all_reserved"]),
        ({}, 2, ["low_stock"]),
        ({"available": 9}, 0, []),
        ({"declared": 3}, 10, ["not_declared"]),
        ({"declared": 30}, 10, ["over_declared"]),
    ],
)
def test_what_is_wrong_is_said(changes, free, expected):
    (found,) = planned(offer(**({"declared": 10} | changes)))
    told = findings(found, Holdings(10, free))
    assert problems(told) == expected
    assert all(each.detail.endswith(".") for each in told)
