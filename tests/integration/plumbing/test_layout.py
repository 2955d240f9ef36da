"""The check of a service's topics, against a real broker."""

from dataclasses import replace

from bitloot.cluster import layout_complaint, look_at
from bitloot.contracts.topics import ORDER_EVENTS, ORDER_STATE
from bitloot.health import Health
from bitloot.layout import Layout, topics_of
from bitloot.settings import KafkaSettings
from embedded.ports import free_port
from tests.integration.plumbing.broker import Broker


async def test_missing_topics_and_different_partitions_are_told(broker: Broker):
    one = await broker.topic(ORDER_EVENTS, partitions=2)
    other = await broker.topic(ORDER_STATE, partitions=3)
    missing = replace(one, name=f"{broker.prefix}missing")
    names = [one.name, other.name]
    cluster = await look_at(broker.settings, [*names, missing.name])
    assert layout_complaint(cluster, [one.name]) is None
    assert layout_complaint(cluster, names) == (
        f"topics differ in their partitions ({one.name} has 2, {other.name} has 3): "
        "run `python -m bitloot.topics` and see what it says"
    )
    assert layout_complaint(cluster, [*names, missing.name]) == (
        f"Kafka does not have the topics {missing.name}: run `python -m bitloot.topics`"
    )


async def test_an_unreachable_broker_is_told_and_the_service_decides_how_bad_it_is():
    settings = KafkaSettings(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    needy, reader = Health(), Health()
    Layout(settings, "kinguin").register(needy)
    Layout(settings, "admin-api").register(reader, advisory=True)
    sentence = {"topics": "no broker answers at KAFKA_BOOTSTRAP_SERVERS (KafkaConnectionError)"}
    assert (await needy.failures(), await needy.notes()) == (sentence, {})
    assert (await reader.failures(), await reader.notes()) == ({}, sentence)


def test_every_service_looks_at_what_it_writes_and_reads():
    assert {topic.name for topic in topics_of("kinguin")} >= {"kinguin.calls.v1", "orders.events.v1", "dead-letters.v1"}
    assert ORDER_STATE in topics_of("sink")
