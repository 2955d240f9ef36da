"""How items become Kinguin orders: nothing lost, nothing twice, every limit kept, always the same."""

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot.ids import ItemId, ProductId
from fulfillment.purchases import LIMITS, Limits, Line, split

ESA = LIMITS["esa"]


def line(item: int, product: str, quantity: int, **more: object) -> Line:
    return Line(ItemId(f"i{item}"), ProductId(product), quantity, Decimal(5), "eur", **more)  # type: ignore[arg-type]


@st.composite
def items(draw: st.DrawFn) -> list[Line]:
    lines = []
    for number in range(draw(st.integers(0, 14))):
        quantity = draw(st.one_of(st.integers(1, 12), st.integers(1, 40)))
        wholesale = draw(st.booleans())
        offer = draw(st.sampled_from([None, "offer-1", "offer-2"]))
        product = draw(st.sampled_from("abcdefghijklmnop"))
        alone = draw(st.integers(0, 9)) == 0
        lines.append(line(number, product, quantity, offer_id=offer, wholesale=wholesale, alone=alone))
    return lines


def keys(lines) -> Counter[tuple[str, str, str | None]]:
    counted: Counter[tuple[str, str, str | None]] = Counter()
    for each in lines:
        counted[each.item_id, each.product_id, each.offer_id] += each.quantity
    return counted


@given(items(), st.sampled_from([*LIMITS.values(), Limits(per_line=2, lines=3, total=4)]))
def test_nothing_is_lost_and_nothing_is_bought_twice(lines, limits):
    assert keys(part for purchase in split(lines, limits) for part in purchase) == keys(lines)


@given(items())
def test_every_order_keeps_kinguins_limits(lines):
    for purchase in split(lines, ESA):
        products = [part.product_id for part in purchase]
        assert 1 <= len(purchase) <= 10
        assert len(set(products)) == len(products)
        if any(part.wholesale for part in purchase):
            (only,) = purchase
            assert only.offer_id is not None
            assert 10 <= only.quantity <= 1000
        else:
            assert all(1 <= part.quantity <= 9 for part in purchase)
            assert sum(part.quantity for part in purchase) <= 90
        assert len(purchase) == 1 or not any(part.alone for part in purchase)


@given(items())
def test_it_is_the_same_every_time_and_needs_no_second_time(lines):
    purchases = split(lines, ESA)
    assert split(lines, ESA) == purchases
    assert split([part for purchase in purchases for part in purchase], ESA) == purchases


@given(items())
def test_a_reservation_is_of_one_item(lines):
    assert split(lines, LIMITS["reservations"]) == tuple(
        (line(int(each.item_id[1:]), each.product_id, each.quantity, offer_id=each.offer_id, alone=each.alone),)
        for each in lines
    )


def shapes(*lines: Line) -> list[list[tuple[str, int]]]:
    return [[(part.product_id, part.quantity) for part in purchase] for purchase in split(lines, ESA)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        ([line(1, "a", 9), line(2, "b", 9)], [[("a", 9), ("b", 9)]]),
        ([line(1, "a", 10)], [[("a", 9)], [("a", 1)]]),
        ([line(1, "a", 12), line(2, "b", 1)], [[("a", 9), ("b", 1)], [("a", 3)]]),
        ([line(1, "a", 1), line(2, "a", 1)], [[("a", 1)], [("a", 1)]]),
        ([line(1, "a", 1, alone=True), line(2, "b", 1)], [[("a", 1)], [("b", 1)]]),
        ([line(1, "a", 1005, offer_id="o", wholesale=True)], [[("a", 1000)], [("a", 5)]]),
        ([line(1, "a", 20, wholesale=True)], [[("a", 9)], [("a", 9)], [("a", 2)]]),  # no offer is named
        ([line(1, "a", 9, offer_id="o", wholesale=True), line(2, "b", 1)], [[("a", 9), ("b", 1)]]),
    ],
)
def test_by_example(lines, expected):
    assert shapes(*lines) == expected


def test_the_largest_items_are_split_too():
    purchases = split([line(n, f"p{n}", 1000) for n in range(10)], ESA)
    assert [len(each) for each in purchases] == [10] * 112
    assert sum(part.quantity for each in purchases for part in each) == 10_000


def test_the_eleventh_product_begins_a_second_order():
    assert [len(each) for each in shapes(*(line(n, f"p{n}", 9) for n in range(11)))] == [10, 1]


@pytest.mark.parametrize("quantity", [0, -1])
def test_a_line_of_nothing_is_a_mistake(quantity):
    with pytest.raises(ValueError, match="one key at least"):
        split([line(1, "a", quantity)], ESA)
