"""What an admin can set going again: an order, a notification, a dead letter. One `actionId` is one click."""

import json
import uuid
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from admin_api.api.orders import OneOrder
from admin_api.api.ports import Ports
from admin_api.api.reading import SQL, row
from admin_api.api.replaying import GONE, Unsendable, destination, original, send_again
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Accepted, ActionKey, Question, RowNumber
from bitloot import ids, log
from bitloot.contracts import codec
from bitloot.contracts.events import ReprocessRequested
from bitloot.contracts.state import CLOSED, OrderStatus
from bitloot.ids import OrderId
from bitloot.ledger import translated
from bitloot.problem import Problem

_log = log.get(__name__)


def new_action() -> str:
    """Name a click that came without a name."""
    return str(uuid.uuid4())


# One token is all there is: sign-in and roles come with the admin UI.
ACTOR = "admin"
Action = Annotated[
    ActionKey,
    Field(default_factory=new_action, description="Names the click: the same key again is the same click"),
]
ACTION_HEADERS = (("action", "Idempotency-Key"),)


class OrderAction(OneOrder):
    """Which order, and which click."""

    action: Action


class RowAction(Question):
    """Which row, and which click."""

    id: RowNumber
    action: Action


async def reprocess_order(ports: Ports, question: OrderAction) -> Accepted:
    """Ask the order to go on. A closed one has nothing to go on with."""
    found = await row(ports.pool, "order_status", question.id)
    if found is None:
        raise Problem(404, "There is no such order.")
    if (status := OrderStatus(found["status"])) in CLOSED:
        raise Problem(409, f"The order is {status}: nothing is left to do.", orderStatus=status)
    order_id = OrderId(question.id)
    event = ReprocessRequested(
        event_id=ids.content_id("reprocess", order_id, question.action),
        occurred_at=datetime.now(UTC),
        order_id=order_id,
        action_id=question.action,
        actor=ACTOR,
    )
    await ports.publisher.send(ports.topics.events, order_id, event)
    _log.info("order.reprocess_requested", order_id=order_id, order_status=status, action_id=question.action)
    return Accepted(action_id=question.action)


async def reprocess_webhook(ports: Ports, question: RowAction) -> Accepted:
    """Publish the event of a notification again, as it was, with its sealed codes."""
    found = await row(ports.pool, "webhook_original", question.id)
    if found is None:
        raise Problem(404, "There is no such notification.")
    topic = ports.replayable.get(found["event_topic"] or "")
    if topic is None or found["event_key"] is None:
        raise Problem(409, "Nothing was published for this notification: there is nothing to do again.")
    log = ports.topics.webhooks
    async with ports.originals.open() as originals:
        value = await originals.read(log.name, found["kafka_partition"], found["kafka_offset"])
    if value is None:
        raise Problem(409, GONE)
    event = codec.decode(topic, json.dumps(codec.decode(log, value).event).encode())
    await ports.publisher.send(topic, found["event_key"], event)
    _log.info("webhook.reprocessed", webhook_log=question.id, topic=topic.name, action_id=question.action)
    return Accepted(action_id=question.action)


async def replay_dead_letter(ports: Ports, question: RowAction) -> Accepted:
    """Send what was put aside to its topic again, byte for byte."""
    found = await row(ports.pool, "dead_letter_original", question.id)
    if found is None:
        raise Problem(404, "There is no such dead letter.")
    try:
        destination(found, ports.replayable)  # without asking Kafka
        async with ports.originals.open() as originals:
            topic, letter = await original(found, ports, originals)
    except Unsendable as reason:
        raise Problem(409, str(reason)) from None
    with translated():
        # Marked first, sent second, committed last: the mark never stands for what was not sent.
        async with ports.pool.acquire() as connection, connection.transaction():
            new = await connection.fetchval(SQL["mark_replayed"], question.action, found["event_id"], ACTOR)
            if new:
                await send_again(ports.publisher, topic, letter, question.action)
    _log.info(
        "dead_letter.replayed",
        dead_letter=question.id,
        topic=topic.name,
        action_id=question.action,
        done_before=not new,
    )
    return Accepted(action_id=question.action)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="POST",
        path="/admin/orders/{id}/reprocess",
        name="reprocessOrder",
        summary="Ask an order that waits for a human to go on",
        tag="Orders",
        question=OrderAction,
        answer=Accepted,
        handle=reprocess_order,
        status=202,
        problems=(404, 409),
        headers=ACTION_HEADERS,
    ),
    Route(
        method="POST",
        path="/admin/webhook-logs/{id}/reprocess",
        name="reprocessWebhookLog",
        summary="Handle a notification again",
        tag="Webhook logs",
        question=RowAction,
        answer=Accepted,
        handle=reprocess_webhook,
        status=202,
        problems=(404, 409),
        headers=ACTION_HEADERS,
    ),
    Route(
        method="POST",
        path="/admin/dead-letters/{id}/replay",
        name="replayDeadLetter",
        summary="Send what was put aside to its topic again",
        tag="Dead letters",
        question=RowAction,
        answer=Accepted,
        handle=replay_dead_letter,
        status=202,
        problems=(404, 409),
        headers=ACTION_HEADERS,
    ),
)
