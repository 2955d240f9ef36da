"""What we offer, and what we never would."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot.errors import Cause, Refused
from fulfillment.kinguin.esa.prices import PricePolicy
from fulfillment.kinguin.esa.products import Offer, Product, Stock
from tests.unit.kinguin_esa.buyer import APPLE, line

RATES = {"usd": Decimal("0.92"), "gbp": Decimal("1.17")}
prices = st.decimals("0.01", "500", places=2)


def offer(price: str | Decimal, qty: int, offer_id: str = "o", text: int = 0) -> Offer:
    return Offer(offer_id, Decimal(price), Stock(qty, text))


def product(*offers: Offer, price: str | None = None, qty: int = 0) -> Product:
    return Product(APPLE, None if price is None else Decimal(price), Stock(qty, 0), offers)


@pytest.mark.parametrize(
    ("currency", "allowance", "cap"),
    [
        ("eur", "0", "10"),
        ("EUR", "5", "10.5"),
        ("usd", "0", "9.2"),
        ("gbp", "10", "12.87"),
        ("usd", "2.5", "9.43"),
    ],
)
def test_the_cap_is_what_the_buyer_paid_in_euros_and_the_allowance(currency, allowance, cap):
    policy = PricePolicy(Decimal(allowance), RATES)
    assert policy.cap(line(price="10", currency=currency)) == Decimal(cap)


@pytest.mark.parametrize("currency", ["jpy", ""])
def test_a_currency_without_a_rate_is_refused(currency):
    with pytest.raises(Refused, match="KINGUIN_EUR_RATES") as caught:
        PricePolicy(rates=RATES).cap(line(currency=currency))
    assert caught.value.cause is Cause.REJECTED


@given(st.lists(st.tuples(prices, st.integers(0, 12)), max_size=6), st.integers(1, 9), prices)
def test_a_price_is_that_of_an_offer_with_enough_and_within_the_cap(offers, quantity, expected):
    known = product(*(offer(price, qty) for price, qty in offers))
    enough = [price for price, qty in offers if qty >= quantity]
    wanted = line(APPLE, quantity, price=str(expected))
    try:
        told = PricePolicy().offer_for(wanted, known)
    except Refused as error:
        cause = error.cause
        assert cause is (Cause.PRICE_CHANGED if enough else Cause.OUT_OF_STOCK)
        assert not enough or min(enough) > expected
    else:
        assert told == min(enough)
        assert told <= expected


def test_the_cheapest_offers_count_together():
    known = product(offer("4", 1, "a"), offer("4", 1, "b"), offer("9", 50, "c"), price="4", qty=2)
    assert PricePolicy().offer_for(line(APPLE, 2), known) == 4
    assert PricePolicy().offer_for(line(APPLE, 3), known) == 9


def test_only_texts_count_where_only_texts_are_wanted():
    known = product(offer("4", 5, "a", text=0), offer("6", 5, "b", text=2))
    assert PricePolicy(key_type="text").offer_for(line(APPLE, 2), known) == 6
    with pytest.raises(Refused) as caught:
        PricePolicy(key_type="text").offer_for(line(APPLE, 3), known)
    assert caught.value.cause is Cause.OUT_OF_STOCK


TIERS = tuple((begins, Decimal(price)) for begins, price in [(10, "5.5"), (50, "5.4"), (100, "5.3"), (500, "5.2")])


@pytest.mark.parametrize(
    ("quantity", "price"),
    [(1, "5.79"), (9, "5.79"), (10, "5.5"), (49, "5.5"), (50, "5.4"), (100, "5.3"), (500, "5.2"), (1000, "5.2")],
)
def test_a_large_quantity_has_the_price_of_its_tier(quantity, price):
    known = product(offer("1", 5000, "cheaper"), Offer("o", Decimal("5.79"), Stock(1000, 0), TIERS))
    assert PricePolicy().offer_for(line(APPLE, quantity, offer_id="o"), known) == Decimal(price)


@pytest.mark.parametrize("known", [product(offer("1", 5, "another")), product(offer("1", 1))])
def test_an_offer_that_is_gone_is_out_of_stock(known):
    with pytest.raises(Refused) as caught:
        PricePolicy().offer_for(line(APPLE, 2, offer_id="o"), known)
    assert caught.value.cause is Cause.OUT_OF_STOCK
