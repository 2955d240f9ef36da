"""The read model is from another log than Kafka has: the sink refuses it until a person decides."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient

from bitloot import topics
from bitloot.cluster import look_at
from bitloot.health import Health
from bitloot.ledger import open_pool
from bitloot.witness import PostgresWitness
from tests.integration.admin_api.read_model import PARTITIONS, ReadModel
from tests.integration.plumbing.broker import revealed


async def until_red(health: Health, words: str) -> None:
    async with asyncio.timeout(30):
        for vital_only in (True, False):
            while words not in str(await health.failures(vital_only=vital_only)):
                await asyncio.sleep(0.02)


async def make_anew(model: ReadModel) -> None:
    topic = model.topics.events
    admin = AIOKafkaAdminClient(bootstrap_servers=model.settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics([topic.name])
        while topic.name in await admin.list_topics():
            await asyncio.sleep(0.02)
    finally:
        await admin.close()
    assert await topics.ensure(model.settings, [topic], partitions=PARTITIONS, replication=1) == []


async def test_a_topic_that_was_made_anew_is_refused_until_a_person_decides(model: ReadModel, database: str):
    await model.publish(model.topics.events, revealed(1))
    health = Health()
    async with model.sink(health=health):
        await model.catch_up()
        before = await model.stored()
        await make_anew(model)
        await until_red(health, "made anew")
        await model.publish(model.topics.events, revealed(2))
        restarted = Health()
        async with model.sink(health=restarted):
            await until_red(restarted, "made anew")
        assert await model.stored() == before
        assert [row["event_id"] for row in await model.rows("order_events")] == ["event-1"]

        async with open_pool(database, max_size=1) as pool:
            cluster = await look_at(model.settings, model.topics.names)
            assert await PostgresWitness(pool).begin_anew(cluster) == [model.topics.events.name]
        await model.catch_up()
        async with asyncio.timeout(30):
            while await health.failures():
                await asyncio.sleep(0.02)
    assert sorted(str(row["event_id"]) for row in await model.rows("order_events")) == ["event-1", "event-2"]
