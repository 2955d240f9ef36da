"""The log of notifications: the list, and one of them whole."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from admin_api.access.rights import Asker, Right
from admin_api.api.lag import unknown
from admin_api.api.listing import Listing
from admin_api.api.masking import Body, Content, Headers
from admin_api.api.ports import Ports
from admin_api.api.reading import Filter, row
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, OrderIdText, Page, Paging, Question, RowNumber, Words


class WebhookLogFilter(Question):
    """Which notifications."""

    provider: Literal["nowpayments", "kinguin", "kinguin-seller", "resend"] | None = None
    order_id: OrderIdText | None = None
    event_type: Words | None = None


class WebhookLogQuestion(Paging, WebhookLogFilter):
    """Which page of which notifications."""


class OneWebhookLog(Question):
    """Which notification."""

    id: RowNumber


class WebhookLog(Answer):
    """A notification as it came, codes replaced; repeats are counted."""

    id: int
    provider: str
    external_id: str
    event_type: str
    order_id: str | None
    matched: Annotated[str, Field(description="Which secret and form verified it")]
    note: str
    remote_address: str
    headers: Headers
    body: Body
    body_cut: Annotated[bool, Field(description="Whether the body is longer than this")]
    body_sha256: str
    event_topic: str | None
    event_key: str | None
    event: Annotated[Content, Field(description="What was published for it, codes replaced by their number")]
    repeats: int
    first_received_at: datetime
    last_received_at: datetime


class WebhookLogs(Page[WebhookLog]):
    """A page of notifications, newest first."""


def _where(question: WebhookLogFilter, _asker: Asker) -> Filter:
    where = Filter()
    where.add("provider = {}", question.provider)
    where.add("order_id = {}::uuid", question.order_id)
    where.add("event_type = {}", question.event_type)
    return where


async def show_webhook_log(ports: Ports, question: OneWebhookLog) -> WebhookLog:
    """Answer one notification."""
    found = await row(ports.pool, "webhook_log", question.id)
    if found is None:
        raise unknown(ports, "There is no such notification.")
    return WebhookLog.model_validate(dict(found))


LISTING = Listing(
    path="/admin/webhook-logs",
    name="listWebhookLogs",
    summary="List notifications, newest first",
    tag="Webhook logs",
    filter=WebhookLogFilter,
    paged=WebhookLogQuestion,
    item=WebhookLog,
    page=WebhookLogs,
    query="webhook_logs",
    where=_where,
    sort=("timestamptz", "bigint"),
    masked=Right.READ_BODIES,
    unmasked_files=True,
)

ROUTES: tuple[AnyRoute, ...] = (
    *LISTING.routes,
    Route(
        method="GET",
        path="/admin/webhook-logs/{id}",
        name="showWebhookLog",
        summary="Show one notification with its whole body",
        tag="Webhook logs",
        question=OneWebhookLog,
        answer=WebhookLog,
        handle=show_webhook_log,
        problems=(404,),
    ),
)
