"""Lists as CSV files: what a spreadsheet makes of them."""

import csv
import io
from collections.abc import AsyncIterator

import pytest

from admin_api.api.csv_files import csv_lines
from admin_api.api.schemas import Answer


class Row(Answer):
    """A row."""

    some_text: str | None
    number: int = -2
    parts: tuple[str, ...] = ()


async def written(*texts: str | None) -> str:
    async def rows() -> AsyncIterator[Row]:
        for text in texts:
            yield Row(some_text=text)

    return b"".join([lines async for lines in csv_lines(Row, rows(), {})]).decode()


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2", "'-2"),
        ("+2", "'+2"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ('say "hi", you', 'say "hi", you'),
        ("two\nlines", "two\nlines"),
        (None, ""),
    ],
)
async def test_no_cell_is_a_formula_and_all_else_is_as_it_was(text: str | None, cell: str):
    (head, line) = csv.reader(io.StringIO(await written(text), newline=""))
    assert head == ["someText", "number", "parts"]
    assert line == [cell, "-2", "[]"]


async def test_a_long_list_is_written_in_pieces_with_one_header():
    text = await written(*("x" for _ in range(1234)))
    assert text.count("someText") == 1
    assert len(text.split("\r\n")) == 1234 + 2
