"""When a Faust process must end, and what a commit waits for."""

import asyncio
from dataclasses import dataclass

import pytest

from bitloot.errors import Cause, Transient
from bitloot.faust_app.guard import Ending, Fenced, Guard, InWork, Sends

LIMIT = 7.0


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@dataclass(eq=False)
class Message:
    offset: int


class Outputs:
    def __init__(self, error=None):
        self.error = error
        self.flushed = 0

    async def flush(self):
        self.flushed += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
async def clock():
    return Clock()


@pytest.fixture
async def guard(clock):
    return Guard(LIMIT, clock)


async def test_a_process_that_runs_may_write(guard, clock):
    guard.check()  # before it runs, nothing has stood still
    for _ in range(5):
        guard.tick(oldest_unacknowledged=0.0)
        clock.now += LIMIT - 0.1
        guard.check()
    assert guard.error is None


async def test_a_process_that_stood_still_may_not(guard, clock):
    guard.tick(0.0)
    clock.now += LIMIT + 0.1
    for attempt in (guard.check, lambda: guard.tick(0.0), guard.check):
        with pytest.raises(Ending, match=r"stood still for 7\.1 s"):
            attempt()
    assert isinstance(await guard.failed, Fenced)


async def test_a_record_that_waits_too_long_ends_the_process(guard):
    with pytest.raises(Ending, match="not been acknowledged"):
        guard.tick(LIMIT + 0.1)


async def test_the_first_reason_counts_whichever_thread_tells_it(guard):
    first, second = KeyError("first"), KeyError("second")
    await asyncio.to_thread(guard.fail, first)
    guard.fail(second)
    assert guard.error is first
    assert await guard.failed is first


async def test_nothing_is_begun_after_a_failure(guard):
    in_work, message = InWork(guard), Message(1)
    in_work.add(message)
    guard.fail(KeyError("x"))
    with pytest.raises(Ending):
        in_work.add(Message(2))
    assert list(in_work) == [message]


async def test_messages_in_work_are_held_and_timed(guard):
    in_work = InWork(guard)
    assert in_work.oldest == 0
    first, second = Message(1), Message(2)
    in_work.add(first)
    in_work.add(second)
    assert (len(in_work), first in in_work, in_work.oldest > 0) == (2, True, True)
    in_work.discard(first)
    in_work.discard(first)
    in_work -= {second}  # as Faust cleans up
    assert isinstance(in_work, InWork)
    assert not in_work


async def test_settling_waits_for_every_record(guard):
    outputs = Outputs()
    sends = Sends(outputs, guard)
    sent = [asyncio.get_running_loop().create_future() for _ in range(2)]
    for each in sent:
        sends.track(each)
    settling = asyncio.create_task(sends.settle())
    for each in sent:
        await asyncio.sleep(0)
        assert not settling.done()
        assert sends.oldest > 0
        each.set_result(None)
    await settling
    assert (outputs.flushed, sends.oldest) == (1, 0)


async def test_settling_does_not_wait_for_what_is_sent_meanwhile(guard):
    outputs = Outputs()
    sends = Sends(outputs, guard)
    before, meanwhile = (asyncio.get_running_loop().create_future() for _ in range(2))
    sends.track(before)
    settling = asyncio.create_task(sends.settle())
    await asyncio.sleep(0)  # it has begun
    sends.track(meanwhile)
    before.set_result(None)
    await settling
    assert (outputs.flushed, meanwhile.done()) == (1, False)


@pytest.mark.parametrize("canceled", [True, False])
async def test_a_failed_record_fails_every_commit_after_it(guard, canceled):
    sends = Sends(Outputs(), guard)
    lost, stuck = (asyncio.get_running_loop().create_future() for _ in range(2))
    sends.track(lost)
    sends.track(stuck)  # never acknowledged: the failure must not wait for it
    lost.cancel() if canceled else lost.set_exception(KeyError("refused"))
    for _ in range(2):
        with pytest.raises(Ending) as ending:
            await sends.settle()
    assert isinstance(ending.value.__cause__, asyncio.CancelledError if canceled else KeyError)


async def test_an_output_that_was_not_acknowledged_fails_the_commit(guard):
    sends = Sends(Outputs(Transient(Cause.BROKER_UNAVAILABLE, "away")), guard)
    with pytest.raises(Transient):
        await sends.settle()
