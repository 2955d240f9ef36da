"""Dead letters: the list, and one of them whole."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from admin_api.access.rights import Right
from admin_api.api.lag import unknown
from admin_api.api.listing import Listing
from admin_api.api.masking import Body, Headers
from admin_api.api.ports import Ports
from admin_api.api.reading import Filter, row
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Moment, Page, Paging, Question, RowNumber, Words


class DeadLetterFilter(Question):
    """Which dead letters."""

    topic: Annotated[Words | None, Field(description="Where the record was")] = None
    consumer: Annotated[Words | None, Field(description="Who put it aside")] = None
    reason: Annotated[Words | None, Field(description="The cause, such as bad_record or defect")] = None
    occurred_from: Annotated[Moment | None, Field(description="Put aside at or after")] = None
    occurred_to: Annotated[Moment | None, Field(description="Put aside before")] = None
    replayed: Annotated[bool | None, Field(description="Whether it was sent again already")] = None

    def where(self) -> Filter:
        """Return the conditions on `dead_letters as d`."""
        where = Filter()
        where.add("d.topic = {}", self.topic)
        where.add("d.consumer = {}", self.consumer)
        where.add("d.reason = {}", self.reason)
        where.add("d.occurred_at >= {}", self.occurred_from)
        where.add("d.occurred_at < {}", self.occurred_to)
        where.add("exists (select from dead_letter_replays as r where r.event_id = d.event_id) = {}", self.replayed)
        return where


class DeadLetterQuestion(Paging, DeadLetterFilter):
    """Which page of which dead letters."""


class OneDeadLetter(Question):
    """Which dead letter."""

    id: RowNumber


class DeadLetter(Answer):
    """What a consumer gave up on, and why."""

    id: int
    consumer: str
    topic: str
    partition: int
    offset: Annotated[int, Field(description="Where the record was")]
    key: str | None
    value: Annotated[Body | None, Field(description="As text, codes replaced; null when it is no text")]
    value_length: Annotated[int, Field(description="Of the original, in bytes")]
    value_sha256: str
    value_cut: bool
    headers: Headers
    reason: str
    error: str
    stack: str
    occurred_at: datetime
    replayed_at: Annotated[datetime | None, Field(description="When it was last sent again")]
    replay_of: Annotated[int | None, Field(description="The dead letter that was sent again and failed again as this")]
    replayed_as: Annotated[list[int], Field(description="What it became when it was sent again and failed again")]


class DeadLetters(Page[DeadLetter]):
    """A page of dead letters, newest first."""


async def show_dead_letter(ports: Ports, question: OneDeadLetter) -> DeadLetter:
    """Answer one dead letter."""
    found = await row(ports.pool, "dead_letter", question.id)
    if found is None:
        raise unknown(ports, "There is no such dead letter.")
    return DeadLetter.model_validate(dict(found))


LISTING = Listing(
    path="/admin/dead-letters",
    name="listDeadLetters",
    summary="List dead letters, newest first",
    tag="Dead letters",
    filter=DeadLetterFilter,
    paged=DeadLetterQuestion,
    item=DeadLetter,
    page=DeadLetters,
    query="dead_letters",
    where=lambda question, _asker: question.where(),
    sort=("timestamptz", "bigint"),
    masked=Right.READ_BODIES,
)

ROUTES: tuple[AnyRoute, ...] = (
    *LISTING.routes,
    Route(
        method="GET",
        path="/admin/dead-letters/{id}",
        name="showDeadLetter",
        summary="Show one dead letter",
        tag="Dead letters",
        question=OneDeadLetter,
        answer=DeadLetter,
        handle=show_dead_letter,
        problems=(404,),
    ),
)
