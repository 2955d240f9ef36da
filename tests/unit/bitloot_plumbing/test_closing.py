"""Closing a client of aiokafka, which cancels itself, swallows cancelations and hangs."""

import asyncio

import pytest
from aiokafka.errors import KafkaError

from bitloot.cluster import finish
from bitloot.consumer import first_of


async def canceled_by_itself() -> None:
    raise asyncio.CancelledError


async def failing() -> None:
    raise KafkaError("gone")


async def stubborn(until: asyncio.Event) -> None:
    while not until.is_set():
        try:
            await until.wait()
        except asyncio.CancelledError:
            continue


@pytest.mark.parametrize("closing", [canceled_by_itself, failing])
async def test_however_it_ends_it_is_the_end_of_the_client_only(closing):
    await finish(closing())


async def test_what_does_not_end_is_left_behind():
    until = asyncio.Event()
    await finish(stubborn(until), 0.01)
    until.set()


async def test_our_own_cancelation_is_ours():
    until = asyncio.Event()
    closing = asyncio.create_task(finish(stubborn(until), 3600))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    until.set()


async def test_work_that_is_canceled_from_within_is_trouble_with_the_broker():
    with pytest.raises(KafkaError):
        await first_of(canceled_by_itself(), asyncio.Event().wait())
