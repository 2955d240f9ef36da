"""The ingress with a real broker: what is acknowledged is stored, what is not stored is not acknowledged."""

import asyncio
from typing import Any

import pytest

from bitloot import ids, topics
from bitloot.contracts.codec import decode
from bitloot.contracts.topics import ORDER_EVENTS, WEBHOOKS_LOG, Topic
from bitloot.health import Health
from bitloot.kafka import Producer, ProducerFailed
from bitloot.settings import KafkaSettings
from embedded.kafka import Kafka
from ingress.app import open_ports
from tests.integration.ingress.conftest import Serve
from tests.integration.plumbing.broker import Broker, revealed
from tests.unit.ingress import rig as rigs
from tests.unit.ingress.rig import Rig, ipn, order, refusal

pytestmark = pytest.mark.stack


async def stored(bootstrap: str, topic: Topic, key: str) -> list[Any]:
    broker = Broker(KafkaSettings(kafka_bootstrap_servers=bootstrap), "")
    return [decode(topic, record.value) for record in await broker.read(topic) if record.key == key.encode()]


async def ready(rig: Rig) -> int:
    return (await rig.client.get("/readyz")).status


async def until_ready(rig: Rig) -> None:
    async with asyncio.timeout(30):
        while await ready(rig) != 200:
            await asyncio.sleep(0.05)


async def accepted(rig: Rig, document: dict[str, Any]) -> None:
    """Send a notification as a provider does, again and again: a broker that has just begun leads nothing yet."""
    async with asyncio.timeout(30):
        while (await rig.ipn(document)).status != 200:
            await asyncio.sleep(0.05)


async def placed(rig: Rig, key: str) -> None:
    """Place an order as a client does that was told to try again: what a busy broker does not store in time is sent anew."""
    async with asyncio.timeout(30):
        while (answer := await rig.order(order(), key=key)).status != 201:
            await refusal(answer, 503)
            await asyncio.sleep(0.05)


async def test_both_records_are_on_their_topics_under_the_order_id(
    serve: Serve, kafka_bootstrap: str, topic_prefix: str
):
    await topics.ensure(KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap), partitions=12, replication=1)
    mine = ids.order_id(topic_prefix)
    async with serve(rigs.settings(kafka_bootstrap_servers=kafka_bootstrap)) as rig:
        await until_ready(rig)
        assert (await rig.ipn(ipn(order_id=mine))).status == 200

    (event,) = await stored(kafka_bootstrap, ORDER_EVENTS, mine)
    (logged,) = await stored(kafka_bootstrap, WEBHOOKS_LOG, mine)
    assert event.payment_id == logged.external_id == "5745459419"
    assert ORDER_EVENTS.records.validate_python(logged.event) == event


async def test_without_a_broker_503_and_when_it_is_back_all_is_well(serve: Serve, tmp_path: Any, database: str):
    """One broker for the whole story: a start costs seconds. The payment provider is away all the time."""
    kafka = Kafka(tmp_path)
    settings = rigs.settings(
        kafka_bootstrap_servers=kafka.bootstrap,
        database_url=database,
        publish_seconds=0.5,
        nowpayments_base_url="http://127.0.0.1:9",
    )
    async with serve(settings) as rig:
        await refusal(await rig.ipn(ipn()), 503)
        assert await ready(rig) == 503
        assert (await rig.client.get("/healthz")).status == 200

        await kafka.start()
        try:
            await topics.ensure(KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap), partitions=1, replication=1)
            await until_ready(rig)
            await accepted(rig, ipn())
            await placed(rig, "before")

            await kafka.kill()
            await refusal(await rig.ipn(ipn(payment_status="refunded")), 503)
            await refusal(await rig.kinguin({"event": "give", "reservationId": "r-1"}), 503)
            await refusal(await rig.order(order(), key="while-away"), 503)
            assert (await rig.order(order(), key="before")).status == 201, "a repeat needs no broker"
            assert await ready(rig) == 503
            assert (await rig.client.get("/healthz")).status == 200

            await kafka.start()
            await until_ready(rig)
            await accepted(rig, ipn(payment_status="refunded"))
            await placed(rig, "while-away")

            events = await stored(kafka.bootstrap, ORDER_EVENTS, rigs.ORDER)
            assert list(dict.fromkeys(event.provider_status for event in events)) == ["finished", "refunded"]
            assert await stored(kafka.bootstrap, ORDER_EVENTS, ids.order_id("while-away"))
        finally:
            await kafka.stop()


async def test_a_producer_that_failed_for_good_ends_the_process(kafka_bootstrap: str, topic_prefix: str):
    await topics.ensure(KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap), partitions=12, replication=1)
    mine = ids.order_id(topic_prefix)

    async def run_and_fail() -> None:
        async with open_ports(rigs.settings(kafka_bootstrap_servers=kafka_bootstrap), Health()) as ports:
            assert isinstance(ports.publisher, Producer)
            await ports.publisher.send(ORDER_EVENTS, mine, revealed(1, mine))
            # What the broker thinks is next and what we send next now differ, as after a batch that was lost.
            numbers = ports.publisher._connected.result()._txn_manager._sequence_numbers
            for partition in numbers:
                numbers[partition] += 7
            with pytest.raises(ProducerFailed):
                await ports.publisher.send(ORDER_EVENTS, mine, revealed(2, mine))
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as ended:
        await run_and_fail()
    assert ended.group_contains(ProducerFailed)
