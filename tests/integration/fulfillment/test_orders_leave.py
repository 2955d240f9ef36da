"""Closed orders and unclaimed notices leave the tables, on a real broker, and a restore keeps them away."""

import json
import shutil
from base64 import b64decode
from datetime import UTC, datetime

import pytest
from aiokafka.partitioner import DefaultPartitioner

from bitloot.contracts.codec import decode
from bitloot.contracts.events import MailSent, Notice, PaymentStatus, PurchasePlaced
from bitloot.contracts.notices import ReservationNotified, ReservationReleased
from bitloot.contracts.state import OrderStatus
from bitloot.contracts.topics import (
    DEAD_LETTERS,
    DELIVERIES,
    KINGUIN_NOTICES,
    ORDER_EVENTS,
    ORDER_STATE,
    ORDERS_CHANGELOG,
    RETIRED_CHANGELOG,
    ROUTES_CHANGELOG,
)
from bitloot.ids import OrderId, ReservationId, content_id, order_id, outcome_id
from fulfillment.codec import mark_from_bytes
from tests.integration.fulfillment.conftest import PARTITIONS
from tests.unit.fulfillment.order_world import ORDER, World, payment, placed, sealed

pytestmark = pytest.mark.stack

R = ReservationId("r1")


def now() -> datetime:
    return datetime.now(UTC)


def notified(notice: Notice, *codes: str) -> ReservationNotified:
    return ReservationNotified(
        event_id=content_id("kinguin", R, notice),
        occurred_at=now(),
        reservation_id=R,
        notice=notice,
        provider_status=notice,
        codes=sealed(*codes),
    )


def neighbor(order: OrderId) -> OrderId:
    """Return another order of the same partition."""
    partitions = list(range(PARTITIONS))
    place = DefaultPartitioner()
    there = place(order.encode(), partitions, partitions)
    others = (order_id(f"another {n}") for n in range(1000))
    return next(other for other in others if place(other.encode(), partitions, partitions) == there)


async def fulfill(broker) -> MailSent:
    """Take an order from its placing to its end."""
    _, buy = await broker.pay(now())
    about = {"occurred_at": now(), "order_id": ORDER, "effect_id": buy.effect_id, "purchase_id": buy.purchase_id}
    event_id = outcome_id(buy.effect_id, "placed")
    await broker.send(ORDER_EVENTS, ORDER, PurchasePlaced(event_id=event_id, reservation_id=R, given=True, **about))
    await broker.send(KINGUIN_NOTICES, R, notified(Notice.DELIVERED, "a"))
    ((_, store), *_) = await broker.wait_for(DELIVERIES, 1)
    world = World(now=now())
    await broker.send(ORDER_EVENTS, ORDER, world.outcome(store))
    (_, (_, mail), *_) = await broker.wait_for(DELIVERIES, 2)
    sent = world.outcome(mail)
    await broker.send(ORDER_EVENTS, ORDER, sent)
    return sent


async def test_a_retired_order_stays_away_when_another_machine_restores_the_tables(broker, worker):
    await worker.ready()
    await worker.stop()
    worker.settings = {"CLOSED_ORDER_RETENTION": "1"}
    await worker.start()
    await fulfill(broker)
    notices = [record for _, record in await broker.wait_for(KINGUIN_NOTICES, 3)]
    assert isinstance(notices[-1], ReservationReleased)
    marks, orders, routes = [
        await broker.wait_for_values(topic, last)
        for topic, last in ((RETIRED_CHANGELOG, 1), (ORDERS_CHANGELOG, 0), (ROUTES_CHANGELOG, 0))
    ]
    states = {state.version: state for _, state in await broker.wait_for(ORDER_STATE, 7)}
    closed = states[max(states)]
    assert closed.status is OrderStatus.FULFILLED
    assert [mark_from_bytes(value) for value in marks.values()] == [closed.closed_at]
    assert (orders, routes) == ({}, {})

    await worker.kill()
    shutil.rmtree(worker.datadir)  # another machine: all that it knows are the changelogs
    await worker.start()
    await worker.ready()
    other = neighbor(ORDER)
    late = [placed(at=now()), payment(PaymentStatus.FINISHED, at=now(), payment_id="5000000007")]
    await broker.send(ORDER_EVENTS, ORDER, *late)
    await broker.send(ORDER_EVENTS, other, placed(order=other, at=now()))  # when that is handled, the others are
    newest = await broker.wait_for_values(ORDER_STATE, 2)
    assert set(newest) == {ORDER.encode(), other.encode()}
    assert decode(ORDER_STATE, newest[ORDER.encode()]) == closed
    assert set(await broker.wait_for_values(ORDERS_CHANGELOG, 1)) == {other.encode()}


async def test_a_notice_that_no_order_claims_becomes_a_dead_letter_after_its_time(broker, worker):
    await worker.ready()
    await worker.stop()
    worker.settings = {"NOTICES_HELD_FOR": "1"}
    await broker.send(KINGUIN_NOTICES, R, notified(Notice.GIVE))
    await worker.start()
    ((_, letter),) = await broker.wait_for(DEAD_LETTERS, 1)
    assert (letter.reason, letter.topic, letter.consumer) == (
        "unknown_reservation",
        KINGUIN_NOTICES.name,
        "fulfillment",
    )
    assert b64decode(letter.key) == R.encode()
    assert json.loads(b64decode(letter.value))["type"] == "reservation.notified"
    assert await broker.wait_for_values(ROUTES_CHANGELOG, 0) == {}
