"""What the objective is measured by, seen from whole orders."""

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from bitloot.contracts.effects import Effect, StoreKeys
from bitloot.contracts.events import Notice, OrderEvent
from bitloot.metrics import SLO_SECONDS
from fulfillment.order import Order
from fulfillment.served import keys_ready_at, observe
from tests.unit.fulfillment.order_world import World, bought_world

NAMES = (
    "bitloot_keys_ready_total",
    "bitloot_keys_in_time_total",
    "bitloot_keys_to_mail_seconds_count",
    "bitloot_time_to_key_seconds_count",
)


def figures() -> list[float]:
    return [REGISTRY.get_sample_value(name) or 0.0 for name in NAMES]


def tell(world: World, event: OrderEvent) -> tuple[Effect, ...]:
    """Hand on an event and observe what it changed, as the agent does."""
    before = world.order
    effects = world.tell(event)
    observe(before, world.order)
    return effects


@pytest.mark.parametrize(
    ("late", "in_time"), [(timedelta(0), 1), (timedelta(seconds=SLO_SECONDS), 0)], ids=["soon", "late"]
)
def test_an_order_counts_once_and_in_time_when_it_is(late: timedelta, in_time: int):
    world, _ = bought_world()
    assert keys_ready_at(world.order) is None
    before = figures()

    delivered = world.notice(world.reservations[0], Notice.DELIVERED, codes=True)
    (store,) = tell(world, delivered)
    assert isinstance(store, StoreKeys)
    assert keys_ready_at(world.order) == delivered.occurred_at
    world.now += late
    (mail,) = tell(world, world.outcome(store))
    tell(world, world.outcome(mail))
    tell(world, world.outcome(mail))  # a repeat is no second mail

    assert world.order.mailed_at is not None
    assert [after - count for after, count in zip(figures(), before, strict=True)] == [1, in_time, 1, 1]


def test_what_was_never_paid_has_no_keys():
    assert keys_ready_at(Order(World().order.order_id)) is None
