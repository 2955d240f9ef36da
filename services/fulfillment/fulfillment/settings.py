"""Settings of the fulfillment process: the orders agent and the reservation router."""

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from bitloot.settings import HttpSettings, KafkaSettings
from fulfillment.dialects import Dialect, rules
from fulfillment.order.policy import ASKING, STUCK_AFTER, Asking, Policy
from fulfillment.routing import HELD_FOR


def _seconds(value: object) -> object:
    """Take a bare number for seconds; leave what pydantic reads by itself."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except ValueError:
        return value


def _directory(value: Path) -> Path:
    nearest = next(each for each in (value, *value.absolute().parents) if each.exists())
    if not nearest.is_dir():
        raise ValueError("there is a file in its place")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError("it may not be written to")
    return value


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
"""A span of time: seconds (`3600`), days (`30d`) or ISO 8601 (`PT1H`, `P30D`)."""


class Settings(KafkaSettings, HttpSettings):
    """Read once, in `__main__`."""

    faust_datadir: Annotated[Path, AfterValidator(_directory)] = Field(
        description="a directory for this worker's tables that survives a restart"
    )
    kinguin_dialect: Dialect = Field(
        "reservations", description="reservations or esa, as the kinguin worker has it: how orders go about buying"
    )
    topic_replication: int = Field(1, ge=1, description="the replication factor of the tables' changelogs")
    closed_order_retention: Duration = Field(
        timedelta(days=30),
        gt=timedelta(0),
        description="how long a closed order stays in the table, as seconds, 30d or P30D",
    )
    stuck_after: Duration = Field(
        STUCK_AFTER,
        ge=timedelta(minutes=1),
        description="after how long a paid order that has not ended goes to review, as seconds, 1d or PT24H",
    )
    payment_tolerance: Decimal = Field(
        Decimal(1), ge=0, le=100, description="how many percent of the coins may be missing from a finished payment"
    )
    payment_poll_after: Duration = Field(
        ASKING,
        gt=timedelta(0),
        description="after how long without news an open payment is asked about, as seconds or PT1M; then less often",
    )
    notices_held_for: Duration = Field(
        HELD_FOR,
        gt=timedelta(0),
        description="how long a notice waits for its order until it is put aside, as seconds or PT1H",
    )

    @property
    def policy(self) -> Policy:
        """What of these decides about orders."""
        dialect = rules(self.kinguin_dialect)
        return Policy(
            stuck_after=self.stuck_after,
            retention=self.closed_order_retention,
            look_ups=dialect.look_ups,
            limits=dialect.limits,
            tolerance=self.payment_tolerance / 100,
            asking=Asking(self.payment_poll_after),
        )
