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
    rows = await pool.fetch("select tablename from pg_tables where schemaname = 'public'")
    missing = {row["tablename"] for row in rows} - {rule.name for rule in POSTGRES}
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


async def log(pool: asyncpg.Pool, number: int, age: str, order: uuid.UUID | None) -> None:
    await pool.execute(
        "insert into webhook_logs (id, provider, external_id, event_type, order_id, headers, body, body_sha256, matched,"
        " remote_address, note, first_received_at, last_received_at, kafka_partition, kafka_offset) values ($1, 'kinguin',"
        " $1::bigint::text, 'x', $2, '{}', '', '', '', '', '', now(), now() - $3::text::interval, 0, 0)",
        number,
        order,
        age,
    )


async def mail(pool: asyncpg.Pool, name: str, accepted: str | None) -> None:
    await pool.execute(
        "insert into emails (id, order_id, kind, recipient, subject, html, text, rendered_at, status, accepted_at)"
        " values ($1, gen_random_uuid(), 'keys', 'a@b.test', 's', '<p>link</p>', 'link', now(), 'x', now() - $2::text::interval)",
        name,
        accepted,
    )


async def test_old_things_go_and_what_is_still_needed_stays(pool: asyncpg.Pool):
    opened, closed = uuid.uuid4(), uuid.uuid4()
    await pool.execute("insert into orders (id, status, version, updated_at) values ($1, 'paid', 1, now())", opened)
    await pool.execute(
        "insert into orders (id, status, version, updated_at, closed_at) values ($1, 'fulfilled', 1, now(), now())",
        closed,
    )
    for number, age, order in (
        (1, "401 days", closed),
        (2, "401 days", opened),
        (3, "399 days", closed),
        (4, "1000 days", None),
    ):
        await log(pool, number, age, order)
    for name, accepted in (("old", "31 days"), ("new", "29 days"), ("unsent", None)):
        await mail(pool, name, accepted)

    assert await clean(pool) == {"webhook_logs": 2, "emails": 1}

    assert {row["id"] for row in await pool.fetch("select id from webhook_logs")} == {2, 3}
    texts = {row["id"]: row["text"] for row in await pool.fetch("select id, text from emails")}
    assert texts == {"old": "", "new": "link", "unsent": "link"}
    assert await clean(pool) == {}


def test_the_command_tells_what_it_did(database: str):
    result = subprocess.run(
        [sys.executable, "-m", "admin_api.retention"], env={"DATABASE_URL": database}, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "Nothing was due.\n", "")
