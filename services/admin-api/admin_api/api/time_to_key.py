"""Time-to-key: what a buyer waits from the settled payment to the accepted mail."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from admin_api.api.overview import Since
from admin_api.api.ports import Ports
from admin_api.api.reading import SQL, row
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Moment, Question
from bitloot.ledger import translated

_FEW = 10_000
"""The waits of so many mails are sorted; of more, those that are counted day by day are told."""
_HOURS = timedelta(days=7)


class TimeToKeyQuestion(Question):
    """Over which mails."""

    since: Annotated[Moment | None, Field(description="Only mails accepted at or after this time")] = None


Exact = Annotated[
    bool, Field(description=f"Else there are more than {_FEW:,} mails, and the percentiles are within 1 %")
]


class TimeToKey(Answer):
    """Percentiles in seconds; null when there is no mail."""

    count: int
    p50: float | None
    p90: float | None
    p99: float | None
    since: datetime | None
    exact: Exact


async def time_to_key(ports: Ports, question: TimeToKeyQuestion) -> TimeToKey:
    """Answer the percentiles."""
    few = await _few(ports, question.since)
    found = await row(ports.pool, "time_to_key" if few else "time_to_key_counted", question.since)
    return TimeToKey.model_validate({**(found or {}), "since": question.since, "exact": few})


async def _few(ports: Ports, since: datetime | None) -> bool:
    with translated():
        few: bool = await ports.pool.fetchval(SQL["few_mails"], since, _FEW)
    return few


class SeriesQuestion(Since):
    """Over which mails, and in what steps. Hours are told of seven days at most."""

    step: Literal["hour", "day"] = "hour"

    @property
    def begins(self) -> datetime:
        """The moment that is meant."""
        return self.moment if self.step == "day" else max(self.moment, datetime.now(UTC) - _HOURS)


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
    exact: Exact


async def time_to_key_series(ports: Ports, question: SeriesQuestion) -> Series:
    """Answer the steps."""
    since = question.begins
    exact = question.step == "hour" or await _few(ports, since)
    with translated():
        if exact:
            rows = await ports.pool.fetch(SQL["time_to_key_series"], question.step, since)
        else:
            rows = await ports.pool.fetch(SQL["time_to_key_days_counted"], since)
    return Series(since=since, step=question.step, items=[Step.model_validate(dict(row)) for row in rows], exact=exact)


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
