"""Lists: one declaration gives pages, by limit and offset or by cursor, and the same list as a CSV file.

A cursor says after or before which row to go on. It is signed, and bound to its list and filter: one from elsewhere
is refused.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, LiteralString, TypeVar, cast

import asyncpg
from pydantic import create_model

from admin_api.access.rights import Asker, Right
from admin_api.api.csv_files import ROWS, csv_lines, making
from admin_api.api.masking import Seen, may_see, seen_by
from admin_api.api.ports import Ports
from admin_api.api.questions import refused
from admin_api.api.reading import SQL, Filter
from admin_api.api.routing import AnyRoute, Route, Stream
from admin_api.api.schemas import Answer, Page, Paging, Question, Reason
from bitloot.ledger import translated
from bitloot.problem import Problem

COUNTED = 10_000
"""So many rows are counted; of more, Postgres' own estimate is told."""
# A status may be that of a million orders or of three: how it is best looked for depends on which is asked for. And
# rows of one time lie together: to find the first that fit by reading a table through may take all of it.
_PLANNING = "select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true)"

F = TypeVar("F", bound=Question)


@dataclass(frozen=True, slots=True)
class _Place:
    """Beside which row a page is: its two values as texts, and on which side."""

    values: tuple[str, str]
    before: bool


@dataclass(frozen=True, slots=True)
class Listing(Generic[F]):
    """A list. Its named query gives the columns of `item`, and `sort_1` and `sort_2` of the types that `sort` names.

    Both together are unique, and rows are in their order. `filter` says which rows, `paged` is the same with paging.
    `where` refuses to look for what is masked if the asker has no right to see it: else they would find it by trying.
    `masked` is the right without which some of it is masked: who has it and says why gets a file with that where there
    are `unmasked_files`. Their question is the filter and a `reason`, as JSON: a filter with a `reason` of its own, or
    with flags, which addresses write otherwise, has none.
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
    where: Callable[[F, Asker], Filter]
    sort: tuple[LiteralString, LiteralString]
    order: Literal["asc", "desc"] = "desc"
    right: Right = Right.READ
    read: Callable[[dict[str, Any]], Answer] | None = None
    masked: Right | None = None
    unmasked_files: bool = False

    @property
    def routes(self) -> tuple[AnyRoute, ...]:
        """The list as pages and as files."""
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
            self._file,
            *((self._unmasked_file(self.masked),) if self.masked and self.unmasked_files else ()),
        )

    @property
    def _file(self) -> Stream[Any]:
        return Stream(
            path=f"{self.path}.csv",
            name=f"{self.name}AsCsv",
            summary=f"{self.summary}: all of them, as CSV",
            tag=self.tag,
            question=self.filter,
            handle=self.export,
            media_type="text/csv",
            right=self.right,
            file=f"{self.path.removeprefix('/admin/').replace('/', '-')}.csv",
            problems=(422,),
            masked=self.masked,
        )

    def _unmasked_file(self, right: Right) -> Stream[Any]:
        reasoned: Any = {"reason": (Reason, ...)}
        question = create_model(f"{self.filter.__name__}WithReason", __base__=self.filter, **reasoned)
        question.__doc__ = "Which rows, and why what is masked in them is needed."
        return replace(
            self._file,
            method="POST",
            name=f"{self.name}AsUnmaskedCsv",
            summary=f"{self.summary}: all of them, as CSV in which nothing is masked that the asker may see",
            question=question,
            handle=self.export_unmasked,
            right=right,
            problems=(415, 422),
            body=True,
            unmasks=True,
        )

    async def answer(self, ports: Ports, question: Any) -> Page[Any]:
        """Answer a page. Raises the 400 for a cursor that is not this list's, and `Transient`."""
        where = self.where(question, ports.asker)
        place = self._place(ports, question)
        with translated():
            async with (
                ports.pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                await connection.execute(_PLANNING)
                rows = await self._beside(connection, where, question, place)
                if place is not None and place.before and len(rows) <= question.limit:
                    place = None  # it is the first page: that, whole, is what is wanted
                    rows = await self._beside(connection, where, question, place)
                more = len(rows) > question.limit
                if more or question.offset or question.cursor is not None:
                    total, exact = await _count(connection, f"{SQL[self.query]}{where.clause}", where.values)
                else:  # these are all
                    total, exact = len(rows), True
        rows = rows[: question.limit]
        back = place is not None and place.before
        if back:
            rows.reverse()
        follows = bool(rows) and (more or back)
        precedes = bool(rows) and (place is not None or question.offset > 0)
        return self.page.model_validate(
            {
                "items": [self._item(row) for row in rows],
                "total": total,
                "total_exact": exact,
                "limit": question.limit,
                "offset": question.offset,
                "next": self._cursor(ports, question, rows[-1]) if follows else None,
                "previous": self._cursor(ports, question, rows[0], "before") if precedes else None,
                "as_of": ports.fresh_as_of(),
            }
        )

    def export(self, ports: Ports, question: F) -> AsyncGenerator[bytes, None]:
        """Give all rows as CSV, masked as the asker's pages are. Raises the 422 for too many rows, and `Transient`."""
        return self._export(ports, question, seen_by(ports.asker))

    def export_unmasked(self, ports: Ports, question: F) -> AsyncGenerator[bytes, None]:
        """Give the same with what the asker may see."""
        return self._export(ports, question, may_see(ports.asker))

    async def _export(self, ports: Ports, question: F, seen: Seen) -> AsyncGenerator[bytes, None]:
        where = self.where(question, ports.asker)
        found = f"{SQL[self.query]}{where.clause}"
        statement = f"select * from ({found}) as found order by {self._order(self.order)}"  # noqa: S608 - see Filter
        with translated():
            async with (
                making(ports.files),
                ports.pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                if await _counted(connection, found, where.values, ROWS) > ROWS:
                    raise Problem(422, f"That is more than {ROWS} rows, which no spreadsheet opens: narrow the filter.")
                rows = connection.cursor(statement, *where.values, prefetch=500)
                async for lines in csv_lines(self.item, (self._item(row) async for row in rows), seen):
                    yield lines

    async def _beside(
        self, connection: Any, where: Filter, question: Any, place: _Place | None
    ) -> list[asyncpg.Record]:
        """Return the rows on a side of a place, nearest first, one more than a page if there are so many."""
        values = list(where.values)
        order = self.order
        beside = ""
        if place is not None:
            if place.before:
                order = "asc" if order == "desc" else "desc"
            values.extend(place.values)
            first, second = self.sort
            sign = "<" if order == "desc" else ">"
            number = len(values)
            beside = f" where (sort_1, sort_2) {sign} (${number - 1}::text::{first}, ${number}::text::{second})"
        number = len(values)
        found = f"{SQL[self.query]}{where.clause}"
        rows = await connection.fetch(
            f"select found.*, sort_1::text as cursor_1, sort_2::text as cursor_2 from ({found}) as found{beside}"  # noqa: S608 - see Filter
            f" order by {self._order(order)} limit ${number + 1} offset ${number + 2}",
            *values,
            question.limit + 1,
            question.offset,
        )
        return cast("list[asyncpg.Record]", rows)

    @staticmethod
    def _order(direction: Literal["asc", "desc"]) -> str:
        return f"sort_1 {direction}, sort_2 {direction}"

    def _item(self, row: asyncpg.Record) -> Answer:
        return self.item.model_validate(dict(row)) if self.read is None else self.read(dict(row))

    def _cursor(self, ports: Ports, question: Paging, at: asyncpg.Record, *side: Literal["before"]) -> str:
        told = json.dumps([at["cursor_1"], at["cursor_2"], *side]).encode()
        return f"{_text(told)}.{_text(self._signed(ports, question, told))}"

    def _place(self, ports: Ports, question: Paging) -> _Place | None:
        """Return what a cursor says. Raises the 400 for one that is not ours."""
        if question.cursor is None:
            return None
        told, _, signature = question.cursor.partition(".")
        try:
            raw, signed = _bytes(told), _bytes(signature)
        except ValueError:
            raise refused([("cursor", "It is no cursor of this list.")]) from None
        if question.offset or not hmac.compare_digest(signed, self._signed(ports, question, raw)):
            raise refused([("cursor", "It is no cursor of this list with this filter; a cursor has no offset.")])
        first, second, *side = json.loads(raw)
        return _Place((first, second), before=bool(side))

    def _signed(self, ports: Ports, question: Paging, told: bytes) -> bytes:
        of_filter = question.model_dump_json(exclude={"limit", "offset", "cursor"}).encode()
        message = b"\0".join((self.name.encode(), hashlib.sha256(of_filter).digest(), told))
        return hmac.digest(ports.cursor_key, message, hashlib.sha256)[:16]


async def _counted(connection: Any, found: str, values: list[object], most: int) -> int:
    """Return how many rows there are, up to one more than `most`."""
    counted: int = await connection.fetchval(
        f"select count(*) from (select from ({found}) as found limit {most + 1}) as counted",  # noqa: S608 - see Filter
        *values,
    )
    return counted


async def _count(connection: Any, found: str, values: list[object]) -> tuple[int, bool]:
    """Return how many rows there are, and whether that is exact."""
    counted = await _counted(connection, found, values, COUNTED)
    if counted <= COUNTED:
        return counted, True
    (plan,) = await connection.fetchval(f"explain (format json) {found}", *values)
    return max(int(plan["Plan"]["Plan Rows"]), counted), False


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
