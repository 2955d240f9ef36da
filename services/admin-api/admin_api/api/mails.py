"""Mails: the list. Their texts hold links that open something, and are shown to nobody."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from admin_api.access.gate import check_right
from admin_api.access.rights import Asker, Right
from admin_api.api.listing import Listing
from admin_api.api.masking import Address
from admin_api.api.orders import Mail
from admin_api.api.reading import Filter
from admin_api.api.routing import AnyRoute
from admin_api.api.schemas import Moment, OrderIdText, Page, Paging, Question, Words


class MailFilter(Question):
    """Which mails."""

    order_id: OrderIdText | None = None
    status: Annotated[Words | None, Field(description="Such as sending, accepted or refused")] = None
    kind: Words | None = None
    recipient: Annotated[
        Words | None, Field(description="The whole address, in any case; for those who may see addresses")
    ] = None
    rendered_from: Annotated[Moment | None, Field(description="Written at or after")] = None
    rendered_to: Annotated[Moment | None, Field(description="Written before")] = None


class MailQuestion(Paging, MailFilter):
    """Which page of which mails."""


class ListedMail(Mail):
    """A mail, and whose order it is about."""

    order_id: str
    recipient: Address
    rendered_at: datetime


class Mails(Page[ListedMail]):
    """A page of mails, newest first."""


def _where(question: MailFilter, asker: Asker) -> Filter:
    if question.recipient is not None:
        check_right(asker, Right.READ_ADDRESSES)
    where = Filter()
    where.add("order_id = {}::uuid", question.order_id)
    where.add("status = {}", question.status)
    where.add("kind = {}", question.kind)
    where.add("lower(recipient) = lower({})", question.recipient)
    where.add("rendered_at >= {}", question.rendered_from)
    where.add("rendered_at < {}", question.rendered_to)
    return where


LISTING = Listing(
    path="/admin/mails",
    name="listMails",
    summary="List mails, newest first",
    tag="Mails",
    filter=MailFilter,
    paged=MailQuestion,
    item=ListedMail,
    page=Mails,
    query="mails",
    where=_where,
    sort=("timestamptz", "text"),
    masked=Right.READ_ADDRESSES,
    unmasked_files=True,
)

ROUTES: tuple[AnyRoute, ...] = LISTING.routes
