"""One connection of a consumer, with our settings, and the tasks that live as long as it does."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from bitloot.broker import options
from bitloot.consumer.limits import Limits
from bitloot.fetch_sessions import by_sessions
from bitloot.kafka import RETRY_BACKOFF_MS
from bitloot.settings import KafkaSettings


def connect(settings: KafkaSettings, group: str, client_id: str, limits: Limits) -> AIOKafkaConsumer:
    """Return a consumer that has not been started and subscribes to nothing yet.

    A record larger than a fetch is still returned whole by every broker since 0.10.1, so the sizes of fetches
    need no change when somebody raises the limit of a topic.
    """
    consumer = AIOKafkaConsumer(
        **options(settings),
        client_id=client_id,
        group_id=group,
        # Whoever asks for an offset that does not exist shall hear of it: never start anywhere silently.
        auto_offset_reset="none",
        enable_auto_commit=False,
        session_timeout_ms=int(limits.session * 1000),
        heartbeat_interval_ms=int(limits.heartbeat * 1000),
        rebalance_timeout_ms=int(limits.rebalance * 1000),
        metadata_max_age_ms=int(limits.metadata * 1000),
        max_poll_records=limits.window,
        retry_backoff_ms=RETRY_BACKOFF_MS,
    )
    return by_sessions(consumer)


async def first_of(*work: Awaitable[Any]) -> None:
    """Run all until the first ends; cancel the others; raise what it raised.

    Work that was canceled from within, as aiokafka does to its own, raises KafkaError instead.
    """
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            if isinstance(task, asyncio.Task):
                task.cancel()
        await asyncio.wait([task for task in tasks if isinstance(task, asyncio.Task)])
    for task in done:
        if task.cancelled():
            raise KafkaError("the client gave up by itself")
        task.result()
