"""What an agent cannot handle: bad records always go, our own defects only so many a minute, and that is seen."""

import asyncio
from dataclasses import dataclass, field

import pytest

from bitloot.errors import Cause, Malformed
from bitloot.faust_app.guard import Ending
from bitloot.health import Health
from fulfillment.set_aside import DeadLetters


@dataclass(frozen=True)
class Message:
    offset: int
    topic: str = "orders.events.v1"
    partition: int = 0
    key: bytes | None = b"key"
    value: bytes | None = b"value"
    headers: dict[str, bytes] | None = None


@dataclass
class Outbox:
    sent: list[int] = field(default_factory=list)

    async def send(self, _topic, _key, record):
        self.sent.append(record.offset)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


async def test_malformed_records_go_however_many_there_are(outbox: Outbox):
    dead_letters = DeadLetters(outbox, consumer="malformed", per_minute=1)
    for offset in range(50):
        await dead_letters.send(Message(offset), Malformed(Cause.BAD_RECORD, "no JSON"))
    assert outbox.sent == list(range(50))


async def test_an_event_that_a_process_at_its_end_did_not_get_done_is_no_dead_letter(outbox: Outbox):
    """It stood still in the middle of it: the event is as good as any, and read again by whoever comes after."""
    dead_letters = DeadLetters(outbox, consumer="ending")
    with pytest.raises(Ending):
        await dead_letters.send(Message(0), Ending("the process stood still for 12.0 s"))
    assert outbox.sent == []


async def test_defects_beyond_the_allowance_wait_and_readiness_says_so(outbox: Outbox):
    dead_letters, health = DeadLetters(outbox, consumer="defects", per_minute=1), Health()
    dead_letters.register(health)
    assert await health.failures() == {}

    await dead_letters.send(Message(0), RuntimeError("a defect"))
    waiting = asyncio.create_task(dead_letters.send(Message(1), RuntimeError("a defect")))
    async with asyncio.timeout(30):
        while not await health.failures():
            await asyncio.sleep(0)

    assert await health.failures() == {"defects dead letters": "too many unexpected failures: what fails waits"}
    assert await health.failures(vital_only=True) == {}, "a restart would not help"
    assert outbox.sent == [0]
    waiting.cancel()
    await asyncio.wait([waiting])
