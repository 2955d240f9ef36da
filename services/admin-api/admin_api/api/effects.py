"""The effect ledger: every try of a call to the outside, and what became of it."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from admin_api.access.rights import Asker, Right
from admin_api.api.listing import Listing
from admin_api.api.masking import Prose
from admin_api.api.reading import Filter
from admin_api.api.routing import AnyRoute
from admin_api.api.schemas import Answer, Moment, OrderIdText, Page, Paging, Question, Words


class EffectFilter(Question):
    """Which tries."""

    order_id: OrderIdText | None = None
    kind: Annotated[Words | None, Field(description="Such as buy_key or send_mail")] = None
    cause: Annotated[Words | None, Field(description="Only failures with this cause")] = None
    finished: Annotated[bool | None, Field(description="Whether its outcome is known")] = None
    claimed_from: Annotated[Moment | None, Field(description="Begun at or after")] = None
    claimed_to: Annotated[Moment | None, Field(description="Begun before")] = None


class EffectQuestion(Paging, EffectFilter):
    """Which page of which tries."""


class Effect(Answer):
    """One try of a call to the outside."""

    effect_id: str
    order_id: str | None
    kind: str
    attempt: int
    claimed_by: Annotated[str, Field(description="The process that did it")]
    claimed_at: datetime
    deadline: Annotated[datetime, Field(description="After this an unfinished try counts as abandoned")]
    finished_at: datetime | None
    duration_seconds: float | None
    outcome: Annotated[str | None, Field(description="The event that told its outcome")]
    failure: Annotated[str | None, Field(description="transient, refused or unknown")]
    cause: str | None
    detail: Prose


class Effects(Page[Effect]):
    """A page of the ledger, newest first."""


def _where(question: EffectFilter, _asker: Asker) -> Filter:
    where = Filter()
    where.add("order_id = {}::uuid", question.order_id)
    where.add("kind = {}", question.kind)
    where.add("failed_cause = {}", question.cause)
    where.add("(finished_at is not null) = {}", question.finished)
    where.add("claimed_at >= {}", question.claimed_from)
    where.add("claimed_at < {}", question.claimed_to)
    return where


LISTING = Listing(
    path="/admin/effects",
    name="listEffects",
    summary="List calls to the outside, newest first",
    tag="Effects",
    filter=EffectFilter,
    paged=EffectQuestion,
    item=Effect,
    page=Effects,
    query="effects",
    where=_where,
    sort=("timestamptz", "text"),
    masked=Right.READ_ADDRESSES,
)

ROUTES: tuple[AnyRoute, ...] = LISTING.routes
