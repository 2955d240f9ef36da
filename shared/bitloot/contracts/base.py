"""What every record on a topic has."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints

from bitloot.ids import EventId


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""An aware point in time, in UTC."""

Text = Annotated[str, StringConstraints(max_length=2000)]
"""A short text for people; never a code, a secret or a link that opens something."""


class Model(BaseModel):
    """A frozen part of a record. Unknown fields are ignored: newer writers may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Record(Model):
    """One value on a topic.

    `event_id` is derived from what happened, so a repeat has the same one. `occurred_at` is the time
    of the process that wrote the record first.
    """

    schema_version: Literal[1] = 1
    event_id: EventId
    occurred_at: Instant
