"""Sending many dead letters again: count first, then start; the set is fixed there, and each has a result."""

import uuid
from collections import Counter
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from asyncpg import Record
from pydantic import Field, StringConstraints, field_validator

from admin_api.access.rights import Asker, Right
from admin_api.api.clicks import ACTION_HEADERS, Action
from admin_api.api.dead_letters import DeadLetterFilter
from admin_api.api.listing import Listing
from admin_api.api.ports import Ports
from admin_api.api.reading import SQL, Filter
from admin_api.api.replaying import Unsendable, destination
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Nothing, Page, Paging, Question
from admin_api.database import Connection
from bitloot import log
from bitloot.ledger import translated
from bitloot.problem import Problem

MAX_LETTERS = 10_000

_log = log.get(__name__)
_NAMES = uuid.UUID("7d0c5f0e-3b53-4b0c-9a58-1f3d2f6f4c11")  # of ids made from action ids

ReplayId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class ReplayStatus(StrEnum):
    """How far a replay is."""

    WAITING = "waiting"  # for its turn
    RUNNING = "running"
    DONE = "done"
    CANCELED = "canceled"


class ItemResult(StrEnum):
    """What became of a dead letter in a replay."""

    WAITING = "waiting"
    SENT = "sent"
    REFUSED = "refused"  # it cannot be sent again; its detail says why
    CANCELED = "canceled"  # the replay was ended before


class ReplayFilter(DeadLetterFilter):
    """Which dead letters; those that were sent again already only if that is asked for. Never all of them."""

    replayed: Annotated[
        bool | None, Field(strict=True, description="Also, or only, those that were sent again already")
    ] = False


class CountQuestion(Question):
    """What a replay would find."""

    filter: ReplayFilter

    @field_validator("filter")
    @classmethod
    def _not_all(cls, value: ReplayFilter) -> ReplayFilter:
        if all(given is None for name, given in value if name != "replayed"):
            raise ValueError("It names nothing: give at least one of its conditions.")
        return value


class StartQuestion(CountQuestion):
    """A replay: which dead letters, at most how many, and which click."""

    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_LETTERS, description="How many at most")] = 1000
    expected: Annotated[
        int | None,
        Field(strict=True, ge=0, description="How many were counted before; with another number now nothing is begun"),
    ] = None
    action: Action


class OneReplay(Question):
    """Which replay."""

    id: ReplayId


class ItemQuestion(Paging):
    """Which of a replay's dead letters."""

    id: ReplayId
    result: ItemResult | None = None


class Group(Answer):
    """How many of a kind."""

    name: str
    letters: int


class Count(Answer):
    """What a replay with this filter would find now."""

    matching: int
    sendable: Annotated[int, Field(description="The others are too large or of a topic that nothing is sent to again")]
    topics: list[Group]
    reasons: list[Group]


class AskedReplay(Answer):
    """What a replay was asked for."""

    filter: ReplayFilter
    limit: int


class Replay(Answer):
    """A replay of many dead letters and how far it is."""

    id: str
    action_id: str
    request: AskedReplay
    actor: str
    status: ReplayStatus
    matching: Annotated[int, Field(description="How many the filter found at the start")]
    total: Annotated[int, Field(description="How many of them are in this replay, as its limit allows")]
    waiting: int
    sent: int
    refused: int
    canceled: int
    failed_again: Annotated[int, Field(description="How many of those sent have become dead letters again so far")]
    trouble: Annotated[str | None, Field(description="Why it stands still at the moment")]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Replays(Page[Replay]):
    """A page of replays, newest first."""


class ReplayItem(Answer):
    """What became of one dead letter."""

    position: int
    dead_letter_id: int
    result: ItemResult
    detail: str | None
    done_at: datetime | None
    failed_again_as: Annotated[int | None, Field(description="The dead letter that it has become since")]


class ReplayItems(Page[ReplayItem]):
    """A page of a replay's dead letters, in the order in which they are sent."""


async def count_letters(ports: Ports, question: CountQuestion) -> Count:
    """Answer what a replay would find."""
    where = question.filter.where()
    grouped = f"{SQL['count_letters']}{where.clause} group by d.topic, d.reason, d.value_cut"
    with translated():
        rows = await ports.pool.fetch(grouped, *where.values)
    topics, reasons = Counter[str](), Counter[str]()
    for each in rows:
        topics[each["topic"]] += each["letters"]
        reasons[each["reason"]] += each["letters"]
    return Count(
        matching=sum(topics.values()),
        sendable=sum(each["letters"] for each in rows if _sendable(each, ports)),
        topics=_groups(topics),
        reasons=_groups(reasons),
    )


def _sendable(group: Record, ports: Ports) -> bool:
    try:
        destination(group, ports.replayable)
    except Unsendable:
        return False
    return True


def _groups(counted: Counter[str]) -> list[Group]:
    return [Group(name=name, letters=letters) for name, letters in counted.most_common()]


async def start_replay(ports: Ports, question: StartQuestion) -> Replay:
    """Fix the set and have it sent. The same click again is answered with the replay that it began."""
    identity = str(uuid.uuid5(_NAMES, question.action))
    request = question.model_dump(mode="json", by_alias=True, include={"filter", "limit"})
    with translated():
        async with ports.pool.acquire() as connection, connection.transaction():
            new = await connection.fetchval(
                SQL["begin_bulk_replay"], identity, question.action, request, ports.asker.name
            )
            if new:
                matching = await _choose(connection, identity, question)
                _log.info("dead_letters.replay_asked", replay=identity, action_id=question.action, matching=matching)
            elif await connection.fetchval(SQL["asked_bulk_replay"], identity) != request:
                raise Problem(409, "This Idempotency-Key has begun another replay.")
    return await show_replay(ports, OneReplay(id=identity))


async def _choose(connection: Connection, identity: str, question: StartQuestion) -> int:
    where = question.filter.where()
    number = len(where.values)
    query = SQL["choose_letters"].format(where=where.clause, replay=f"${number + 1}", limit=f"${number + 2}")
    matching: int = await connection.fetchval(query, *where.values, identity, question.limit)
    if question.expected is not None and matching != question.expected:
        raise Problem(409, f"There are {matching} by now, not {question.expected}.", matching=matching)
    return matching


async def show_replay(ports: Ports, question: OneReplay) -> Replay:
    """Answer one replay."""
    with translated():
        found = await ports.pool.fetchrow(f"{SQL['bulk_replays']} where r.id = $1", question.id)
    if found is None:
        raise Problem(404, "There is no such replay.")
    return _replay(dict(found))


def _replay(found: dict[str, Any]) -> Replay:
    if found["canceled_at"] is not None:
        status = ReplayStatus.CANCELED
    elif found["finished_at"] is not None:
        status = ReplayStatus.DONE
    else:
        status = ReplayStatus.RUNNING if found["started_at"] is not None else ReplayStatus.WAITING
    request = AskedReplay(
        filter=ReplayFilter.model_validate(found["request"]["filter"]), limit=found["request"]["limit"]
    )
    return Replay.model_validate({**found, "request": request, "status": status})


async def list_items(ports: Ports, question: ItemQuestion) -> Page[Any]:
    """Answer what became of each."""
    await show_replay(ports, OneReplay(id=question.id))
    return await _ITEMS.answer(ports, question)


def _items_where(question: ItemQuestion, _asker: Asker) -> Filter:
    where = Filter()
    where.add("i.replay_id = {}", question.id)
    where.add("i.result = {}", question.result)
    return where


async def cancel_replay(ports: Ports, question: OneReplay) -> Replay:
    """End a replay: what was sent stays sent, the rest is not. One that has ended stays as it is."""
    with translated():
        async with ports.pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(SQL["cancel_bulk_replay"], question.id):
                await connection.execute(SQL["cancel_items"], question.id)
    return await show_replay(ports, question)


_PATH = "/admin/dead-letters/replays"
_TAG = "Dead letters"

_REPLAYS = Listing(
    path=_PATH,
    name="listReplays",
    summary="List replays of many dead letters, newest first",
    tag="Dead letters",
    filter=Nothing,
    paged=Paging,
    item=Replay,
    page=Replays,
    query="bulk_replays",
    where=lambda _question, _asker: Filter(),
    sort=("timestamptz", "text"),
    read=_replay,
)

_ITEMS = Listing(
    path="/admin/dead-letters/replays/{id}/items",
    name="listReplayItems",
    summary="List what became of each dead letter of a replay",
    tag="Dead letters",
    filter=ItemQuestion,
    paged=ItemQuestion,
    item=ReplayItem,
    page=ReplayItems,
    query="bulk_replay_items",
    where=_items_where,
    sort=("integer", "text"),
    order="asc",
)

ROUTES: tuple[AnyRoute, ...] = (
    *_REPLAYS.routes,
    Route(
        method="POST",
        path=f"{_PATH}/count",
        name="countDeadLettersToReplay",
        summary="Count what a replay would send again",
        tag=_TAG,
        question=CountQuestion,
        answer=Count,
        handle=count_letters,
        right=Right.OPERATE,
        reads=True,
        problems=(415,),
        body=True,
    ),
    Route(
        method="POST",
        path=_PATH,
        name="replayDeadLetters",
        summary="Send all dead letters that a filter finds again",
        tag=_TAG,
        question=StartQuestion,
        answer=Replay,
        handle=start_replay,
        right=Right.OPERATE,
        status=202,
        problems=(409, 415),
        headers=ACTION_HEADERS,
        body=True,
    ),
    Route(
        method="GET",
        path=f"{_PATH}/{{id}}",
        name="showReplay",
        summary="Show how far a replay is",
        tag=_TAG,
        question=OneReplay,
        answer=Replay,
        handle=show_replay,
        problems=(404,),
    ),
    Route(
        method="GET",
        path=f"{_PATH}/{{id}}/items",
        name="listReplayItems",
        summary="List what became of each dead letter of a replay",
        tag=_TAG,
        question=ItemQuestion,
        answer=ReplayItems,
        handle=list_items,
        problems=(404,),
    ),
    Route(
        method="POST",
        path=f"{_PATH}/{{id}}/cancel",
        name="cancelReplay",
        summary="End a replay; what is not sent yet stays",
        tag=_TAG,
        question=OneReplay,
        answer=Replay,
        handle=cancel_replay,
        right=Right.OPERATE,
        problems=(404,),
    ),
)
