"""Time-to-key: what a buyer waits from the settled payment to the accepted mail."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from admin_api.api.overview import Since
from admin_api.api.ports import Ports
from admin_api.api.reading import SQL, row
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Moment, Question
from bitloot.ledger import translated


class TimeToKeyQuestion(Question):
    """Over which mails."""

    since: Annotated[Moment | None, Field(description="Only mails accepted at or after this time")] = None


class TimeToKey(Answer):
    """Percentiles in seconds; null when there is no mail."""

    count: int
    p50: float | None
    p90: float | None
    p99: float | None
    since: datetime | None


async def time_to_key(ports: Ports, question: TimeToKeyQuestion) -> TimeToKey:
    """Answer the percentiles."""
    found = await row(ports.pool, "time_to_key", question.since)
    return TimeToKey.model_validate({**(found or {}), "since": question.since})


class SeriesQuestion(Since):
    """Over which mails, and in what steps."""

    step: Literal["hour", "day"] = "hour"


class Step(Answer):
    """Percentiles of one step, in seconds."""

    at: Annotated[datetime, Field(description="When the step begins, in UTC")]
    count: int
    p50: float
    p90: float
    p99: float


class Series(Answer):
    """Steps with at least one mail, oldest first."""

    since: datetime
    step: Literal["hour", "day"]
    items: list[Step]


async def time_to_key_series(ports: Ports, question: SeriesQuestion) -> Series:
    """Answer the steps."""
    since = question.moment
    with translated():
        rows = await ports.pool.fetch(SQL["time_to_key_series"], question.step, since)
    return Series(since=since, step=question.step, items=[Step.model_validate(dict(row)) for row in rows])


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/admin/metrics/time-to-key",
        name="timeToKey",
        summary="How long buyers waited for their keys",
        tag="Metrics",
        question=TimeToKeyQuestion,
        answer=TimeToKey,
        handle=time_to_key,
    ),
    Route(
        method="GET",
        path="/admin/metrics/time-to-key/series",
        name="timeToKeySeries",
        summary="How long buyers waited for their keys, hour by hour or day by day",
        tag="Metrics",
        question=SeriesQuestion,
        answer=Series,
        handle=time_to_key_series,
    ),
)
