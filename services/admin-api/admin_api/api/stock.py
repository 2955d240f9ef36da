"""The stock that we sell on Kinguin: how much there is, and new codes. No answer ever holds a code."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal

import asyncpg
from pydantic import Field, StringConstraints

from admin_api.access.rights import Asker, Right
from admin_api.api.clicks import ACTION_HEADERS, Action
from admin_api.api.intake import MAX_BYTES, Intake, PlainCode, SealedLine, read_codes
from admin_api.api.listing import Listing
from admin_api.api.ports import Ports
from admin_api.api.reading import SQL, Filter
from admin_api.api.routing import AnyRoute, Upload
from admin_api.api.schemas import Answer, Page, Paging, Question
from admin_api.database import Connection
from bitloot import ids, log
from bitloot.ledger import translated
from bitloot.problem import Problem

_AT_ONCE = 1000
"""Codes sealed in one go (about a tenth of a second, in a thread) and stored in one statement."""
_SHOWN = 100
_READ_SECONDS = 60.0

ProductIdText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]

_log = log.get(__name__)


class StockFilter(Question):
    """Which products."""

    product_id: ProductIdText | None = None


class StockQuestion(Paging, StockFilter):
    """Which page of which products."""


class ProductStock(Answer):
    """How many codes of a product there are, and where they are."""

    product_id: str
    free: int
    reserved: Annotated[int, Field(description="For a sale that is not handed over yet")]
    sent: Annotated[int, Field(description="Handed over, or maybe so; not delivered yet")]
    delivered: int
    returned: Annotated[int, Field(description="Unseen, and in Kinguin's own stock now")]
    refunded: int
    reversed: int
    withheld: Annotated[int, Field(description="They left us without being sold, and are never used again")]
    total: int
    last_imported_at: datetime


class StockList(Page[ProductStock]):
    """A page of products, by their ids."""


class ImportQuestion(Question):
    """Of which product the codes are, and which click it is."""

    product_id: ProductIdText
    action: Action


class RefusedLine(Answer):
    """A code that was not taken, because the file or the stock has it already."""

    line: int
    reason: Literal["in_file", "in_stock"]


class Imported(Answer):
    """What became of a file. Codes that are there already are left out; the same file again adds nothing."""

    import_id: str
    product_id: str
    lines: Annotated[int, Field(description="How many codes the file has")]
    imported: int
    in_file: Annotated[int, Field(description="Left out: the file has them twice")]
    in_stock: Annotated[int, Field(description="Left out: the stock has, or had, them already")]
    refused: Annotated[list[RefusedLine], Field(description=f"The first {_SHOWN} that were left out")]
    repeated: Annotated[bool, Field(description="This click was answered before, and nothing was done again")]


def _where(question: StockFilter, _asker: Asker) -> Filter:
    where = Filter()
    where.add("product_id = {}", question.product_id)
    return where


async def import_codes(ports: Ports, question: ImportQuestion, file: AsyncIterator[bytes]) -> Imported:
    """Take a file of codes, all of it or, when anything in it is not sound, none."""
    if ports.intake is None:
        raise Problem(409, "Selling is not set up: STOCK_SEALING_PUBLIC_KEY and STOCK_HASH_KEY are not set.")
    codes = read_codes(await _whole(file))
    lines, refused = await _sealed(ports.intake, codes)
    import_id = ids.content_id("stock", question.product_id, question.action)
    with translated():
        async with ports.pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval(
                SQL["begin_import"], import_id, question.product_id, len(codes), ports.asker.name
            ):
                return await _repeated(connection, import_id, lines, len(codes))
            refused += await _store(connection, lines, question.product_id, import_id)
            in_stock = sum(each.reason == "in_stock" for each in refused)
            counts = (len(codes) - len(refused), len(refused) - in_stock, in_stock)
            await connection.execute(SQL["end_import"], import_id, *counts)
    imported, in_file, in_stock = counts
    answer = Imported(
        import_id=import_id,
        product_id=question.product_id,
        lines=len(codes),
        imported=imported,
        in_file=in_file,
        in_stock=in_stock,
        refused=sorted(refused, key=lambda each: each.line)[:_SHOWN],
        repeated=False,
    )
    _log.info("stock.imported", **answer.model_dump(exclude={"refused"}))
    return answer


async def _whole(file: AsyncIterator[bytes]) -> bytes:
    raw = bytearray()
    try:
        async with asyncio.timeout(_READ_SECONDS):
            async for chunk in file:
                raw += chunk
    except TimeoutError:
        raise Problem(408, f"The file did not come within {_READ_SECONDS:g} s.") from None
    return bytes(raw)


async def _sealed(intake: Intake, codes: Sequence[PlainCode]) -> tuple[list[SealedLine], list[RefusedLine]]:
    """Return the codes sealed, each once, and those that the file has again."""
    kept: dict[bytes, SealedLine] = {}
    again: list[SealedLine] = []
    for batch in _batches(codes):
        sealed = await asyncio.to_thread(intake.seal, batch)
        again += [line for line in sealed if kept.setdefault(line.digest, line) is not line]
    return list(kept.values()), [RefusedLine(line=each.line, reason="in_file") for each in again]


async def _store(
    connection: Connection, lines: Sequence[SealedLine], product_id: str, import_id: str
) -> list[RefusedLine]:
    """Store codes that are new; return the others."""
    known: list[RefusedLine] = []
    for start in range(0, len(lines), _AT_ONCE):
        batch = lines[start : start + _AT_ONCE]
        rows: list[asyncpg.Record] = await connection.fetch(
            SQL["store_codes"],
            product_id,
            import_id,
            [each.digest for each in batch],
            [each.sealed.model_dump() for each in batch],
        )
        stored = {row["code_hash"] for row in rows}
        known += [RefusedLine(line=each.line, reason="in_stock") for each in batch if each.digest not in stored]
    return known


async def _repeated(connection: Connection, import_id: str, sealed: Sequence[SealedLine], lines: int) -> Imported:
    """Return the answer to an earlier click. Raises the 409 when this is another file: its codes are not all there."""
    row = await connection.fetchrow(SQL["stock_import"], import_id)
    if row is None:
        raise LookupError(f"the import {import_id} is gone")
    known = await connection.fetchval(SQL["known_codes"], [each.digest for each in sealed])
    if row["lines"] != lines or known != len(sealed):
        raise Problem(409, "This Idempotency-Key has brought in another file.")
    return Imported(**dict(row), refused=[], repeated=True)


def _batches(codes: Sequence[PlainCode]) -> Iterator[Sequence[PlainCode]]:
    for start in range(0, len(codes), _AT_ONCE):
        yield codes[start : start + _AT_ONCE]


LISTING = Listing(
    path="/admin/stock",
    name="listStock",
    summary="Count the codes that we sell on Kinguin, product by product",
    tag="Stock",
    filter=StockFilter,
    paged=StockQuestion,
    item=ProductStock,
    page=StockList,
    query="stock",
    where=_where,
    sort=("text", "text"),
    order="asc",
)

ROUTES: tuple[AnyRoute, ...] = (
    *LISTING.routes,
    Upload(
        path="/admin/stock/{productId}/import",
        name="importStock",
        summary="Add the codes of a CSV file to what we sell on Kinguin",
        tag="Stock",
        question=ImportQuestion,
        answer=Imported,
        handle=import_codes,
        media_type="text/csv",
        right=Right.STOCK,
        max_bytes=MAX_BYTES,
        problems=(404, 408, 409, 413, 415),
        headers=ACTION_HEADERS,
    ),
)
