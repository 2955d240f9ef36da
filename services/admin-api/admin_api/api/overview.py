"""Figures for a first look: what waits, what fails and why, how the providers are, and our money with them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from admin_api.api.ports import Ports
from admin_api.api.reading import SQL
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Moment, Nothing, Question
from admin_api.sql import named_queries
from bitloot.ledger import translated

_LAST_NOTIFICATIONS = named_queries("admin_api")["last_notifications"]
_DAY = timedelta(days=1)
_MAX_WINDOW = timedelta(days=31)
_TAG = "Figures"
_RULE = (
    "Failures are one group when provider, call, kind of failure and typed cause are the same. Texts, ids, times and "
    "counts play no part."
)

PROVIDERS = {
    "buy_key": "kinguin",
    "give_reservation": "kinguin",
    "look_up_purchase": "kinguin",
    "fetch_codes": "kinguin",
    "return_keys": "kinguin",
    "check_payment": "nowpayments",
    "store_keys": "r2",
    "send_mail": "resend",
}
"""Whom a call goes to."""


class Since(Question):
    """Since when: a day ago unless something else is asked, at most 31 days."""

    since: Annotated[Moment | None, Field(description="At or after; a day ago by default, 31 days at most")] = None

    @property
    def moment(self) -> datetime:
        """The time itself."""
        now = datetime.now(UTC)
        return max(now - _MAX_WINDOW, self.since or now - _DAY)


class StatusCount(Answer):
    """How many orders have a status."""

    status: str
    orders: int


class CauseCount(Answer):
    """How many orders wait for a reason, and since when the first of them."""

    cause: str
    orders: int
    oldest_since: datetime


class Overview(Answer):
    """What is going on."""

    open_orders: Annotated[list[StatusCount], Field(description="By status; closed orders are not counted")]
    placed_last_day: int
    mailed_last_day: int
    reviews: list[CauseCount]
    dead_letters_last_day: int
    unfinished_calls: Annotated[int, Field(description="Whose time is over, and whose outcome is unknown")]
    as_of: datetime | None


async def show_overview(ports: Ports, _question: Nothing) -> Overview:
    """Answer the figures."""
    with translated():
        async with (
            ports.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            statuses = await connection.fetch(SQL["open_orders"])
            reviews = await connection.fetch(SQL["review_causes"])
            figures = await connection.fetchrow(SQL["figures"])
    return Overview.model_validate(
        {
            **dict(figures or {}),
            "open_orders": [dict(row) for row in statuses],
            "reviews": [dict(row) for row in reviews],
            "as_of": ports.fresh_as_of(),
        }
    )


class FailureGroup(Answer):
    """Failures of one cause. `effectsUrl` lists them."""

    provider: str
    call: str
    failure: Annotated[str, Field(description="transient, refused or unknown")]
    cause: str
    count: int
    orders: int
    first_at: datetime
    last_at: datetime
    newest_order_id: str | None


class Failures(Answer):
    """Failures of calls, grouped by cause, the most frequent first."""

    rule: Annotated[str, Field(description="What makes failures one group, in words")]
    since: datetime
    items: list[FailureGroup]


async def list_failures(ports: Ports, question: Since) -> Failures:
    """Answer the groups."""
    since = question.moment
    with translated():
        rows = await ports.pool.fetch(SQL["failure_groups"], since)
    items = [FailureGroup.model_validate({**dict(row), "provider": provider_of(row["call"])}) for row in rows]
    return Failures(rule=_RULE, since=since, items=items)


def provider_of(call: str) -> str:
    """Return whom a call goes to; calls about what we sell go to Kinguin too."""
    return PROVIDERS.get(call, "kinguin-seller")


class ProviderHealth(Answer):
    """How a provider has been in the last hour."""

    provider: str
    calls: int
    failures: int
    failure_rate: Annotated[float | None, Field(description="Of the calls with a known outcome; null without any")]
    last_call_at: datetime | None
    last_success_at: datetime | None
    last_notification_at: Annotated[datetime | None, Field(description="When it last sent us one that was accepted")]
    state: Annotated[
        Literal["ok", "failing", "silent"],
        Field(description="failing: half of the last hour's calls or more; silent: nothing in the last hour"),
    ]


class Providers(Answer):
    """All providers."""

    items: list[ProviderHealth]


async def list_providers(ports: Ports, _question: Nothing) -> Providers:
    """Answer how each provider has been."""
    with translated():
        calls = await ports.pool.fetch(SQL["calls_last_hour"])
        seen = {row["provider"]: row["last_at"] for row in await ports.pool.fetch(_LAST_NOTIFICATIONS)}
    found: dict[str, dict[str, object]] = {}
    for name in sorted({*PROVIDERS.values(), *seen, *(provider_of(row["kind"]) for row in calls)}):
        mine = [row for row in calls if provider_of(row["kind"]) == name]
        ended, failures = sum(row["ended"] for row in mine), sum(row["failures"] for row in mine)
        silent = not mine and not (seen.get(name) and seen[name] > datetime.now(UTC) - timedelta(hours=1))
        failing = ended > 0 and failures * 2 >= ended
        found[name] = {
            "provider": name,
            "calls": sum(row["calls"] for row in mine),
            "failures": failures,
            "failure_rate": failures / ended if ended else None,
            "last_call_at": max((row["last_call_at"] for row in mine), default=None),
            "last_success_at": max((row["last_success_at"] for row in mine if row["last_success_at"]), default=None),
            "last_notification_at": seen.get(name),
            "state": "failing" if failing else "silent" if silent else "ok",
        }
    return Providers(items=[ProviderHealth.model_validate(each) for each in found.values()])


class Balance(Answer):
    """The money on one of our accounts, as it was last read."""

    account: str
    balance: Decimal
    currency: str
    low: Annotated[bool, Field(description="It was below the threshold that was set then")]
    read_at: datetime


class Balances(Answer):
    """All accounts."""

    items: list[Balance]


async def list_balances(ports: Ports, _question: Nothing) -> Balances:
    """Answer the newest reading of each account."""
    with translated():
        rows = await ports.pool.fetch(SQL["balances"])
    return Balances(items=[Balance.model_validate(dict(row)) for row in rows])


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/admin/overview",
        name="showOverview",
        summary="Count what is going on",
        tag=_TAG,
        question=Nothing,
        answer=Overview,
        handle=show_overview,
    ),
    Route(
        method="GET",
        path="/admin/failures",
        name="listFailures",
        summary="Group failed calls by their cause",
        tag=_TAG,
        question=Since,
        answer=Failures,
        handle=list_failures,
    ),
    Route(
        method="GET",
        path="/admin/providers",
        name="listProviders",
        summary="Show how each provider has been in the last hour",
        tag=_TAG,
        question=Nothing,
        answer=Providers,
        handle=list_providers,
    ),
    Route(
        method="GET",
        path="/admin/balances",
        name="listBalances",
        summary="Show the money on our accounts",
        tag=_TAG,
        question=Nothing,
        answer=Balances,
        handle=list_balances,
    ),
)
