"""Showing what is masked: for those who have the right, for a reason, and written down."""

from admin_api.access.rights import Right
from admin_api.api.dead_letters import DeadLetter, OneDeadLetter, show_dead_letter
from admin_api.api.orders import OneOrder, WholeOrder, show_order
from admin_api.api.ports import Ports
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Reason
from admin_api.api.webhook_logs import OneWebhookLog, WebhookLog, show_webhook_log


class UnmaskOrder(OneOrder):
    """Which order, and why."""

    reason: Reason


class UnmaskWebhookLog(OneWebhookLog):
    """Which notification, and why."""

    reason: Reason


class UnmaskDeadLetter(OneDeadLetter):
    """Which dead letter, and why."""

    reason: Reason


async def unmask_order(ports: Ports, question: UnmaskOrder) -> WholeOrder:
    """Answer an order with its addresses."""
    return await show_order(ports, question)


async def unmask_webhook_log(ports: Ports, question: UnmaskWebhookLog) -> WebhookLog:
    """Answer a notification with its body. Codes are hidden for everybody: we do not have them."""
    return await show_webhook_log(ports, question)


async def unmask_dead_letter(ports: Ports, question: UnmaskDeadLetter) -> DeadLetter:
    """Answer a dead letter with its content."""
    return await show_dead_letter(ports, question)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="POST",
        path="/admin/orders/{id}/unmask",
        name="unmaskOrder",
        summary="Show an order with its mail addresses",
        tag="Orders",
        question=UnmaskOrder,
        answer=WholeOrder,
        handle=unmask_order,
        right=Right.READ_ADDRESSES,
        problems=(404, 415),
        body=True,
        unmasks=True,
    ),
    Route(
        method="POST",
        path="/admin/webhook-logs/{id}/unmask",
        name="unmaskWebhookLog",
        summary="Show a notification with its body",
        tag="Webhook logs",
        question=UnmaskWebhookLog,
        answer=WebhookLog,
        handle=unmask_webhook_log,
        right=Right.READ_BODIES,
        problems=(404, 415),
        body=True,
        unmasks=True,
    ),
    Route(
        method="POST",
        path="/admin/dead-letters/{id}/unmask",
        name="unmaskDeadLetter",
        summary="Show a dead letter with its content",
        tag="Dead letters",
        question=UnmaskDeadLetter,
        answer=DeadLetter,
        handle=unmask_dead_letter,
        right=Right.READ_BODIES,
        problems=(404, 415),
        body=True,
        unmasks=True,
    ),
)
