"""Time-to-key: what a buyer waits from the settled payment to the accepted mail."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from admin_api.api.ports import Ports
from admin_api.api.reading import row
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Moment, Question


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
)
