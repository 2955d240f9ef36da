"""Orders that wait for a human: the inbox, the longest waiting first."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from admin_api.access.rights import Asker, Right
from admin_api.api.listing import Listing
from admin_api.api.masking import Address, Prose
from admin_api.api.reading import Filter
from admin_api.api.routing import AnyRoute
from admin_api.api.schemas import Answer, Page, Paging, Question, Words


class ReviewFilter(Question):
    """Which reviews."""

    cause: Annotated[Words | None, Field(description="Such as out_of_stock or underpaid")] = None


class ReviewQuestion(Paging, ReviewFilter):
    """Which page of which reviews."""


class WaitingOrder(Answer):
    """An order that waits for a human, and why."""

    order_id: str
    cause: str
    detail: Prose
    item_id: str | None
    since: datetime
    email: Address | None
    currency: str | None
    total: Decimal | None
    paid_at: datetime | None


class WaitingOrders(Page[WaitingOrder]):
    """A page of the inbox, the longest waiting first."""


def _where(question: ReviewFilter, _asker: Asker) -> Filter:
    where = Filter()
    where.add("o.status = {} and o.review is not null", "needs_review")
    where.add("o.review ->> 'cause' = {}", question.cause)
    return where


LISTING = Listing(
    path="/admin/reviews",
    name="listReviews",
    summary="List orders that wait for a human, the longest waiting first",
    tag="Reviews",
    filter=ReviewFilter,
    paged=ReviewQuestion,
    item=WaitingOrder,
    page=WaitingOrders,
    query="reviews",
    where=_where,
    sort=("timestamptz", "uuid"),
    order="asc",
    masked=Right.READ_ADDRESSES,
    unmasked_files=True,
)

ROUTES: tuple[AnyRoute, ...] = LISTING.routes
