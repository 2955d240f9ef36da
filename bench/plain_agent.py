"""The plainest program that does the work of the orders agent: `python -m bench.plain_agent BOOTSTRAP COUNT`.

A consumer, the same `step`, a dict, a producer. Nothing of it survives a crash well: there is no table to restore by
others, no hand-over of partitions, no dead letter, no timer, no metric and no log line. Prints what it came to as JSON.
"""

import asyncio
import json
import sys
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bitloot.contracts.codec import decode, encode
from bitloot.contracts.topics import ORDER_EVENTS, ORDERS_CHANGELOG
from bitloot.kafka import BATCH_BYTES
from bitloot.process import loop_factory
from fulfillment.step import step

GROUP = "plain"


async def run(bootstrap: str, count: int) -> None:
    """Handle `count` events, committing after each batch what has been sent for it."""
    consumer = AIOKafkaConsumer(
        ORDER_EVENTS.name,
        bootstrap_servers=bootstrap,
        group_id=GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        linger_ms=5,
        max_batch_size=BATCH_BYTES,  # as ours; with aiokafka's 16 KiB an event costs the loop half as much again
        enable_idempotence=True,
    )
    async with consumer, producer:
        done, first, table = 0, 0, dict[bytes, bytes]()
        begun = cpu = 0.0
        while done < count:
            for records in (await consumer.getmany(timeout_ms=200, max_records=500)).values():
                for record in records:
                    result = step(table.get(record.key), decode(ORDER_EVENTS, record.value))
                    if result.value is not None:
                        table[record.key] = result.value
                        await producer.send(ORDERS_CHANGELOG.name, result.value, key=record.key)
                    for topic, key, output in result.outputs:
                        await producer.send(topic.name, encode(output), key=key.encode())
                    done += 1
            await producer.flush()
            await consumer.commit()
            if not first:  # as the agent is measured: from its first commit
                first, begun, cpu = done, time.perf_counter(), time.process_time()
        print(
            json.dumps(
                {
                    "records": done - first,
                    "seconds": time.perf_counter() - begun,
                    "cpu": time.process_time() - cpu,
                }
            )
        )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run(sys.argv[1], int(sys.argv[2])))
