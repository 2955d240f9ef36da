"""The migrator on a real, empty database."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from admin_api.migrations import Migration, MigrationError, available, is_current, migrate

MONTHS = "0017_months_of_webhook_logs.sql"
AT_SIZE = "0019_desk_at_ten_million.sql"
NAMES = [each.name for each in available()]


@pytest.fixture
async def empty(postgres) -> AsyncIterator[str]:
    """Address of a database without anything in it."""
    name = f"test_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(postgres.dsn)
    try:
        await connection.execute(f'create database "{name}"')
        yield postgres.dsn_of(name)
        await connection.execute(f'drop database "{name}" with (force)')
    finally:
        await connection.close()


async def current(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        return await is_current(connection)
    finally:
        await connection.close()


async def test_many_at_once_apply_each_file_once(empty: str):
    assert not await current(empty)
    results = await asyncio.gather(*(migrate(empty) for _ in range(5)))

    assert sorted(results) == [[]] * 4 + [NAMES]
    assert await migrate(empty) == []
    assert await current(empty)


async def test_a_file_that_fails_leaves_nothing_of_itself(empty: str):
    broken = (
        Migration(1, "0001_good.sql", "create table good ()"),
        Migration(2, "0002_bad.sql", "create table half (); create table good ()"),
    )
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(empty, broken)
    connection = await asyncpg.connect(empty)
    tables = await connection.fetch("select to_regclass('good')::text as good, to_regclass('half')::text as half")
    await connection.close()
    mended = (broken[0], Migration(2, "0002_bad.sql", "create table half ()"))

    assert dict(tables[0]) == {"good": "good", "half": None}
    assert await migrate(empty, mended) == ["0002_bad.sql"]


async def test_a_newer_database_is_one_clear_sentence_and_changes_nothing(database: str):
    with pytest.raises(MigrationError, match="newer"):
        await migrate(database, available()[:-1])
    assert await current(database)


async def test_every_index_is_usable_and_every_relation_has_its_comment(database: str):
    connection = await asyncpg.connect(database)
    found = await connection.fetch(
        """select relname, obj_description(oid) as comment from pg_class
        where relnamespace = 'public'::regnamespace and (relkind in ('r', 'p', 'I') or relkind = 'i' and not relispartition)
        and relname <> 'schema_migrations' and relname !~ '_(pkey|unique)$'"""
    )
    await connection.close()

    assert len(found) > 30
    assert not [row["relname"] for row in found if not row["comment"]]


async def test_a_log_that_was_one_table_is_kept_in_months_with_its_keys(empty: str):
    await migrate(empty, [each for each in available() if each.name != MONTHS])
    connection = await asyncpg.connect(empty)
    try:
        await connection.execute(
            """insert into webhook_logs (
                id, provider, external_id, event_type, headers, body, body_sha256, matched, remote_address, note,
                repeats, first_received_at, last_received_at, kafka_partition, kafka_offset
            )
            select
                number, 'kinguin', 'r' || number, 'x', '{}', 'body ' || number, '', '', '', '', number,
                now() - make_interval(days => 20 * number), now(), 0, number
            from generate_series(0, 40) as number"""
        )
        before = await connection.fetch("select * from webhook_logs order by id")

        assert await migrate(empty) == [MONTHS]

        assert await connection.fetch("select * from webhook_logs order by id") == before
        keys = await connection.fetch(
            "select external_id, log_id, first_received_at from webhook_log_keys order by log_id"
        )
        assert [tuple(key) for key in keys] == [
            (row["external_id"], row["id"], row["first_received_at"]) for row in before
        ]
        found = await connection.fetch(
            "select tableoid::regclass::text as month, first_received_at as at from webhook_logs where id < 20"
        )
        assert [row["month"] for row in found] == [f"webhook_logs_{row['at']:%Y_%m}" for row in found]
        assert await connection.fetchval("select count(*) from webhook_logs_default") > 10
    finally:
        await connection.close()


async def test_what_the_desk_looks_for_is_there_for_the_orders_of_before(empty: str):
    await migrate(empty, [each for each in available() if each.name != AT_SIZE])
    connection = await asyncpg.connect(empty)
    try:
        await connection.execute(
            """insert into orders (id, status, version, updated_at, paid_at, mailed_at) values
                ('00000000-0000-0000-0000-000000000001', 'x', 1, now(), '2026-01-01T00:00:00Z', '2026-01-01T00:00:05Z'),
                ('00000000-0000-0000-0000-000000000002', 'x', 1, now(), '2026-01-01T00:00:00Z', null);
            insert into order_items (id, order_id, position, product_id, title, quantity, unit_price, status, order_version)
            select 'i' || number, '00000000-0000-0000-0000-000000000001', number, 'p' || number % 2, '', 1, 1, 'x', 1
            from generate_series(1, 3) as number;
            insert into effect_ledger (effect_id, order_id, kind, attempt, claimed_by, claimed_at, deadline, outcome) values
                ('e', '00000000-0000-0000-0000-000000000001', 'buy_key', 1, 'me', now(), now(),
                 '{"type": "effect.failed", "failure": "refused", "cause": "out_of_stock"}')"""
        )
        assert await migrate(empty) == [AT_SIZE]
        orders = await connection.fetch("select product_ids from orders order by id")
        assert [row["product_ids"] for row in orders] == [["p0", "p1"], []]
        (counted,) = await connection.fetch("select mails, bucket from time_to_key_days where day = '2026-01-01'")
        assert tuple(counted) == (1, 80)  # 50 * ln 5 = 80.5
        (failed,) = await connection.fetch("select failure, failed_cause from effect_ledger")
        assert tuple(failed) == ("refused", "out_of_stock")
    finally:
        await connection.close()


def run(dsn: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "admin_api.migrate"],
        env={"DATABASE_URL": dsn},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_command_tells_what_it_did(empty: str):
    first, second, away = [
        await asyncio.to_thread(run, dsn) for dsn in (empty, empty, "postgresql://u:hunter2@127.0.0.1:1/x")
    ]

    assert (first.returncode, first.stdout.splitlines()) == (0, [*NAMES, f"{len(NAMES)} migrations applied."])
    assert (second.returncode, second.stdout) == (0, "The database is up to date.\n")
    assert away.returncode == 1
    assert "cannot be migrated" in away.stderr
    assert "Traceback" not in away.stderr
    assert "hunter2" not in away.stderr
