"""Lists as CSV files (RFC 4180): written as they are read, few at a time, and safe to open in a spreadsheet."""

import csv
import io
import json
from asyncio import Semaphore
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

from pydantic import BaseModel

from admin_api.api.masking import Seen
from bitloot.problem import Problem

ROWS = 1_000_000
"""So many rows has a file at most: a spreadsheet opens 1,048,576."""
_AT_ONCE = 500  # lines


@asynccontextmanager
async def making(files: Semaphore) -> AsyncIterator[None]:
    """Make a file. Raises the 429 while as many are being made as may be: the others need the database, too."""
    if files.locked():
        raise Problem(429, "Other files are being made: try again in a while.", headers={"Retry-After": "10"})
    async with files:
        yield


async def csv_lines(item: type[BaseModel], rows: AsyncIterable[BaseModel], seen: Seen) -> AsyncGenerator[bytes, None]:
    """Give a header and the rows, some hundred at a time, masked by what is seen."""
    lines = [[field.serialization_alias or name for name, field in item.model_fields.items()]]
    async for row in rows:
        lines.append([_cell(value) for value in row.model_dump(mode="json", by_alias=True, context=seen).values()])
        if len(lines) == _AT_ONCE:
            yield _written(lines)
            lines = []
    yield _written(lines)


def _cell(value: object) -> str:
    """Return a value as text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _written(rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()
