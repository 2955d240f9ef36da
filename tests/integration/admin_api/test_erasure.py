"""A buyer's data is erased: the key is destroyed, what is plain is gone, and nothing brings it back."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator

import asyncpg
import pytest

from admin_api.erasure.erase import erase
from admin_api.rebuild.run import Rebuilt, rebuild
from admin_api.settings import RebuildSettings
from bitloot.contracts import codec
from bitloot.contracts.events import BuyerErased, MailDelivery, MailKind
from bitloot.contracts.state import MailState, OrderStatus
from bitloot.ids import EventId, MessageId
from bitloot.ledger import open_pool
from tests.integration.admin_api.api import Api, kafka_api
from tests.integration.admin_api.read_model import ReadModel
from tests.integration.admin_api.test_api_actions import read
from tests.unit.admin_api import records

ADDRESS, FORMER = "Jane.Doe@example.org", "jane.typo@example.org"
ID = records.order(1)
PATH = f"/admin/orders/{ID}"
WHY = {"reason": "asked for by the buyer"}


def order(number: int = 1, version: int = 1, **changes: object):
    mails = tuple(
        MailState(
            message_id=MessageId(f"{records.order(number)}/mail/{count}"),
            kind=MailKind.KEYS,
            recipient=records.address(number, to),
            requested_at=records.at(count),
            delivery=MailDelivery.DELIVERED,
        )
        for count, to in ((1, FORMER), (2, ADDRESS))
    )
    return records.snapshot(number, version, email=ADDRESS, mails=mails, **changes)


def erased(action: str = "click") -> BuyerErased:
    return BuyerErased(
        event_id=EventId(f"erased/{action}"), occurred_at=records.at(9), order_id=ID, action_id=action, actor="admin"
    )


async def plant(connection: asyncpg.Connection) -> None:
    """Let it stand wherever our services write it."""
    await connection.execute(
        "insert into emails (id, order_id, kind, recipient, subject, html, text, rendered_at, status, last_error)"
        " values ($1, $2, 'keys', $3, 'Your BitLoot Order', 'to ' || $3, 'to ' || $3, now(), 'accepted', 'at ' || $3)",
        f"{ID}/mail/2",
        ID,
        ADDRESS,
    )
    await connection.execute("insert into lost_requests (id, email) values (gen_random_uuid(), $1)", ADDRESS.upper())


async def standing(connection: asyncpg.Connection) -> set[str]:
    """Return the tables that hold an address of the buyer, in any column."""
    tables = await connection.fetch("select tablename as name from pg_tables where schemaname = current_schema()")
    found = set()
    for table in tables:
        query = f"select count(*) from {table['name']} as t where lower(t::text) ~ 'jane.(doe|typo)@'"  # noqa: S608 - ours
        if await connection.fetchval(query):
            found.add(table["name"])
    return found


@pytest.fixture
async def desk(model: ReadModel) -> AsyncIterator[Api]:
    async with kafka_api(model) as api:
        yield api


async def test_the_key_and_all_that_is_plain_go_and_the_order_stays(model: ReadModel, desk: Api):
    await desk.seed(model.topics.state, order())
    await plant(model.connection)
    assert await standing(model.connection) == {"orders", "emails", "lost_requests"}
    assert (await desk.page(PATH))["email"] == ADDRESS

    answers = [await desk.act(f"{PATH}/erase", "click", body=WHY) for _ in range(2)]

    assert [each.status for each in answers] == [202, 202]
    assert await standing(model.connection) == set()
    shown = await desk.page(PATH)
    assert (shown["email"], shown["status"]) == (None, "fulfilled")
    assert [each["recipient"] for each in shown["mailStates"]] == ["", ""]
    key = await model.connection.fetchrow("select key, erased_at is not null as erased from personal_keys")
    assert tuple(key) == (None, True)
    (record,) = await read(model, model.topics.events)
    event = codec.decode(model.topics.events, record.value)
    assert (event.type, event.actor, event.reason) == ("buyer.erased", "admin", WHY["reason"])
    assert (await desk.page("/admin/actions/click"))["status"] == "done"
    written = await model.connection.fetch("select action, target, result from audit_log order by number limit 2")
    assert [tuple(each) for each in written] == [("eraseBuyer", ID, "asked"), ("eraseBuyer", ID, "done")]


async def test_what_the_order_says_afterwards_brings_nothing_back(model: ReadModel, desk: Api):
    await desk.seed(model.topics.state, order())
    await desk.act(f"{PATH}/erase", body=WHY)
    await desk.seed(model.topics.state, order(version=2))

    assert (await desk.page(PATH))["email"] is None
    assert await standing(model.connection) == set()
    changed = await desk.act(f"{PATH}/address", "other", body=WHY | {"email": "right@example.org"})
    assert (changed.status, "was erased" in await changed.text()) == (409, True)


async def test_an_open_order_is_refused_unless_that_is_wanted(model: ReadModel, desk: Api):
    await desk.seed(model.topics.state, order(status=OrderStatus.PAID, closed_at=None))
    refused = await desk.act(f"{PATH}/erase", "one", body=WHY)
    assert (refused.status, (await refused.json())["orderStatus"]) == (409, "paid")
    assert (await desk.page(PATH))["email"] == ADDRESS
    assert (await desk.page("/admin/actions/one"))["status"] == "refused"

    assert (await desk.act(f"{PATH}/erase", "two", body=WHY | {"evenOpen": True})).status == 202
    assert (await desk.page(PATH))["email"] is None


async def test_an_order_that_left_its_agent_long_ago_is_erased_too(model: ReadModel, desk: Api):
    await desk.seed(model.topics.state, order())
    await desk.seed(model.topics.events, records.retired(1))
    assert (await desk.act(f"{PATH}/erase", body=WHY)).status == 202
    assert await standing(model.connection) == set()


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "jane.doe@example.org asked"}, {**WHY, "evenOpen": "perhaps"}]
)
async def test_what_is_asked_badly_erases_nothing(model: ReadModel, desk: Api, body: dict):
    await desk.seed(model.topics.state, order())
    assert (await desk.act(f"{PATH}/erase", "click", body=body)).status == 400
    assert (await desk.page(PATH))["email"] == ADDRESS
    assert (await desk.act(f"/admin/orders/{records.order(99)}/erase", "click", body=WHY)).status == 404


async def test_while_kafka_is_away_nothing_is_erased_and_the_click_may_come_again(api: Api):
    await api.seed(api.ports.topics.state, order())
    assert (await api.act(f"{PATH}/erase", "click", body=WHY)).status == 503
    assert (await api.page(PATH))["email"] == ADDRESS


async def test_the_event_alone_erases_so_that_a_restored_backup_forgets_again(model: ReadModel):
    await model.publish(model.topics.state, order())
    async with model.sink():
        await model.catch_up()
        await plant(model.connection)
        assert await standing(model.connection) == {"orders", "emails", "lost_requests"}
        await model.publish(model.topics.events, erased())
        await model.catch_up()

    assert await standing(model.connection) == set()
    (event,) = await model.rows("order_events")
    assert event["type"] == "buyer.erased"


async def test_sealed_texts_stay_out_of_the_history_that_people_read(model: ReadModel, desk: Api):
    await desk.seed(model.topics.state, order())
    await desk.act(f"{PATH}/address", "click", body=WHY | {"email": "right@example.org"})
    async with model.sink():
        await model.catch_up()

    (event,) = await model.rows("order_events")
    assert json.loads(str(event["payload"]))["email"] == "[sealed]"


async def test_an_erasure_waits_for_a_sink_that_has_opened_the_address_and_takes_it_out_again(model: ReadModel):
    dsn = model.settings.database_url.get_secret_value()
    async with open_pool(dsn) as pool, kafka_api(model) as desk:
        await desk.seed(model.topics.state, order())
        async with pool.acquire() as sink:
            async with sink.transaction():
                await sink.execute("select key from personal_keys for share")
                erasing = asyncio.create_task(erase(pool, [ID]))
                async with asyncio.timeout(60):
                    while not await model.connection.fetchval("select exists (select from pg_locks where not granted)"):
                        await asyncio.sleep(0.02)
                await sink.execute("update orders set email = $1", ADDRESS)
            await erasing
    assert await standing(model.connection) == set()


# --- Rebuilds -------------------------------------------------------------------------------------


async def rebuilt(model: ReadModel, progress=lambda read, wanted: None) -> Rebuilt:
    settings = RebuildSettings.model_validate(model.settings.model_dump())
    return await rebuild(settings, progress, topics=model.topics)


async def test_a_rebuild_after_an_erasure_leaves_the_address_out_and_finds_no_difference(model: ReadModel):
    async with kafka_api(model) as desk, model.sink():
        await model.publish(model.topics.state, order(), order(2))
        await model.catch_up()
        await desk.act(f"{PATH}/erase", body=WHY)
        await model.catch_up()
        found = await rebuilt(model)

    assert [each.table for each in found.tables if not each.equal] == []
    emails = await model.connection.fetch("select id::text as id, email from orders order by email nulls first")
    assert [tuple(each) for each in emails] == [(ID, None), (records.order(2), ADDRESS)]


async def test_an_erasure_while_a_rebuild_runs_is_not_undone(model: ReadModel):
    """What was opened for the new tables before the key was destroyed is taken out before they are compared."""
    dsn, erasing = model.settings.database_url.get_secret_value(), []

    async def erase_now() -> None:
        async with open_pool(dsn, max_size=1) as pool:
            await erase(pool, [ID])

    def progress(read: int, wanted: int) -> None:
        if not erasing:  # the first records are in the new tables
            erasing.append(threading.Thread(target=lambda: asyncio.run(erase_now())))
            erasing[0].start()
            erasing[0].join(60)
            assert not erasing[0].is_alive()

    await model.publish(model.topics.state, order())
    async with model.sink():
        await model.catch_up()
        found = await rebuilt(model, progress)

    assert erasing
    assert [each.table for each in found.tables if not each.equal] == []
    assert await standing(model.connection) == set()
