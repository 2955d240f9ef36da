"""The fixtures themselves: every worker reaches the same servers, and tests do not see each other's data."""

import asyncpg
import pytest
from aiobotocore.session import get_session
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError
from botocore.exceptions import ClientError


async def test_records_go_through_the_broker(kafka_bootstrap, topic_prefix):
    topic = f"{topic_prefix}orders"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 3, 1)])
    finally:
        await admin.close()
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all", enable_idempotence=True) as producer,
        AIOKafkaConsumer(
            topic, bootstrap_servers=kafka_bootstrap, group_id=topic, auto_offset_reset="earliest"
        ) as consumer,
    ):
        await producer.send_and_wait(topic, b"value", key=b"key")
        record = await consumer.getone()
    assert (record.key, record.value) == (b"key", b"value")


async def test_a_topic_that_nobody_declared_does_not_appear(kafka_bootstrap, topic_prefix):
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, request_timeout_ms=1_000) as producer:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.send_and_wait(f"{topic_prefix}mistyped", b"value")


@pytest.mark.parametrize("_turn", [1, 2])
async def test_each_test_has_a_database_of_its_own(database, _turn):
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("CREATE TABLE mine (id int)")  # would fail if the other turn's were here
        assert await connection.fetchval("SELECT count(*) FROM mine") == 0
        assert (await connection.fetchval("SHOW server_version")).startswith("18.")
    finally:
        await connection.close()


async def test_the_store_has_the_conditions_and_denials_of_r2(bucket):
    async with get_session().create_client(
        "s3",
        endpoint_url=bucket.endpoint,
        region_name=bucket.region,
        aws_access_key_id=bucket.access_key,
        aws_secret_access_key=bucket.secret_key,
    ) as client:
        await client.put_object(Bucket=bucket.name, Key="keys/1.json", Body=b"first", IfNoneMatch="*")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            await client.put_object(Bucket=bucket.name, Key="keys/1.json", Body=b"second", IfNoneMatch="*")
        answer = await client.get_object(Bucket=bucket.name, Key="keys/1.json")
        assert await answer["Body"].read() == b"first"
    async with get_session().create_client(
        "s3",
        endpoint_url=bucket.endpoint,
        region_name=bucket.region,
        aws_access_key_id=bucket.access_key,
        aws_secret_access_key="wrong",
    ) as stranger:
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            await stranger.get_object(Bucket=bucket.name, Key="keys/1.json")
