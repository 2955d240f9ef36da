"""What must never be on a topic is put aside by the agents, and the partition moves on."""

import asyncio
import hashlib

import pytest

from bitloot.contracts.topics import DEAD_LETTERS, KINGUIN_NOTICES, ORDER_EVENTS, Topic
from bitloot.errors import Cause
from tests.integration.plumbing.litter import HUGE, litter, raise_limit, throw


@pytest.mark.parametrize("topic", [ORDER_EVENTS, KINGUIN_NOTICES], ids=lambda topic: topic.name)
async def test_the_agents_put_all_of_it_aside(broker, worker, topic: Topic):
    await raise_limit(broker.bootstrap, topic)
    bad = litter(topic.name)
    await throw(broker.bootstrap, topic, bad)
    letters = [letter for _, letter in await broker.wait_for(DEAD_LETTERS, len(bad))]
    await throw(broker.bootstrap, topic, bad)  # the partitions have moved on
    async with asyncio.timeout(60):
        letters = [letter for _, letter in await broker.wait_for(DEAD_LETTERS, 2 * len(bad))]
    assert {letter.reason for letter in letters} == {Cause.BAD_RECORD}
    assert {letter.topic for letter in letters} == {topic.name}
    cut = [letter for letter in letters if letter.value_cut]
    assert {(letter.value_length, letter.value_sha256) for letter in cut} == {
        (len(HUGE), hashlib.sha256(HUGE).hexdigest())
    }
