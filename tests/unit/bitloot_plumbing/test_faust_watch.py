"""A partition that stands still, for whatever reason, ends the process; one that moves or has nothing to do does not."""

import asyncio
from itertools import count

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from bitloot.faust_app.running import Stalled, watch_heads

PARTITION = TP("events", 3)


class App:
    """What the watch looks at: `answers` are those of the consumer, one after the other, the last one for ever."""

    def __init__(self, answers, *, ready=True):
        self.ready = ready
        self.safe_consumer = self
        self.looked = 0
        self._answers = iter(answers)
        self._last = None

    async def behind(self):
        self.looked += 1
        self._last = next(self._answers, self._last)
        if isinstance(self._last, Exception):
            raise self._last
        return self._last


async def watch(app) -> None:
    await watch_heads(app, every=0.001, limit=0.02)


async def test_standing_still_ends_the_process():
    with pytest.raises(Stalled, match="events/3 at 7"):
        await watch(App([{PARTITION: 7}]))


@pytest.mark.parametrize(
    "answers",
    [
        ({PARTITION: head} for head in count()),
        [{}],
        ({PARTITION: 7} if number % 3 else {} for number in count()),
        [KafkaConnectionError()],
    ],
    ids=["it moves", "nothing to do", "done in between", "no broker"],
)
async def test_anything_else_does_not(answers):
    app = App(answers)
    watching = asyncio.create_task(watch(app))
    while app.looked < 100:
        await asyncio.sleep(0.001)
    assert not watching.done()
    watching.cancel()


async def test_nobody_looks_while_tables_are_restored():
    app = App([{PARTITION: 7}], ready=False)
    watching = asyncio.create_task(watch(app))
    await asyncio.sleep(0.05)
    assert (app.looked, watching.done()) == (0, False)
    watching.cancel()
