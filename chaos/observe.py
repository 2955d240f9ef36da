"""Reads the facts from a running stack, waits until nothing moves, and keeps the evidence of an order."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from chaos import records
from chaos.facts import Facts, Letter, Mail, Place, Purchase, Row
from chaos.verdict import FINAL

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_LOOK_SECONDS = 0.5
_READINGS = 5  # more of them for what moves: an order that moves in one reading stands still in another
STILL_SECONDS = 5.0
"""So long must all be final and the ledger stay as it is, before we believe that nothing moves any more."""

_ROWS = """
select o.id::text, o.status, o.version, o.review->>'cause' as review, o.review->>'detail' as detail,
       array(select i->>'cause' from jsonb_array_elements(o.incidents) i) as incidents,
       array(select array[i.id, i.status, i.reservation_id] from order_items i
             where i.order_id = o.id order by i.position) as items,
       (select coalesce(jsonb_object_agg(k.order_item_id, k.count), '{}')
        from (select order_item_id, count(*) from keys where order_id = o.id group by 1) k)::text as keys,
       array(select distinct storage_ref from keys where order_id = o.id) as refs,
       (select count(*) from emails e where e.order_id = o.id and e.status = 'accepted' and e.kind = 'keys') as mails
from orders o
"""
_PROGRESS = """
select (select count(*) from orders where id = any($1::uuid[]) and status = any($2)) as ended,
       (select count(*) from dead_letters) as letters,
       (select coalesce(sum(version), 0) from orders) as versions
"""
_LETTERS = "select consumer, topic, partition, record_offset, reason from dead_letters"
_WAITS = """
select extract(epoch from mailed_at - paid_at)::float8 as wait from orders
where status = 'fulfilled' and mailed_at is not null and paid_at is not null order by 1
"""


async def until_still(
    stack: Mapping[str, Any],
    orders: Sequence[str],
    letters: int,
    client: httpx.AsyncClient,
    *,
    bound: float,
    still: float = STILL_SECONDS,
) -> bool:
    """Wait until all `orders` have ended and so many dead letters are there, and nothing moves for `still` seconds.

    False when that does not happen within `bound` seconds.
    """
    deadline = time.monotonic() + bound
    seen, since = None, time.monotonic()
    while time.monotonic() < deadline:
        progress = await _progress(stack["postgres"], orders)
        now = (progress, await _ledger_size(stack, client))
        if now != seen:
            seen, since = now, time.monotonic()
        ended = progress is not None and progress[0] == len(orders) and progress[1] >= letters
        if ended and time.monotonic() - since >= still:
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def _progress(dsn: str, orders: Sequence[str]) -> tuple[int, int, int] | None:
    """Return how many orders have ended, how many dead letters there are, and a sum that grows with every change.

    None where the database does not answer.
    """
    try:
        connection = await asyncpg.connect(dsn, timeout=5, command_timeout=30)
        try:
            row = await connection.fetchrow(_PROGRESS, list(orders), list(FINAL))
        finally:
            await connection.close(timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return None
    return None if row is None else (int(row["ended"]), int(row["letters"]), int(row["versions"]))


async def _ledger_size(stack: Mapping[str, Any], client: httpx.AsyncClient) -> str:
    answer = await client.get(f"{stack['sandbox_url']}/_ledger", params={"parts": "purchases", "orderId": "none"})
    totals = answer.raise_for_status().json()["totals"]
    return json.dumps([totals["purchases"], totals["mails"]])


async def facts(stack: Mapping[str, Any], settings: Mapping[str, str], client: httpx.AsyncClient) -> Facts:
    """Read everything that the verdict compares, anew for orders that moved meanwhile; see `Facts.settled`."""
    found = await _facts(stack, settings, client)
    for _ in range(_READINGS):
        if not found.moving:
            break
        await asyncio.sleep(_LOOK_SECONDS)
        found = (await _facts(stack, settings, client)).settled(found)
    return found


async def _facts(stack: Mapping[str, Any], settings: Mapping[str, str], client: httpx.AsyncClient) -> Facts:
    answer = await client.get(f"{stack['sandbox_url']}/_ledger", params={"parts": "purchases,mails"})
    ledger = answer.raise_for_status().json()
    connection = await asyncpg.connect(stack["postgres"])
    try:
        rows = {row["id"]: _row(row) for row in await connection.fetch(_ROWS)}
        letters = await connection.fetch(_LETTERS)
    finally:
        await connection.close()
    return Facts(
        purchases=tuple(_purchase(each) for each in ledger["purchases"]),
        mails=tuple(_mail(each) for each in ledger["mails"]),
        rows=rows,
        states=await records.states(stack["kafka"]),
        tables=await records.tables(stack["kafka"]),
        objects=await _objects(stack, settings),
        letters=tuple(map(_letter, letters)),
        litter=await records.litter(stack["kafka"]),
        ledger_whole=not any(part["dropped"] for part in ledger["totals"].values()),
    )


async def waits(stack: Mapping[str, Any]) -> Sequence[float]:
    """Return the seconds from payment to mail of all fulfilled orders, the shortest first."""
    connection = await asyncpg.connect(stack["postgres"])
    try:
        return [row["wait"] for row in await connection.fetch(_WAITS)]
    finally:
        await connection.close()


def _purchase(sold: Mapping[str, Any]) -> Purchase:
    return Purchase(sold["reservationId"], sold["orderId"], sold["productId"], sold["quantity"], tuple(sold["keys"]))


def _mail(mail: Mapping[str, Any]) -> Mail:
    kinds = [tag["value"] for tag in mail["tags"] if tag["name"] == "kind"]
    return Mail(mail["id"], tuple(mail["to"]), tuple(mail["orderIds"]), *kinds[:1])


def _row(row: asyncpg.Record) -> Row:
    return Row(
        status=row["status"],
        version=row["version"],
        review=row["review"],
        review_detail=row["detail"],
        incidents=tuple(row["incidents"]),
        items=tuple((item, status, reservation) for item, status, reservation in row["items"]),
        keys=json.loads(row["keys"]),
        storage_refs=frozenset(row["refs"]),
        mails_accepted=row["mails"],
    )


def _letter(row: asyncpg.Record) -> Letter:
    return Letter(row["consumer"], Place(row["topic"], row["partition"], row["record_offset"]), row["reason"])


async def _objects(stack: Mapping[str, Any], settings: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """Read every object of the bucket."""
    async with get_session().create_client(
        "s3",
        endpoint_url=stack["s3_endpoint"],
        region_name="auto",
        aws_access_key_id=settings["R2_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["R2_SECRET_ACCESS_KEY"],
        config=AioConfig(s3={"addressing_style": "path"}),
    ) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=stack["s3_bucket"])
        names = [each["Key"] async for page in pages for each in page.get("Contents", [])]
        gate = asyncio.Semaphore(8)

        async def read(name: str) -> tuple[str, tuple[str, ...]]:
            async with gate:
                return name, await _codes(client, stack["s3_bucket"], name)

        return dict(await asyncio.gather(*map(read, names)))


async def _codes(client: "S3Client", bucket: str, name: str) -> tuple[str, ...]:
    answer = await client.get_object(Bucket=bucket, Key=name)
    async with answer["Body"] as body:
        return tuple(json.loads(await body.read())["codes"])


async def evidence(stack: Mapping[str, Any], order: str, client: httpx.AsyncClient) -> str:
    """Return all that is known of an order as JSON, to be read when the stack is gone."""
    ledger = await client.get(f"{stack['sandbox_url']}/_ledger", params={"orderId": order})
    known: dict[str, object] = {"sandbox": ledger.json()}
    connection = await asyncpg.connect(stack["postgres"])
    try:
        for table, column in (
            ("orders", "id"),
            ("order_items", "order_id"),
            ("reservations", "order_id"),
            ("order_events", "order_id"),
            ("effect_ledger", "order_id"),
            ("emails", "order_id"),
            ("webhook_logs", "order_id"),
        ):
            rows = await connection.fetch(
                f"select to_jsonb(t)::text as row from {table} t where {column} = $1::uuid",  # noqa: S608 - names from above
                order,
            )
            known[table] = [json.loads(row["row"]) for row in rows]
    finally:
        await connection.close()
    return json.dumps(known, indent=1)
