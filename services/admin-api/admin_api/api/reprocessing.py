"""What an admin can have handled again: a notification, a dead letter. One `actionId` is one click."""

import json

from admin_api.access.rights import Right
from admin_api.api.actions import Click, perform, refuse
from admin_api.api.clicks import ACTION_HEADERS, Action
from admin_api.api.ports import Ports
from admin_api.api.reading import SQL, row
from admin_api.api.replaying import GONE, Unsendable, destination, original, send_again
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Accepted, Question, RowNumber
from bitloot import log
from bitloot.contracts import codec
from bitloot.errors import Malformed
from bitloot.ledger import translated
from bitloot.problem import Problem

_log = log.get(__name__)


class RowAction(Question):
    """Which row, and which click."""

    id: RowNumber
    action: Action


async def reprocess_webhook(ports: Ports, question: RowAction) -> Accepted:
    """Publish the event of a notification again, as it was, with its sealed codes."""
    found = await row(ports.pool, "webhook_original", question.id)
    if found is None:
        raise Problem(404, "There is no such notification.")
    click = Click(question.action, "reprocessWebhookLog", str(question.id))
    topic = ports.replayable.get(found["event_topic"] or "")
    if topic is None or found["event_key"] is None:
        detail = "Nothing was published for this notification: there is nothing to do again."
        raise await refuse(ports, click, Problem(409, detail))
    log = ports.topics.webhooks
    async with ports.originals.open() as originals:
        value = await originals.read(log.name, found["kafka_partition"], found["kafka_offset"])
    if value is None:
        raise Problem(409, GONE)
    try:
        event = codec.decode(topic, json.dumps(codec.decode(log, value).event).encode())
    except Malformed:  # it was too large to be kept, or is an earlier release's
        raise Problem(409, "The log holds no event of this notification that can be read any more.") from None
    await perform(ports, click, lambda: ports.publisher.send(topic, found["event_key"], event))
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
            new = await connection.fetchval(SQL["mark_replayed"], question.action, found["event_id"], ports.asker.name)
            if new:
                click = Click(question.action, "replayDeadLetter", str(question.id))
                await connection.execute(SQL["begin_action"], *click.values(ports))
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
        right=Right.OPERATE,
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
        right=Right.OPERATE,
    ),
)
