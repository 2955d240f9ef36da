"""How fresh the read model is, and how far behind each consumer."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from admin_api.api.ports import Ports
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Nothing
from bitloot.problem import Problem

_TAG = "Figures"
_FRESH_SECONDS = 5.0


class Freshness(Answer):
    """How fresh the read model is."""

    as_of: Annotated[datetime | None, Field(description="All that Kafka had by then is in the read model")]
    behind_seconds: float | None
    fresh: Annotated[bool, Field(description="Whether what is not found is not there: it is behind by less than 5 s")]


class PartitionLag(Answer):
    """How far a consumer is in one partition."""

    group: str
    topic: str
    partition: int
    records: int
    oldest_seconds: Annotated[
        float | None, Field(description="How long the oldest unhandled record has been seen, 15 minutes at most")
    ]


class Lag(Answer):
    """All partitions of all consumers. Each by itself: sums hide one that stands still."""

    looked_at: Annotated[datetime | None, Field(description="Null when Kafka could not be asked yet")]
    items: list[PartitionLag]


def freshness(ports: Ports) -> Freshness:
    """Return how fresh the read model is now."""
    as_of = ports.fresh_as_of()
    behind = None if as_of is None else max((datetime.now(UTC) - as_of).total_seconds(), 0.0)
    return Freshness(as_of=as_of, behind_seconds=behind, fresh=behind is not None and behind < _FRESH_SECONDS)


def unknown(ports: Ports, sentence: str) -> Problem:
    """Return the 404 for what is not in the read model: `known` tells whether it is therefore not there."""
    now = freshness(ports)
    if now.fresh:
        return Problem(404, sentence, known=True)
    how = (
        "nobody knows how fresh that is" if now.behind_seconds is None else f"that is {now.behind_seconds:.0f} s behind"
    )
    as_of = None if now.as_of is None else now.as_of.isoformat()
    return Problem(404, f"{sentence.rstrip('.')} in the read model, but {how}.", known=False, asOf=as_of)


async def show_freshness(ports: Ports, _question: Nothing) -> Freshness:
    """Answer it."""
    return freshness(ports)


async def list_lag(ports: Ports, _question: Nothing) -> Lag:
    """Answer how far each consumer is."""
    now = datetime.now(UTC)
    items = [
        PartitionLag(
            group=each.group,
            topic=each.topic,
            partition=each.partition,
            records=each.records,
            oldest_seconds=None if each.oldest_at is None else max((now - each.oldest_at).total_seconds(), 0.0),
        )
        for each in ports.behind()
    ]
    return Lag(looked_at=ports.looked_at(), items=items)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/admin/freshness",
        name="showFreshness",
        summary="Show how fresh the read model is",
        tag=_TAG,
        question=Nothing,
        answer=Freshness,
        handle=show_freshness,
    ),
    Route(
        method="GET",
        path="/admin/lag",
        name="listLag",
        summary="Show how far behind each consumer is, partition by partition",
        tag=_TAG,
        question=Nothing,
        answer=Lag,
        handle=list_lag,
    ),
)
