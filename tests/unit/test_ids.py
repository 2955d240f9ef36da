import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot.ids import content_id, effect_id, external_id, is_order_id, item_id, order_id, order_of


@given(st.text(min_size=1))
def test_an_order_id_is_a_uuid_that_checks_itself(key):
    identity = order_id(key)
    assert str(uuid.UUID(identity)) == identity
    assert uuid.UUID(identity).version == 8
    assert uuid.UUID(identity).variant == uuid.RFC_4122
    assert is_order_id(identity)
    assert order_id(key) == identity


def test_other_keys_and_other_shops_give_other_orders():
    assert len({order_id("a"), order_id("b"), order_id("a", "other"), order_id("1:a", ""), order_id("a", "1")}) == 5


@given(st.uuids())
def test_a_uuid_of_somebody_else_is_none_of_ours(identity):
    assert not is_order_id(str(identity))


@pytest.mark.parametrize(
    "text", [None, 5, "", "ord_01J9Z3K4", str(order_id("a")).upper(), order_id("a") + "x", "é" * 36]
)
def test_what_is_no_order_id_is_told(text):
    assert not is_order_id(text)


@given(st.integers(0, 127))
def test_one_wrong_bit_is_noticed(bit):
    assert not is_order_id(str(uuid.UUID(int=uuid.UUID(order_id("a")).int ^ 1 << bit)))


def test_an_external_id_leads_back_to_its_order():
    order = order_id("a")
    item = item_id(order, 3)
    assert order_of(external_id(item, 1)) == order
    assert order_of(external_id(item, 2)) == order
    assert external_id(item, 1) != external_id(item, 2)
    assert order_of(order) == order
    assert order_of(order + "0") is None
    assert order_of(None) is None
    assert effect_id(item, "buy", 2) == f"{order}-3/buy/2"


def test_a_content_id_depends_on_every_fact_and_stays_short():
    facts = ("nowpayments", "5745459419", "finished", "0.1")
    assert content_id(*facts) == content_id(*facts)
    assert content_id(*facts) != content_id(*facts[:-1], "0.2")
    assert len(content_id("x" * 500, "é" * 500, "\ud800", "y")) < 250
