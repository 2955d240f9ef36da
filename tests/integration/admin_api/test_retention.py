"""The retention table covers every store, and what it says is done."""

import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from admin_api.retention.cleaning import clean
from admin_api.retention.table import POSTGRES, page, rules
from bitloot.contracts.topics import CHANGELOGS, FOREVER, TOPICS
from bitloot.ledger import open_pool

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def pool(database: str):
    async with open_pool(database, max_size=2) as pool:
        yield pool


async def test_every_table_has_a_rule(pool: asyncpg.Pool):
    rows = await pool.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition"
    )
    missing = {row["relname"] for row in rows} - {rule.name for rule in POSTGRES}
    assert not missing, f"say in admin_api/retention/table.py for how long {missing} are kept"


def test_every_topic_has_a_rule_that_says_what_its_declaration_says():
    of_kafka = {rule.name: rule for rule in rules() if rule.store == "Kafka"}
    assert of_kafka.keys() == {topic.name for topic in (*TOPICS, *CHANGELOGS)}
    for topic in TOPICS:
        assert of_kafka[topic.name].kept == (None if topic.retention == FOREVER else topic.retention)


def test_what_is_not_kept_for_good_has_somebody_who_deletes_it():
    assert [rule.name for rule in rules() if rule.kept is not None and not rule.enforced_by] == []


def test_a_table_and_its_topic_are_kept_equally_long():
    kept = {rule.name: rule.kept for rule in rules()}
    assert kept["webhook_logs"] == kept["webhooks.log.v1"] == timedelta(days=400)
    assert kept["dead_letters"] == kept["dead-letters.v1"]


def test_the_page_is_made_from_the_table():
    assert (ROOT / "docs/retention.md").read_text() == page(), (
        "python -m admin_api.retention --page > docs/retention.md"
    )


async def log(
    pool: asyncpg.Pool, number: int, age: str, order: uuid.UUID | None = None, *, first: str | None = None
) -> None:
    """Write a notification that came last so long ago, and first `first` ago, into the month that it is of."""
    await pool.execute("select add_month_of_webhook_logs(now() - $1::text::interval)", first or age)
    since = await pool.fetchval(
        "insert into webhook_logs (id, provider, external_id, event_type, order_id, headers, body, body_sha256, matched,"
        " remote_address, note, first_received_at, last_received_at, kafka_partition, kafka_offset) values ($1, 'kinguin',"
        " $1::bigint::text, 'x', $2, '{}', '', '', '', '', '', now() - $4::text::interval, now() - $3::text::interval, 0, 0)"
        " returning first_received_at",
        number,
        order,
        age,
        first or age,
    )
    await pool.execute("insert into webhook_log_keys values ('kinguin', $1::bigint::text, 'x', $1, $2)", number, since)


async def logs(pool: asyncpg.Pool) -> set[int]:
    """Return the ids of the notifications, each of which has its key."""
    found = {row["id"] for row in await pool.fetch("select id from webhook_logs")}
    assert {row["log_id"] for row in await pool.fetch("select log_id from webhook_log_keys")} == found
    return found


async def months(pool: asyncpg.Pool) -> list[str]:
    query = (
        "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'webhook_logs'::regclass order by 1"
    )
    return [row["name"] for row in await pool.fetch(query)]


async def month(pool: asyncpg.Pool, age: str) -> str:
    name: str = await pool.fetchval(
        "select to_char((now() - $1::text::interval) at time zone 'UTC', '\"webhook_logs_\"YYYY_MM')", age
    )
    return name


async def in_the_net(pool: asyncpg.Pool) -> set[int]:
    return {row["id"] for row in await pool.fetch("select id from webhook_logs_default")}


async def order(pool: asyncpg.Pool, *, closed: bool) -> uuid.UUID:
    identity: uuid.UUID = await pool.fetchval(
        "insert into orders (id, status, version, updated_at, closed_at) values (gen_random_uuid(), 'x', 1, now(),"
        " case when $1 then now() end) returning id",
        closed,
    )
    return identity


async def mail(
    pool: asyncpg.Pool, name: str, accepted: str | None, rendered: str = "0", tried: str | None = None
) -> None:
    await pool.execute(
        "insert into emails (id, order_id, kind, recipient, subject, html, text, status, rendered_at, last_attempt_at, accepted_at)"
        " values ($1, gen_random_uuid(), 'keys', 'a@b.test', 's', '<p>link</p>', 'link', 'x', now() - $2::text::interval,"
        " now() - $3::text::interval, now() - $4::text::interval)",
        name,
        rendered,
        tried,
        accepted,
    )


async def test_old_months_go_whole_and_what_is_still_needed_stays(pool: asyncpg.Pool):
    opened, closed = await order(pool, closed=False), await order(pool, closed=True)
    await log(pool, 1, "431 days", closed)
    await log(pool, 2, "431 days", opened)
    await log(pool, 3, "399 days", closed)
    await log(pool, 4, "431 days")
    await log(pool, 5, "20 days", closed, first="431 days")
    old = await month(pool, "431 days")
    assert old in await months(pool)

    assert await clean(pool) == {"webhook_logs": 2}

    assert await logs(pool) == {2, 3, 5}
    assert await in_the_net(pool) == {2, 5}
    assert old not in await months(pool)
    assert await clean(pool) == {}

    await pool.execute("update orders set closed_at = now() where id = $1", opened)
    assert await clean(pool) == {"webhook_logs": 1}
    assert await logs(pool) == {3, 5}


async def test_a_month_goes_only_when_its_last_day_is_old_enough(pool: asyncpg.Pool):
    await log(pool, 1, "400 days")
    assert await clean(pool) == {}
    assert await logs(pool) == {1}


async def test_what_is_far_from_now_is_caught_by_the_net_and_goes_row_by_row(pool: asyncpg.Pool):
    for number in range(1, 1201):
        await log(pool, number, "2000 days")
    assert len(await in_the_net(pool)) == 1200
    assert await clean(pool) == {"webhook_logs": 1200}
    assert await logs(pool) == set()


async def test_the_net_is_emptied_into_the_months_that_were_missing(pool: asyncpg.Pool):
    gone = await month(pool, "100 days")
    await log(pool, 1, "100 days")
    await pool.execute(f"alter table webhook_logs detach partition {gone}")
    await pool.execute(f"insert into webhook_logs select * from {gone}")  # noqa: S608
    await pool.execute(f"drop table {gone}")
    assert await in_the_net(pool) == {1}

    assert await clean(pool) == {}

    assert await in_the_net(pool) == set()
    assert await logs(pool) == {1}
    assert gone in await months(pool)


async def test_the_next_months_are_there_before_they_begin(pool: asyncpg.Pool):
    await clean(pool)
    there = await months(pool)
    for months_ahead in range(3):
        name = await pool.fetchval(
            "select to_char((now() + make_interval(months => $1)) at time zone 'UTC', '\"webhook_logs_\"YYYY_MM')",
            months_ahead,
        )
        assert name in there


async def test_somebody_who_reads_long_puts_the_drop_off(pool: asyncpg.Pool, database: str):
    await log(pool, 1, "431 days")
    reader = await asyncpg.connect(database)
    try:
        async with reader.transaction():
            assert await reader.fetchval("select count(*) from webhook_logs") == 1
            assert await clean(pool) == {}
            assert await logs(pool) == {1}
    finally:
        await reader.close()
    assert await clean(pool) == {"webhook_logs": 1}
    assert await logs(pool) == set()


async def test_the_texts_of_mails_go_and_that_they_were_sent_stays(pool: asyncpg.Pool):
    for name, accepted in (("old", "31 days"), ("new", "29 days"), ("unsent", None)):
        await mail(pool, name, accepted)
    await mail(pool, "never tried", None, rendered="31 days")
    await mail(pool, "refused long ago", None, rendered="40 days", tried="31 days")
    await mail(pool, "tried of late", None, rendered="40 days", tried="29 days")

    assert await clean(pool) == {"emails": 3}

    texts = {row["id"]: row["text"] for row in await pool.fetch("select id, text from emails")}
    kept = {"new": "link", "unsent": "link", "tried of late": "link"}
    assert texts == {"old": "", "never tried": "", "refused long ago": ""} | kept
    assert await clean(pool) == {}


def test_the_command_tells_what_it_did(database: str):
    result = subprocess.run(
        [sys.executable, "-m", "admin_api.retention"], env={"DATABASE_URL": database}, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "Nothing was due.\n", "")


async def test_texts_that_are_due_are_found_without_reading_every_mail_there_ever_was(pool: asyncpg.Pool):
    """Rows of mails stay for good: once reading all of them took longer than a statement may, no text went any more."""
    await pool.execute(
        "insert into emails (id, order_id, kind, recipient, subject, html, text, status, rendered_at, accepted_at) "
        "select 'm' || n, $1, 'keys', '', '', '', '', 'accepted', now() - interval '1 year', now() - interval '1 year' "
        "from generate_series(1, 20000) as n",
        uuid.uuid4(),
    )
    await pool.execute("analyze emails")
    (sql,) = [rule.sql for rule in POSTGRES if rule.name == "emails" and rule.sql is not None]
    rows = await pool.fetch("explain " + sql.replace("$1", "30").replace("$2", "500"))
    assert "Seq Scan" not in "\n".join(row[0] for row in rows)
