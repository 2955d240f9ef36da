"""What was recorded, told again of other orders."""

import json

from bench.recording import Told, copies
from bitloot.ids import is_order_id, order_id

ORDER = order_id("recorded")


def event(order: str = ORDER, **fields: object) -> Told:
    document = {"order_id": order, "effect_id": f"{order}-1/buy/1", **fields}
    return Told(order.encode(), json.dumps(document, separators=(",", ":")).encode(), (("traceparent", b"x"),))


def told(records: list[Told]) -> list[dict[str, str]]:
    return [json.loads(each.value or b"") for each in records]


def test_each_time_it_is_another_order_with_its_own_key_and_effects():
    again = list(copies([event(), event()], 3))

    orders = [each["order_id"] for each in told(again)]
    assert len(set(orders)) == 3
    assert ORDER not in orders
    assert all(map(is_order_id, orders))
    assert [each.key.decode() for each in again] == orders
    assert [each["effect_id"] for each in told(again)] == [f"{order}-1/buy/1" for order in orders]
    assert all(each.headers == (("traceparent", b"x"),) for each in again)


def test_ids_at_the_providers_differ_too_and_ours_within_them_follow_the_order():
    (again,) = told(list(copies([event(payment_id="123", reservation_id="abc", external_id=f"{ORDER}-1")], 1)))

    assert again["payment_id"] != "123"
    assert again["reservation_id"] != "abc"
    assert again["external_id"] == f"{again['order_id']}-1"


def test_the_same_name_gives_the_same_orders_and_another_name_others():
    first, same, other = ([each.key for each in copies([event()], 2, name)] for name in ("again", "again", "left"))
    assert first == same
    assert not set(first) & set(other)


def test_a_tombstone_stays_one():
    (again,) = copies([Told(ORDER.encode(), None, ())], 1)
    assert again.value is None
