"""What the order page and the sweeper ask of a real PostgreSQL, and of real storage."""

import asyncio
import uuid
from datetime import timedelta

import asyncpg
import httpx
import pytest

from bitloot.contracts.state import OrderStatus
from bitloot.errors import Cause, Refused
from bitloot.ids import order_id
from delivery.emails import PostgresEmails
from delivery.order_page.orders import LEFT_OVER_AFTER, PostgresAttempts, PostgresLostRequests, PostgresOrders
from delivery.retention import Sweeper
from tests.integration.delivery.conftest import open_r2

ORDER, OTHER = order_id("a page of a buyer"), order_id("another page of the buyer")
MINUTE = timedelta(minutes=1)
LOOKED_FOR_A_WHILE = """
select exists (
    select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
    and clock_timestamp() - query_start > interval '2.5 seconds'
)
"""


async def insert(pool, order, *, placed_at="2026-03-01T12:00:00Z", email="Buyer@bitloot.test", age="0"):
    await pool.execute(
        """
        insert into orders (id, status, email, object_key, version, placed_at, updated_at, link_generation, mails)
        values ($1::text::uuid, 'fulfilled', $2, 'keys/' || $1 || '.json', 9, $3::text::timestamptz, now(), 2, $4::text::jsonb)
        """,
        order,
        email,
        placed_at,
        f'[{{"message_id": "{order}/mail/1", "kind": "keys", "recipient": "{email}", '
        '"requested_at": "2026-03-01T12:00:00Z", "delivery": "bounced"}]',
    )
    for position, name in enumerate((f"keys/{order}.json", f"keys/{order}-1-2.png"), 1):
        await pool.execute(
            "insert into keys (order_item_id, position, order_id, storage_ref, created_at, order_version) "
            "values ($1, $2, $3::text::uuid, $4, now() - $5::text::interval, 1)",
            f"{order}-1",
            position,
            order,
            name,
            age,
        )
    await pool.execute(
        "insert into order_items (id, order_id, position, product_id, title, quantity, unit_price, status, order_version)"
        " values ($1 || '-1', $1::text::uuid, 1, 'p', 'Zelda', 2, 5, 'stored', 1)",
        order,
    )


async def test_an_order_as_the_page_shows_it(pool):
    await insert(pool, ORDER)
    orders = PostgresOrders(pool)
    found = await orders.find(ORDER)

    assert (found.status, found.generation, found.version) == (OrderStatus.FULFILLED, 2, 9)
    assert found.pictures == (f"keys/{ORDER}-1-2.png",)
    assert [(mail.kind, mail.delivery) for mail in found.mails] == [("keys", "bounced")]
    assert (found.keys_deleted, found.instructions.pay_address) == (False, None)
    assert found.left is False
    await pool.execute(
        "insert into order_events (event_id, order_id, type, occurred_at, payload, recorded_at, last_recorded_at,"
        " kafka_partition, kafka_offset) values ('retired/x', $1::text::uuid, 'order.retired', now(), '{}', now(), now(), 0, 1)",
        ORDER,
    )
    assert (await orders.find(ORDER)).left is True
    assert await orders.find(OTHER) is None
    assert await orders.versions([ORDER, OTHER]) == {ORDER: 9}


async def test_orders_by_mail_address_in_any_case(pool):
    await insert(pool, ORDER)
    await insert(pool, OTHER, placed_at="2026-03-02T12:00:00Z")
    orders, emails = PostgresOrders(pool), PostgresEmails(pool, former_sender="a@b.c")

    assert await orders.newest_of("buyer@BITLOOT.test") == OTHER
    assert await orders.newest_of("nobody@bitloot.test") is None
    assert await orders.newest_of("%") is None
    assert [(each.order_id, each.generation, each.title) for each in await emails.of_address("buyer@bitloot.test")] == [
        (OTHER, 2, "Zelda"),
        (ORDER, 2, "Zelda"),
    ]


async def test_attempts_are_counted_for_all_processes_together(pool):
    processes = [PostgresAttempts(pool) for _ in range(3)]
    waits = await asyncio.gather(*(processes[n % 3].take("reveal/x", 10, MINUTE) for n in range(30)))

    assert waits.count(0) == 10
    assert all(1 <= wait <= 7 for wait in waits if wait)
    assert await processes[0].take("reveal/y", 10, MINUTE) == 0
    await pool.execute("update attempt_limits set next_at = next_at - interval '7 seconds'")  # so much time passes
    assert await processes[1].take("reveal/x", 10, MINUTE) == 0
    assert await processes[2].take("reveal/x", 10, MINUTE) > 0
    await pool.execute("update attempt_limits set next_at = now() - interval '2 days'")
    await processes[0].forget()
    assert await pool.fetchval("select count(*) from attempt_limits") == 0


async def test_a_question_for_lost_links_stays_until_it_is_dealt_with(pool):
    requests, mine, other = PostgresLostRequests(pool), uuid.uuid4().hex, uuid.uuid4().hex
    await requests.put(mine, "buyer@bitloot.test")
    assert await requests.left_over() == []  # whoever took it works on it

    await pool.execute("update lost_requests set asked_at = asked_at - $1::interval", LEFT_OVER_AFTER)
    await requests.put(other, "other@bitloot.test")
    assert await requests.left_over() == [(mine, "buyer@bitloot.test")]

    await requests.done(mine)
    await requests.done(mine)
    assert await pool.fetchval("select email from lost_requests") == "other@bitloot.test"


async def test_keys_are_deleted_when_their_time_is_over_and_the_page_knows(pool, bucket):
    await insert(pool, ORDER, age="31 days")
    await insert(pool, OTHER, age="29 days")
    async with open_r2(bucket) as r2:
        for order in (ORDER, OTHER):
            await r2.put_new(f"keys/{order}.json", b'{"codes": []}')
            await r2.put_new(f"keys/{order}-1-2.png", b"png")
        sweeper = Sweeper(pool, r2, timedelta(days=30))

        assert await sweeper.sweep() == 2
        assert await sweeper.sweep() == 0
        assert await r2.get(f"keys/{OTHER}.json") == b'{"codes": []}'
        with pytest.raises(Refused):
            await r2.get(f"keys/{ORDER}.json")
        async with httpx.AsyncClient() as client:
            assert (await client.get((await r2.sign(f"keys/{ORDER}.json")).url)).status_code == 404
    orders = PostgresOrders(pool)
    assert (await orders.find(ORDER)).keys_deleted is True
    assert (await orders.find(OTHER)).keys_deleted is False


class Locked:
    """Storage that refuses to delete some objects, as a bucket lock has it."""

    def __init__(self, locked):
        self.locked, self.deleted = locked, []

    async def delete(self, object_key):
        if object_key in self.locked:
            raise Refused(Cause.REJECTED, "storage answered 403 ObjectLockedByBucketPolicy")
        self.deleted.append(object_key)


async def test_an_object_that_is_locked_keeps_no_other_from_being_deleted(pool):
    for order in (ORDER, OTHER):
        await insert(pool, order, age="31 days")
    keys = sorted(f"keys/{order}{end}" for order in (ORDER, OTHER) for end in (".json", "-1-2.png"))
    storage = Locked({keys[0]})
    sweeper = Sweeper(pool, storage, timedelta(days=30))

    assert await sweeper.sweep() == 3
    assert sorted(storage.deleted) == keys[1:]
    with pytest.raises(Refused):  # nothing else is left, or nothing can be deleted at all
        await sweeper.sweep()
    storage.locked.clear()
    assert await sweeper.sweep() == 1
    assert await sweeper.sweep() == 0


async def test_a_look_for_what_is_due_may_take_longer_than_other_questions(pool, database):
    """It is the longer, the more there ever was: given up each time, nothing would be deleted any more."""
    await insert(pool, ORDER, age="31 days")
    async with asyncpg.create_pool(database, min_size=1, max_size=1, command_timeout=2) as hasty:
        sweeper = Sweeper(hasty, Locked(set()), timedelta(days=30))
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("lock table keys in access exclusive mode")
            sweep = asyncio.create_task(sweeper.sweep())
            while not sweep.done() and not await connection.fetchval(LOOKED_FOR_A_WHILE):
                await asyncio.sleep(0.05)
        assert await sweep == 2
