"""An order found by one of its codes, or by the end of one: by keyed hashes, as nobody here can open a code.

The code comes in a body, never in an address; it is neither kept nor logged. Each search is written down, with what it
found, and nobody may search often (ADR 0031).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

import asyncpg
from pydantic import AfterValidator, Field, JsonValue, SecretStr

from admin_api.access.limits import Limit, Limits
from admin_api.access.rights import Right
from admin_api.api.ports import Ports
from admin_api.api.reading import SQL
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Question
from bitloot.code_hashes import TAIL, plain
from bitloot.ledger import translated
from bitloot.problem import Problem

_SHOWN = 20
_SEARCHES = Limit(burst=20, per_minute=20)
_LONGEST = 1000


def _long_enough(value: SecretStr) -> SecretStr:
    code = plain(value.get_secret_value())
    if len(code) < TAIL or not any(letter.isalnum() for letter in code):
        raise ValueError(f"It takes {TAIL} letters and digits at least.")
    return value


class CodeQuestion(Question):
    """A code."""

    code: Annotated[
        SecretStr,
        Field(
            min_length=TAIL, max_length=_LONGEST, description="The code, or its last five characters; in any spelling"
        ),
        AfterValidator(_long_enough),
    ]


class FoundOrder(Answer):
    """An order that has the code, or one with the same end."""

    order_id: str
    reservation_id: str | None
    found_by: Annotated[Literal["code", "end"], Field(description="By all of the code, or by its last five characters")]
    status: Annotated[str | None, Field(description="Null while the read model has the code and not yet the order")]
    placed_at: datetime | None
    first_seen_at: Annotated[datetime, Field(description="When the code came")]


class FoundOrders(Answer):
    """Orders that were found, the newest first."""

    items: list[FoundOrder]
    more: Annotated[bool, Field(description="Whether there are more than are shown")]
    as_of: Annotated[datetime | None, Field(description="All that Kafka had by then was searched")]


async def find_by_code(ports: Ports, question: CodeQuestion) -> FoundOrders:
    """Answer the orders with this very code; where there are none, those with a code that ends alike."""
    if ports.hasher is None:
        raise Problem(409, "Searching by code is not set up: CODE_HASH_KEYS is not set.")
    await Limits(ports.pool).take(f"codes/{ports.asker.via}/{ports.asker.name}", _SEARCHES)
    code = question.code.get_secret_value()
    found_by: Literal["code", "end"] = "code"
    rows = await _orders(ports, "whole_hash", ports.hasher.wholes(code))
    if not rows:
        found_by = "end"
        rows = await _orders(ports, "tail_hash", ports.hasher.tails(code))
    items = [FoundOrder.model_validate({**dict(row), "found_by": found_by}) for row in rows[:_SHOWN]]
    return FoundOrders(items=items, more=len(rows) > _SHOWN, as_of=ports.fresh_as_of())


async def _orders(
    ports: Ports, column: Literal["whole_hash", "tail_hash"], hashes: Sequence[bytes]
) -> Sequence[asyncpg.Record]:
    with translated():
        return await ports.pool.fetch(SQL["orders_by_code"].format(hash=column), hashes, _SHOWN + 1)


def _noted(answer: FoundOrders) -> Mapping[str, JsonValue]:
    """Return what the audit log is told: which orders somebody has found, never by what."""
    return {"orders": [each.order_id for each in answer.items]}


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="POST",
        path="/admin/orders/find-by-code",
        name="findOrdersByCode",
        summary="Find the orders that have a code, by the code or its last five characters",
        tag="Orders",
        question=CodeQuestion,
        answer=FoundOrders,
        handle=find_by_code,
        right=Right.FIND_CODES,
        problems=(409, 415),
        body=True,
        noted=_noted,
    ),
)
