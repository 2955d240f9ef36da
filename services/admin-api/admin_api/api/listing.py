"""Lists: one declaration gives pages, by limit and offset or by cursor, and the same list as a CSV file.

A cursor says after which row to go on. It is signed, and bound to its list and filter: one from elsewhere is refused.
"""

import base64
import csv
import hashlib
import hmac
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, LiteralString, TypeVar

import asyncpg
from pydantic import BaseModel

from admin_api.access.rights import Right
from admin_api.api.masking import seen_by
from admin_api.api.ports import Ports
from admin_api.api.questions import refused
from admin_api.api.reading import SQL, Filter
from admin_api.api.routing import AnyRoute, Route, Stream
from admin_api.api.schemas import Answer, Page, Paging, Question
from bitloot.ledger import translated

COUNTED = 10_000
"""So many rows are counted; of more, Postgres' own estimate is told."""
_AT_ONCE = 500  # lines of a file
# A status may be that of a million orders or of three: how it is best looked for depends on which is asked for. And
# rows of one time lie together: to find the first that fit by reading a table through may take all of it.
_PLANNING = "select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true)"

F = TypeVar("F", bound=Question)


@dataclass(frozen=True, slots=True)
class Listing(Generic[F]):
    """A list. Its named query gives the columns of `item`, and `sort_1` and `sort_2` of the types that `sort` names.

    Both together are unique, and rows are in their order. `filter` says which rows, `paged` is the same with paging.
    """

    path: str
    name: str
    summary: str
    tag: str
    filter: type[F]
    paged: type[Paging]
    item: type[Answer]
    page: type[Page[Any]]
    query: LiteralString
    where: Callable[[F], Filter]
    sort: tuple[LiteralString, LiteralString]
    order: Literal["asc", "desc"] = "desc"
    right: Right = Right.READ
    read: Callable[[dict[str, Any]], Answer] | None = None

    @property
    def routes(self) -> tuple[AnyRoute, ...]:
        """The list as pages and as a file."""
        return (
            Route(
                method="GET",
                path=self.path,
                name=self.name,
                summary=self.summary,
                tag=self.tag,
                question=self.paged,
                answer=self.page,
                handle=self.answer,
                right=self.right,
            ),
            Stream(
                path=f"{self.path}.csv",
                name=f"{self.name}AsCsv",
                summary=f"{self.summary}: all of them, as CSV",
                tag=self.tag,
                question=self.filter,
                handle=self.export,
                media_type="text/csv",
                right=self.right,
                file=f"{self.path.removeprefix('/admin/').replace('/', '-')}.csv",
            ),
        )

    async def answer(self, ports: Ports, question: Any) -> Page[Any]:
        """Answer a page. Raises the 400 for a cursor that is not this list's, and `Transient`."""
        where = self.where(question)
        values = list(where.values)
        after = "" if question.cursor is None else self._after(ports, question, values)
        found = f"{SQL[self.query]}{where.clause}"
        order = f"sort_1 {self.order}, sort_2 {self.order}"
        number = len(values)
        with translated():
            async with (
                ports.pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                await connection.execute(_PLANNING)
                rows = await connection.fetch(
                    f"select found.*, sort_1::text as cursor_1, sort_2::text as cursor_2 from ({found}) as found{after}"  # noqa: S608 - see Filter
                    f" order by {order} limit ${number + 1} offset ${number + 2}",
                    *values,
                    question.limit + 1,
                    question.offset,
                )
                more = len(rows) > question.limit
                if more or question.offset or question.cursor is not None:
                    total, exact = await _count(connection, found, where.values)
                else:  # these are all
                    total, exact = len(rows), True
        rows = rows[: question.limit]
        return self.page.model_validate(
            {
                "items": [self._item(row) for row in rows],
                "total": total,
                "total_exact": exact,
                "limit": question.limit,
                "offset": question.offset,
                "next": self._cursor(ports, question, rows[-1]) if more else None,
                "as_of": ports.fresh_as_of(),
            }
        )

    async def export(self, ports: Ports, question: F) -> AsyncIterator[bytes]:
        """Give all rows as CSV, in one view of the database. Raises `Transient`."""
        where = self.where(question)
        order = f"sort_1 {self.order}, sort_2 {self.order}"
        statement = f"select * from ({SQL[self.query]}{where.clause}) as found order by {order}"  # noqa: S608 - see Filter
        names = [field.serialization_alias or name for name, field in self.item.model_fields.items()]
        with translated():
            async with (
                ports.pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                lines = [names]
                async for row in connection.cursor(statement, *where.values, prefetch=_AT_ONCE):
                    lines.append(_cells(self._item(row), ports))
                    if len(lines) == _AT_ONCE:
                        yield _lines(lines)
                        lines = []
                yield _lines(lines)

    def _item(self, row: asyncpg.Record) -> Answer:
        return self.item.model_validate(dict(row)) if self.read is None else self.read(dict(row))

    def _cursor(self, ports: Ports, question: Paging, last: asyncpg.Record) -> str:
        told = json.dumps([last["cursor_1"], last["cursor_2"]]).encode()
        return f"{_text(told)}.{_text(self._signed(ports, question, told))}"

    def _after(self, ports: Ports, question: Paging, values: list[object]) -> str:
        """Return the condition of a cursor, and add its values. Raises the 400 for one that is not ours."""
        told, _, signature = (question.cursor or "").partition(".")
        try:
            raw, signed = _bytes(told), _bytes(signature)
        except ValueError:
            raise refused([("cursor", "It is no cursor of this list.")]) from None
        if question.offset or not hmac.compare_digest(signed, self._signed(ports, question, raw)):
            raise refused([("cursor", "It is no cursor of this list with this filter; a cursor has no offset.")])
        values.extend(json.loads(raw))
        first, second = self.sort
        sign = "<" if self.order == "desc" else ">"
        number = len(values)
        return f" where (sort_1, sort_2) {sign} (${number - 1}::text::{first}, ${number}::text::{second})"

    def _signed(self, ports: Ports, question: Paging, told: bytes) -> bytes:
        of_filter = question.model_dump_json(exclude={"limit", "offset", "cursor"}).encode()
        message = b"\0".join((self.name.encode(), hashlib.sha256(of_filter).digest(), told))
        return hmac.digest(ports.cursor_key, message, hashlib.sha256)[:16]


async def _count(connection: Any, found: str, values: list[object]) -> tuple[int, bool]:
    """Return how many rows there are, and whether that is exact."""
    counted: int = await connection.fetchval(
        f"select count(*) from (select from ({found}) as found limit {COUNTED + 1}) as counted",  # noqa: S608 - see Filter
        *values,
    )
    if counted <= COUNTED:
        return counted, True
    (plan,) = await connection.fetchval(f"explain (format json) {found}", *values)
    return max(int(plan["Plan"]["Plan Rows"]), counted), False


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _cells(item: BaseModel, ports: Ports) -> list[str]:
    told = item.model_dump(mode="json", by_alias=True, context=seen_by(ports.asker))
    return [_cell(value) for value in told.values()]


def _cell(value: object) -> str:
    """Return a value as text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _lines(rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()
