"""The orders agent and the reservation router on a real broker, killed where it hurts."""

import shutil
from datetime import UTC, datetime

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from bitloot.contracts.effects import BuyKey
from bitloot.contracts.events import Failure, Notice, PurchasePlaced
from bitloot.contracts.notices import ReservationNotified
from bitloot.contracts.state import OrderStatus
from bitloot.contracts.topics import (
    CHANGELOGS,
    DEAD_LETTERS,
    DELIVERIES,
    KINGUIN_CALLS,
    KINGUIN_NOTICES,
    ORDER_EVENTS,
    ORDER_STATE,
)
from bitloot.ids import ReservationId, content_id, order_id, outcome_id
from tests.unit.fulfillment.order_world import ORDER, failed, placed, sealed

pytestmark = pytest.mark.stack

R = ReservationId("r1")


def now() -> datetime:
    return datetime.now(UTC)


def bought(buy) -> PurchasePlaced:
    return PurchasePlaced(
        event_id=outcome_id(buy.effect_id, "placed"),
        occurred_at=now(),
        order_id=buy.order_id,
        effect_id=buy.effect_id,
        purchase_id=buy.purchase_id,
        reservation_id=R,
        given=True,
    )


def delivered() -> ReservationNotified:
    return ReservationNotified(
        event_id=content_id("kinguin", R, "delivered"),
        occurred_at=now(),
        reservation_id=R,
        notice=Notice.DELIVERED,
        provider_status="delivered",
        codes=sealed("a"),
    )


async def test_an_order_survives_kill_9_and_the_loss_of_its_disk(broker, worker):
    await worker.ready()
    record, buy = await broker.pay(now())
    assert record.key.decode() == ORDER
    await worker.kill()
    shutil.rmtree(worker.datadir)  # another machine takes over: the changelog is all there is

    await worker.start()
    await broker.send(ORDER_EVENTS, ORDER, bought(buy))
    await broker.send(KINGUIN_NOTICES, R, delivered())
    (_, store), *_ = await broker.wait_for(DELIVERIES, 1)
    assert [k.codes for k in store.items] == [sealed("a")]
    states = [state for _, state in await broker.wait_for(ORDER_STATE, 5)]
    assert max(states, key=lambda s: s.version).status is OrderStatus.DELIVERING
    buys = {call.effect_id for _, call in await broker.wait_for(KINGUIN_CALLS, 1) if isinstance(call, BuyKey)}
    assert buys == {buy.effect_id}, "however often it was sent, it is one purchase"


async def test_a_notice_that_comes_before_its_reservation_is_known_is_not_lost(broker, worker):
    await broker.send(KINGUIN_NOTICES, R, delivered())
    _, buy = await broker.pay(now())
    await broker.send(ORDER_EVENTS, ORDER, bought(buy))
    (_, store), *_ = await broker.wait_for(DELIVERIES, 1)
    assert [k.codes for k in store.items] == [sealed("a")]


async def test_what_cannot_be_handled_is_put_aside_and_the_partition_moves_on(broker, worker):
    stranger = order_id("somebody else")
    for value in (b"", b"{", b'{"type":"order.placed","schema_version":9}', b"[" * 10_000):
        await broker.producer.send_raw(ORDER_EVENTS.name, ORDER.encode(), value)
    await broker.producer.send_raw(ORDER_EVENTS.name, None, b"{}")
    await broker.send(ORDER_EVENTS, ORDER, placed(order=stranger, at=now()))  # keyed wrongly
    await broker.producer.send_raw(KINGUIN_NOTICES.name, b"r1", b"nothing")
    await broker.pay(now())
    letters = [letter for _, letter in await broker.wait_for(DEAD_LETTERS, 7)]
    assert {letter.reason for letter in letters} == {"bad_record"}
    assert {letter.consumer for letter in letters} == {"fulfillment"}


async def test_a_failed_call_is_asked_for_again_by_the_timer_after_a_restart(broker, worker):
    _, buy = await broker.pay(now())
    await worker.ready()
    await broker.send(ORDER_EVENTS, ORDER, failed(buy, Failure.TRANSIENT, at=now()))
    await broker.wait_for(ORDER_STATE, 4)
    await worker.kill()
    await worker.start()
    calls = [call for _, call in await broker.wait_for(KINGUIN_CALLS, 2)]
    assert {call.attempt for call in calls} == {1, 2}
    assert {call.external_id for call in calls} == {buy.external_id}


async def test_its_changelogs_are_the_declared_ones(broker, worker):
    await worker.ready()
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    names = {name for name in await admin.list_topics() if name.endswith("-changelog")}
    await admin.close()
    assert names == {topic.name for topic in CHANGELOGS}


async def test_it_stops_cleanly_and_has_committed_what_it_did(broker, worker):
    await worker.ready()
    await broker.send(ORDER_EVENTS, ORDER, placed(at=now()))
    await broker.wait_for(ORDER_STATE, 1)
    assert await worker.stop() == 0
    await worker.start()
    await worker.ready()
    other = order_id("another order of the same partition or not")
    await broker.send(ORDER_EVENTS, other, placed(order=other, at=now()))
    states = [state.order_id for _, state in await broker.wait_for(ORDER_STATE, 2)]
    assert states.count(ORDER) == 1, "the committed event was handled again"
