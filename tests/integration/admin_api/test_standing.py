"""What only the whole read model can tell: what stands still, and which provider is silent."""

import uuid

import asyncpg
import pytest
from prometheus_client import REGISTRY

from admin_api.sink import standing
from admin_api.sink.standing import Standing
from bitloot.errors import Transient
from bitloot.ledger import open_pool


@pytest.fixture
async def pool(database: str):
    async with open_pool(database, max_size=2) as pool:
        yield pool


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def order(pool: asyncpg.Pool, status: str, paid: str | None = None, *, closed: bool = False) -> uuid.UUID:
    identity = uuid.uuid4()
    await pool.execute(
        "insert into orders (id, status, version, updated_at, paid_at, closed_at) "
        "values ($1, $2, 1, now(), now() - $3::text::interval, case when $4 then now() end)",
        identity,
        status,
        paid,
        closed,
    )
    return identity


async def payment(pool: asyncpg.Pool, identity: uuid.UUID, name: str, age: str) -> None:
    await pool.execute(
        "insert into payments (id, order_id, status, provider_status, verdict, first_seen_at, updated_at, order_version)"
        " values ($1, $2, 'waiting', 'waiting', 'open', now() - $3::text::interval, now(), 1)",
        name,
        identity,
        age,
    )


async def notice(pool: asyncpg.Pool, provider: str, external_id: str, order_id: uuid.UUID | None = None) -> None:
    await pool.execute("insert into webhook_log_keys values ($1, $2, 'x', 1, now())", provider, external_id)
    await pool.execute(
        "insert into webhook_logs (id, provider, external_id, event_type, order_id, headers, body, body_sha256, matched,"
        " remote_address, note, first_received_at, last_received_at, kafka_partition, kafka_offset)"
        " values ($1, $2, $3, 'x', $4, '{}', '', '', 'current', '', '', now(), now() - interval '40 seconds', 0, 0)",
        abs(hash((provider, external_id))) % 2**40,
        provider,
        external_id,
        order_id,
    )


async def test_open_and_stuck_orders_are_counted(pool: asyncpg.Pool):
    await order(pool, "awaiting_payment")
    await order(pool, "purchasing", "2 minutes")
    await order(pool, "delivering", "20 minutes")
    await order(pool, "needs_review", "3 hours")
    await order(pool, "fulfilled", "1 day", closed=True)

    await Standing(pool).look()

    assert value("bitloot_orders_stuck") == 1
    assert value("bitloot_orders_open", status="needs_review") == 1
    assert value("bitloot_orders_open", status="paid") == 0
    assert value("bitloot_orders_open", status="fulfilled") is None
    assert value("bitloot_orders_oldest_seconds") == pytest.approx(3 * 3600, abs=60)


async def test_a_provider_that_is_silent_shows(pool: asyncpg.Pool):
    told, untold, young, old = [await order(pool, "awaiting_payment") for _ in range(4)]
    for name, identity, age in (
        ("1", told, "10 minutes"),
        ("2", untold, "10 minutes"),
        ("3", young, "1 minute"),
        ("4", old, "2 hours"),
    ):
        await payment(pool, identity, name, age)
    await notice(pool, "nowpayments", "1", told)
    await notice(pool, "kinguin", "2", untold)  # of another provider
    await pool.execute(
        "insert into reservations (id, order_id, order_item_id, status, reserved_at, given_at, order_version) "
        "values ('r1', $1, 'i', 'given', now(), now() - interval '10 minutes', 1)",
        told,
    )
    await notice(pool, "kinguin", "r1")  # names no order

    await Standing(pool).look()

    expected = {each: value("bitloot_notices_expected", provider=each) for each in ("nowpayments", "kinguin", "resend")}
    seen = {each: value("bitloot_notices_seen", provider=each) for each in ("nowpayments", "kinguin", "resend")}
    assert expected == {"nowpayments": 2, "kinguin": 1, "resend": 0}
    assert seen == {"nowpayments": 1, "kinguin": 1, "resend": 0}
    assert value("bitloot_notice_age_seconds", provider="nowpayments") == pytest.approx(40, abs=20)


async def test_a_database_that_is_not_migrated_is_away(pool: asyncpg.Pool):
    await pool.execute("drop table webhook_logs cascade")
    with pytest.raises(Transient):
        await Standing(pool).look()


async def test_what_providers_should_have_told_is_found_without_reading_all_there_ever_was(pool: asyncpg.Pool):
    """It is asked each 30 seconds: at some ten million mails it took longer than a statement may."""
    identity = await order(pool, "fulfilled", "1 year", closed=True)
    await pool.execute(
        "insert into reservations (id, order_id, order_item_id, status, reserved_at, given_at, order_version) "
        "select 'r' || n, $1, 'i', 'given', now(), now() - interval '1 year', 1 from generate_series(1, 20000) as n",
        identity,
    )
    await pool.execute(
        "insert into emails (id, order_id, kind, recipient, subject, html, text, status, rendered_at, accepted_at) "
        "select 'm' || n, $1, 'keys', '', '', '', '', 'accepted', now() - interval '1 year', now() - interval '1 year' "
        "from generate_series(1, 20000) as n",
        identity,
    )
    await pool.execute("analyze reservations, emails")
    rows = await pool.fetch("explain " + standing._SQL["notices"].replace("$1", "3900").replace("$2", "300"))
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan on reservations" not in plan
    assert "Seq Scan on emails" not in plan
