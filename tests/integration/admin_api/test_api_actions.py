"""Reprocess and replay, on real Kafka and Postgres."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.structs import TopicPartition

from bitloot.contracts import codec
from bitloot.contracts.events import (
    EmailChanged,
    KeysReturnRequested,
    KinguinNotified,
    LinkRevoked,
    MailRequested,
    ReprocessRequested,
    ReviewResolved,
)
from bitloot.contracts.state import ActionState, Incident, OrderStatus, ReservationStatus, Review
from bitloot.contracts.topics import Topic
from tests.integration.admin_api.api import Api, kafka_api
from tests.integration.admin_api.read_model import PARTITIONS, ReadModel
from tests.unit.admin_api import records


@pytest.fixture
async def desk(model: ReadModel) -> AsyncIterator[Api]:
    async with kafka_api(model) as api:
        yield api


async def read(model: ReadModel, topic: Topic) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(bootstrap_servers=model.settings.kafka_bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[ConsumerRecord] = []
        while [each for each in partitions if await consumer.position(each) < ends[each]]:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                found.extend(batch)
        return found
    finally:
        await consumer.stop()


async def test_an_order_that_waits_is_asked_to_go_on(model: ReadModel, desk: Api):
    waiting = records.snapshot(1, status=OrderStatus.NEEDS_REVIEW, closed_at=None)
    await desk.seed(model.topics.state, waiting)
    path = f"/admin/orders/{records.order(1)}/reprocess"
    twice = [await desk.act(path, "click-1"), await desk.act(path, "click-1")]
    other = await desk.act(path)

    assert [each.status for each in (*twice, other)] == [202, 202, 202]
    assert await twice[0].json() == {"actionId": "click-1"}
    sent = await read(model, model.topics.events)
    events = [codec.decode(model.topics.events, record.value) for record in sent]
    assert all(isinstance(event, ReprocessRequested) and event.actor == "admin" for event in events)
    assert {record.key for record in sent} == {records.order(1).encode()}
    # One click is one event, however often it arrives.
    assert [event.action_id for event in events] == ["click-1", (await other.json())["actionId"]]


async def test_one_click_many_times_at_once_is_one_event(model: ReadModel, desk: Api):
    await desk.seed(model.topics.state, records.snapshot(1, status=OrderStatus.NEEDS_REVIEW, closed_at=None))
    path = f"/admin/orders/{records.order(1)}/reprocess"
    answers = await asyncio.gather(*(desk.act(path, "click") for _ in range(6)))
    assert {each.status for each in answers} == {202}
    assert len(await read(model, model.topics.events)) == 1


ORDER = f"/admin/orders/{records.order(1)}"
DECISION = {"resolution": "mark_refunded", "reason": "sent back by hand"}
ASKED = [
    ("mails", {"reason": "lost it"}, MailRequested, {"kind": "keys"}),
    (
        "address",
        {"email": "right@example.org", "reason": "typo"},
        EmailChanged,
        {"email": records.address(1, "right@example.org")},
    ),
    ("revoke-link", {"reason": "forwarded"}, LinkRevoked, {}),
    ("return-keys", {"reason": "bought twice"}, KeysReturnRequested, {}),
    ("resolve", DECISION, ReviewResolved, {"resolution": "mark_refunded"}),
]


@pytest.mark.parametrize(("path", "body", "kind", "said"), ASKED, ids=[each[0] for each in ASKED])
async def test_what_is_asked_of_an_order_is_an_event_with_its_reason(
    model: ReadModel, desk: Api, path, body, kind, said
):
    await desk.seed(model.topics.state, records.snapshot(1, status=OrderStatus.NEEDS_REVIEW, closed_at=None))
    assert (await desk.act(f"{ORDER}/{path}", "click", body=body)).status == 202
    other = await desk.act(f"{ORDER}/{path}", "click", body={**body, "reason": "another"})
    assert other.status == 202  # the reason may be worded anew: the click is the same
    (record,) = await read(model, model.topics.events)
    event = codec.decode(model.topics.events, record.value)
    assert isinstance(event, kind)
    assert (event.actor, event.action_id, event.reason) == ("admin", "click", body["reason"])
    assert said.items() <= event.model_dump(mode="json").items()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("mails", {}),
        ("mails", {"reason": ""}),
        ("mails", {"reason": "x", "kind": "lost"}),
        ("mails", {"reason": "x" * 2001}),
        ("address", {"reason": "x", "email": "nobody"}),
        ("address", {"reason": "wrote from jane@example.org", "email": "right@example.org"}),
        ("address", {"reason": "x", "email": "a@b.c\r\nBcc: d@e.f"}),
        ("resolve", {"reason": "x"}),
        ("resolve", {"reason": "x", "resolution": "burn"}),
        ("resolve", {**DECISION, "id": "other"}),
    ],
)
async def test_what_is_asked_badly_is_refused_and_leaves_no_mark(model: ReadModel, desk: Api, path: str, body: dict):
    await desk.seed(model.topics.state, records.snapshot(1, status=OrderStatus.NEEDS_REVIEW, closed_at=None))
    assert (await desk.act(f"{ORDER}/{path}", "click", body=body)).status == 400
    assert (await desk.page("/admin/actions"))["total"] == 0


async def test_a_click_is_followed_to_its_end(model: ReadModel, desk: Api):
    waiting = records.snapshot(1, status=OrderStatus.NEEDS_REVIEW, closed_at=None)
    await desk.seed(model.topics.state, waiting)
    await desk.act(f"{ORDER}/reprocess", "click")

    async def stands() -> tuple[str, str]:
        action = await desk.page("/admin/actions/click")
        return action["status"], action["detail"]

    def told(version: int, status: OrderStatus, **more):
        answer = ActionState(
            action_id="click", type="reprocess.requested", actor="admin", at=waiting.updated_at, accepted=True, **more
        )
        return waiting.model_copy(update={"version": version, "status": status, "actions": (answer,)})

    assert await stands() == ("running", "The order has not taken note of it yet.")
    await desk.seed(model.topics.state, told(waiting.version + 1, OrderStatus.PURCHASING))
    assert await stands() == ("running", "The order is purchasing.")
    await desk.seed(model.topics.state, told(waiting.version + 2, OrderStatus.FULFILLED))
    assert await stands() == ("done", "The order is fulfilled.")


async def test_a_click_that_the_order_refuses_says_why(model: ReadModel, desk: Api):
    waiting = records.snapshot(1, status=OrderStatus.NEEDS_REVIEW, closed_at=None)
    await desk.seed(model.topics.state, waiting)
    await desk.act(f"{ORDER}/resolve", "click", body=DECISION)
    detail = "buy is under way: its outcome comes first."
    answer = ActionState(
        action_id="click", type="review.resolved", actor="admin", at=waiting.updated_at, accepted=False, detail=detail
    )
    await desk.seed(
        model.topics.state, waiting.model_copy(update={"version": waiting.version + 1, "actions": (answer,)})
    )
    action = await desk.page("/admin/actions/click")
    assert (action["status"], action["detail"]) == ("refused", detail)


REFUSED = "Kinguin takes no keys back (refused): one was downloaded"
RETURNS: list[tuple[dict[str, object], tuple[str, str]]] = [
    ({}, ("running", "Kinguin has not answered yet.")),
    ({"incident": 1}, ("refused", REFUSED)),
    ({"incident": -1}, ("running", "Kinguin has not answered yet.")),  # of another click
    ({"ended": 1}, ("done", "Kinguin takes the keys back.")),
    ({"ended": -1}, ("running", "Kinguin has not answered yet.")),
    ({"ended": 1, "incident": 1}, ("done", f"Kinguin takes the keys back. {REFUSED}")),
    ({"review": 1}, ("done", "The order waits for a human: It is not known.")),
    ({"status": OrderStatus.CANCELED}, ("done", "The order is canceled.")),
]


@pytest.mark.parametrize(("came", "told"), RETURNS)
async def test_a_click_to_return_keys_says_what_kinguin_said(
    model: ReadModel, desk: Api, came: dict[str, Any], told: tuple[str, str]
):
    """That the order took note of it is no end: Kinguin may still refuse."""
    bought = records.snapshot(1, status=OrderStatus.PURCHASING, closed_at=None)
    await desk.seed(model.topics.state, bought)
    await desk.act(f"{ORDER}/return-keys", "click", body={"reason": "bought twice"})
    now = bought.updated_at
    answer = ActionState(action_id="click", type="keys.return_requested", actor="admin", at=now, accepted=True)
    changes: dict[str, object] = {"version": 9, "actions": (answer,), "status": came.get("status", bought.status)}
    if minutes := came.get("incident"):
        incident = Incident(cause="return_refused", detail=REFUSED, at=now + timedelta(minutes=minutes))
        changes["incidents"] = (incident,)
    if minutes := came.get("ended"):
        ended = {"status": ReservationStatus.REVERSED, "ended_at": now + timedelta(minutes=minutes)}
        changes["reservations"] = (bought.reservations[0].model_copy(update=ended),)
    if minutes := came.get("review"):
        since = now + timedelta(minutes=minutes)
        changes["review"] = Review(cause="return_unknown", detail="It is not known.", since=since)
    await desk.seed(model.topics.state, bought.model_copy(update=changes))
    action = await desk.page("/admin/actions/click")
    assert (action["status"], action["detail"]) == told


async def test_a_click_that_is_refused_at_once_stays_refused(model: ReadModel, desk: Api):
    await desk.seed(model.topics.state, records.snapshot(1, status=OrderStatus.FULFILLED))
    for _ in range(2):
        assert (await desk.act(f"{ORDER}/resolve", "click", body=DECISION)).status == 409
    action = await desk.page("/admin/actions/click")
    assert (action["status"], action["detail"]) == (
        "refused",
        "The order is fulfilled: it does not wait for a human.",
    )


async def test_a_key_that_has_asked_for_something_else_is_refused(model: ReadModel, desk: Api):
    await desk.seed(model.topics.state, records.snapshot(1, status=OrderStatus.NEEDS_REVIEW, closed_at=None))
    assert (await desk.act(f"{ORDER}/resolve", "click", body=DECISION)).status == 202
    assert (await desk.act(f"{ORDER}/resolve", "click", body={**DECISION, "resolution": "close"})).status == 409
    assert (await desk.act(f"{ORDER}/reprocess", "click")).status == 409
    assert (await desk.ask("/admin/actions/unknown")).status == 404


@pytest.mark.parametrize("status", ["fulfilled", "canceled", "refunded", "failed"])
async def test_a_closed_order_is_refused_with_the_reason(model: ReadModel, desk: Api, status: str):
    await desk.seed(model.topics.state, records.snapshot(1, status=OrderStatus(status)))
    response = await desk.act(f"/admin/orders/{records.order(1)}/reprocess")
    problem = await response.json()

    assert response.status == 409
    assert status in problem["detail"]
    assert problem["orderStatus"] == status
    assert await read(model, model.topics.events) == []


async def test_an_order_that_has_left_the_agent_is_refused_with_the_way_out(model: ReadModel, desk: Api):
    """Nobody would ever answer the click: it must not stay "still running"."""
    await desk.seed(model.topics.state, records.snapshot(1, status=OrderStatus.FULFILLED))
    await desk.seed(model.topics.events, records.retired(1))
    response = await desk.act(f"{ORDER}/mails", "late", body={"reason": "the buyer asks"})
    assert response.status == 409
    assert "/o/lost" in (await response.json())["detail"]
    assert (await desk.page("/admin/actions/late"))["status"] == "refused"
    assert await read(model, model.topics.events) == []


async def test_actions_on_what_is_unknown_are_404(desk: Api):
    for path in (
        f"/admin/orders/{records.order(99)}/reprocess",
        "/admin/webhook-logs/1/reprocess",
        "/admin/dead-letters/1/replay",
    ):
        assert (await desk.act(path)).status == 404


async def test_the_key_of_a_click_is_checked(desk: Api):
    path = f"/admin/orders/{records.order(1)}/reprocess"

    assert (await desk.act(path, "x" * 201)).status == 400
    assert (await desk.act(path, "two words")).status == 400
    assert (await desk.act(path, query={"action": "x"})).status == 400
    assert (await desk.act(path, query={"id": "x"})).status == 400


async def test_a_notification_is_published_again_with_its_sealed_codes(model: ReadModel, desk: Api):
    await model.publish(model.topics.webhooks, records.webhook(1))
    await model.run_once()
    (number,) = await desk.ids("/admin/webhook-logs")

    response = await desk.act(f"/admin/webhook-logs/{number}/reprocess")

    assert response.status == 202
    (record,) = await read(model, model.topics.events)
    assert record.key == records.order(1).encode()
    event = codec.decode(model.topics.events, record.value)
    assert isinstance(event, KinguinNotified)
    assert event == records.notified(1)
    assert event.codes == (records.sealed(),)


async def test_a_notification_without_consequence_is_refused(model: ReadModel, desk: Api):
    nothing = records.webhook(1, event=None, event_topic=None, event_key=None)
    unknown = records.webhook(2, event_topic="elsewhere.v1")
    await model.publish(model.topics.webhooks, nothing, unknown)
    await model.run_once()
    for number in await desk.ids("/admin/webhook-logs"):
        assert (await desk.act(f"/admin/webhook-logs/{number}/reprocess")).status == 409


async def test_a_notification_whose_event_is_not_there_or_not_read_any_more_says_so(model: ReadModel, desk: Api):
    left_out = records.webhook(1, event=None)  # as the ingress leaves out what is too large
    former = records.webhook(2, event={"type": "of.an.earlier.release"})
    await model.publish(model.topics.webhooks, left_out, former)
    await model.run_once()
    numbers = await desk.ids("/admin/webhook-logs")
    assert len(numbers) == 2
    for number in numbers:
        response = await desk.act(f"/admin/webhook-logs/{number}/reprocess")
        assert response.status == 409
        assert (await response.json())["detail"]
    assert await read(model, model.topics.events) == []


async def test_a_dead_letter_is_sent_again_byte_for_byte_once_for_each_click(model: ReadModel, desk: Api):
    value = codec.encode(records.codes_received(1)) + b" "
    letter = records.letter(
        1, topic="orders.events.v1", key=base64.b64encode(b"\xffkey").decode(), value=base64.b64encode(value).decode()
    )
    await model.publish(model.topics.dead_letters, letter)
    await model.run_once()
    ((number, replayed),) = [
        (each["id"], each["replayedAt"]) for each in (await desk.page("/admin/dead-letters"))["items"]
    ]
    path = f"/admin/dead-letters/{number}/replay"

    answers = await asyncio.gather(*(desk.act(path, "click-1") for _ in range(3)))
    again = await desk.act(path, "click-2")

    assert replayed is None
    assert [each.status for each in (*answers, again)] == [202] * 4
    sent = await read(model, model.topics.events)
    assert [(record.key, record.value) for record in sent] == [(b"\xffkey", value)] * 2
    assert [dict(record.headers) for record in sent] == [
        {
            "bitloot-replay-of": letter.event_id.encode(),
            "bitloot-replay-action": action,
            "traceparent": b"00-1-2-01",
        }
        for action in (b"click-1", b"click-2")
    ]
    shown = await desk.page(f"/admin/dead-letters/{number}")
    assert shown["replayedAt"] is not None
    assert records.BOX not in json.dumps(shown)


async def test_one_click_may_name_several_dead_letters(model: ReadModel, desk: Api):
    two = [records.letter(number, topic="orders.events.v1", value=base64.b64encode(b"x").decode()) for number in (1, 2)]
    await model.publish(model.topics.dead_letters, *two)
    await model.run_once()
    for number in await desk.ids("/admin/dead-letters"):
        assert (await desk.act(f"/admin/dead-letters/{number}/replay", "one-click")).status == 202

    assert len(await read(model, model.topics.events)) == 2


async def test_dead_letters_that_cannot_be_sent_again_say_why(model: ReadModel, desk: Api):
    await model.publish(
        model.topics.dead_letters,
        records.letter(1, topic="orders.events.v1", value_cut=True),
        records.letter(2, topic="elsewhere.v1"),
    )
    await model.publish_raw(model.topics.dead_letters, b"k", b"damaged")
    await model.run_once()
    for number in await desk.ids("/admin/dead-letters"):
        response = await desk.act(f"/admin/dead-letters/{number}/replay")
        assert response.status == 409
        assert (await response.json())["detail"]


async def test_what_kafka_no_longer_has_is_a_conflict(model: ReadModel, desk: Api):
    await desk.seed(model.topics.webhooks, records.webhook(1))  # written to the database, never to Kafka
    (number,) = await desk.ids("/admin/webhook-logs")

    response = await desk.act(f"/admin/webhook-logs/{number}/reprocess")

    assert response.status == 409
    assert "no longer" in (await response.json())["detail"]
