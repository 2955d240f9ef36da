"""Dead letters: the list, and one of them whole."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from admin_api.api.ports import Ports
from admin_api.api.reading import Filter, page, row
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Page, Paging, Question, RowNumber, Words
from bitloot.problem import Problem


class DeadLetterQuestion(Paging):
    """Which dead letters."""

    topic: Words | None = None
    consumer: Words | None = None


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
    value: Annotated[str | None, Field(description="As text, codes replaced; null when it is no text")]
    value_length: Annotated[int, Field(description="Of the original, in bytes")]
    value_sha256: str
    value_cut: bool
    headers: dict[str, str]
    reason: str
    error: str
    stack: str
    occurred_at: datetime
    replayed_at: datetime | None


class DeadLetters(Page[DeadLetter]):
    """A page of dead letters, newest first."""


async def list_dead_letters(ports: Ports, question: DeadLetterQuestion) -> DeadLetters:
    """Answer the list."""
    where = Filter()
    where.add("d.topic = {}", question.topic)
    where.add("d.consumer = {}", question.consumer)
    rows, total = await page(ports.pool, "dead_letters", where, "d.occurred_at desc, d.id desc", question)
    items = [DeadLetter.model_validate(dict(each)) for each in rows]
    return DeadLetters(items=items, total=total, limit=question.limit, offset=question.offset)


async def show_dead_letter(ports: Ports, question: OneDeadLetter) -> DeadLetter:
    """Answer one dead letter."""
    found = await row(ports.pool, "dead_letter", question.id)
    if found is None:
        raise Problem(404, "There is no such dead letter.")
    return DeadLetter.model_validate(dict(found))


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/admin/dead-letters",
        name="listDeadLetters",
        summary="List dead letters, newest first",
        tag="Dead letters",
        question=DeadLetterQuestion,
        answer=DeadLetters,
        handle=list_dead_letters,
    ),
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
