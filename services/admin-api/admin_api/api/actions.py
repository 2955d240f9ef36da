"""Clicks: each is written down once, sent to Kafka once, and asked afterwards what became of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import asyncpg
from pydantic import Field, JsonValue

from admin_api.access.rights import Asker
from admin_api.api.listing import Listing
from admin_api.api.ports import Ports
from admin_api.api.reading import SQL, Filter
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import ActionKey, Answer, OrderIdText, Page, Paging, Question, Words
from bitloot.contracts.state import CLOSED, OrderStatus
from bitloot.ledger import translated
from bitloot.problem import Problem

_GOING_ON = frozenset({OrderStatus.PAID, OrderStatus.PURCHASING, OrderStatus.DELIVERING})
_WAITED_FOR = frozenset({"reprocessOrder", "resolveReview"})
"""What an order may take a while for after it has begun."""


@dataclass(frozen=True, slots=True)
class Click:
    """One click. `order_id` is set where the order itself tells what became of it."""

    action: str
    kind: str
    target: str
    order_id: str | None = None
    request: dict[str, JsonValue] = field(default_factory=dict)

    def values(self, ports: Ports) -> tuple[object, ...]:
        """Return what the queries about clicks want of it."""
        return (self.action, self.kind, ports.asker.name, self.target, self.order_id, self.request)


async def perform(ports: Ports, click: Click, send: Callable[[], Awaitable[None]]) -> bool:
    """Send what a click asks for, once; tell whether it was sent now. Raises what `send` raises, and `Transient`.

    Written down first, sent second, committed last: a click that is written down was sent. The same click at the same
    time waits for the first one. One that was refused is refused again for the same reason.
    """
    with translated():
        async with ports.pool.acquire() as connection, connection.transaction():
            new = await connection.fetchval(SQL["begin_action"], *click.values(ports))
            if new is None:
                known = await connection.fetchrow(SQL["known_action"], click.action)
                _check_same(known, click)
                return False
            await send()
    return True


async def refuse(ports: Ports, click: Click, problem: Problem) -> Problem:
    """Write down that a click was refused, unless that was done before, and return the problem. Raises `Transient`."""
    with translated():
        await ports.pool.execute(SQL["refuse_action"], *click.values(ports), problem.document.get("detail"))
    return problem


def _check_same(known: asyncpg.Record | None, click: Click) -> None:
    asked = (click.kind, click.target, click.request)
    if known is None or (known["kind"], known["target"], known["request"]) != asked:
        raise Problem(409, "This Idempotency-Key has asked for something else.")
    if known["refused"] is not None:
        raise Problem(409, known["refused"])


class ActionStatus(StrEnum):
    """How a click stands."""

    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"  # its detail says why


class OneAction(Question):
    """Which click."""

    id: ActionKey


class ActionFilter(Question):
    """Which clicks."""

    order_id: OrderIdText | None = None
    actor: Words | None = None
    kind: Words | None = None


class ActionQuestion(Paging, ActionFilter):
    """Which page of which clicks."""


class Action(Answer):
    """A click and what became of it."""

    action_id: str
    kind: str
    actor: str
    target: str
    order_id: str | None
    status: ActionStatus
    detail: Annotated[str, Field(description="Why it was refused, what is waited for, or how it ended")]
    asked_at: datetime
    handled_at: Annotated[datetime | None, Field(description="When the order took note of it")]


class Actions(Page[Action]):
    """A page of clicks, newest first."""


async def show_action(ports: Ports, question: OneAction) -> Action:
    """Answer what became of a click."""
    with translated():
        found = await ports.pool.fetchrow(f"{SQL['actions']} where a.action_id = $1", question.id)
    if found is None:
        raise Problem(404, "There is no such action: it was not asked for, or not sent.")
    return _action(dict(found))


def _where(question: ActionFilter, _asker: Asker) -> Filter:
    where = Filter()
    where.add("a.order_id = {}::uuid", question.order_id)
    where.add("a.actor = {}", question.actor)
    where.add("a.kind = {}", question.kind)
    return where


def _action(row: dict[str, Any]) -> Action:
    status, detail = _outcome(row)
    answer = row["answer"] or {}
    known = {name: row[name] for name in ("action_id", "kind", "actor", "target", "order_id", "asked_at")}
    return Action(**known, status=status, detail=detail, handled_at=answer.get("at"))


def _outcome(row: dict[str, Any]) -> tuple[ActionStatus, str]:  # noqa: PLR0911 - one line for each way it can end
    if row["refused"] is not None:
        return ActionStatus.REFUSED, row["refused"]
    if row["order_id"] is None:
        return ActionStatus.DONE, ""
    answer = row["answer"]
    if answer is None:
        return ActionStatus.RUNNING, "The order has not taken note of it yet."
    if not answer["accepted"]:
        return ActionStatus.REFUSED, answer["detail"]
    order = OrderStatus(row["order_status"])
    if row["kind"] == "returnKeys":
        return _returned(row, order)
    if row["kind"] not in _WAITED_FOR or order in CLOSED:
        return ActionStatus.DONE, f"The order is {order}."
    if order in _GOING_ON:
        return ActionStatus.RUNNING, f"The order is {order}."
    review = row["review"] or {}
    return ActionStatus.DONE, f"The order waits for a human: {review.get('cause')}: {review.get('detail')}"


def _returned(row: dict[str, Any], order: OrderStatus) -> tuple[ActionStatus, str]:
    """Return what came of keys that were to go back: the order took note of it, and Kinguin has the last word."""
    since = datetime.fromisoformat(row["answer"]["at"])
    refused = [each["detail"] for each in row["incidents"] if _is_since(each, "at", since, {"return_refused"})]
    review = row["review"] or {}
    if row["returned_at"] is not None and row["returned_at"] >= since:
        return ActionStatus.DONE, " ".join(["Kinguin takes the keys back.", *refused])
    if refused:
        return ActionStatus.REFUSED, refused[-1]
    if _is_since(review, "since", since, {"return_unknown"}):
        return ActionStatus.DONE, f"The order waits for a human: {review['detail']}"
    if order in CLOSED:
        return ActionStatus.DONE, f"The order is {order}."
    return ActionStatus.RUNNING, "Kinguin has not answered yet."


def _is_since(told: dict[str, Any], at: str, since: datetime, causes: set[str]) -> bool:
    return told.get("cause") in causes and datetime.fromisoformat(told[at]) >= since


LISTING = Listing(
    path="/admin/actions",
    name="listActions",
    summary="List what was asked for, newest first",
    tag="Actions",
    filter=ActionFilter,
    paged=ActionQuestion,
    item=Action,
    page=Actions,
    query="actions",
    where=_where,
    sort=("timestamptz", "text"),
    read=_action,
)

ROUTES: tuple[AnyRoute, ...] = (
    *LISTING.routes,
    Route(
        method="GET",
        path="/admin/actions/{id}",
        name="showAction",
        summary="Show what became of a click",
        tag="Actions",
        question=OneAction,
        answer=Action,
        handle=show_action,
        problems=(404,),
    ),
)
