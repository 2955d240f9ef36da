"""What a session tells a broker, and how it begins anew when the two do not agree."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import FetchSessionIdNotFound, InvalidFetchSessionEpoch, RequestTimedOutError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from bitloot.fetch_sessions import FetchSessions

MOST = 1000


def wants(**topics: dict[int, int]) -> FetchRequest:
    """What aiokafka asks: everything, each time. Topics to partitions to offsets."""
    asked = [(name, [(number, offset, MOST) for number, offset in places.items()]) for name, places in topics.items()]
    return FetchRequest(500, 1, 10_000, 0, asked)


class Broker:
    """Keeps sessions as Kafka does, and notes what it was sent."""

    def __init__(self, *, versions: tuple[int, int] = (4, 17), keeps: bool = True) -> None:
        self.versions = versions
        self.keeps = keeps
        self.sessions: dict[int, tuple[int, dict]] = {}
        self.told: list[Any] = []
        self.fails: list[BaseException] = []
        self._number = 100

    async def send(self, _node: int, request: Any, **_options: Any) -> Any:
        struct = request.prepare({1: self.versions})
        self.told.append(struct)
        if self.fails:
            raise self.fails.pop(0)
        if struct.API_VERSION < 7:
            return SimpleNamespace(API_VERSION=struct.API_VERSION, topics=struct.topics)
        named = {
            (topic, number): (offset, most) for topic, places in struct.topics for number, _, offset, _, most in places
        }
        if struct.session_epoch > 0:
            if struct.session_id not in self.sessions:
                return self._answer(error=FetchSessionIdNotFound.errno)
            epoch, known = self.sessions[struct.session_id]
            if struct.session_epoch != epoch + 1:
                return self._answer(error=InvalidFetchSessionEpoch.errno)
            for topic, numbers in struct.forgotten_topics_data:
                for number in numbers:
                    del known[topic, number]
            self.sessions[struct.session_id] = (struct.session_epoch, known | named)
            return self._answer(struct.session_id)
        assert struct.session_epoch == 0
        self.sessions.pop(struct.session_id, None)
        if not self.keeps:
            return self._answer(0)
        self._number += 1
        self.sessions[self._number] = (0, named)
        return self._answer(self._number)

    def _answer(self, number: int = 0, error: int = 0) -> Any:
        return SimpleNamespace(API_VERSION=11, error_code=error, session_id=number, topics=[])

    @property
    def known(self) -> dict:
        """What the only session knows: offsets by place."""
        ((_, known),) = self.sessions.values()
        return {place: offset for place, (offset, _) in known.items()}

    @property
    def named(self) -> list[set]:
        """The places that each request named."""
        return [{(topic, each[0]) for topic, places in struct.topics for each in places} for struct in self.told]


async def test_a_broker_is_told_all_once_and_then_what_changed():
    broker = Broker()
    sessions = FetchSessions(broker.send)
    await sessions.send(1, wants(a={0: 5, 1: 7}, b={0: 0}))
    await sessions.send(1, wants(a={0: 6, 1: 7}, b={0: 0}))
    await sessions.send(1, wants(a={0: 6, 1: 7}, b={0: 0}))
    assert broker.named == [{("a", 0), ("a", 1), ("b", 0)}, {("a", 0)}, set()]
    assert broker.known == {("a", 0): 6, ("a", 1): 7, ("b", 0): 0}


async def test_what_is_not_wanted_any_more_is_forgotten_and_may_come_back():
    broker = Broker()
    sessions = FetchSessions(broker.send)
    await sessions.send(1, wants(a={0: 5, 1: 7}, b={0: 0}))
    await sessions.send(1, wants(a={1: 7}))
    assert broker.known == {("a", 1): 7}
    assert broker.told[-1].forgotten_topics_data == [("a", [0]), ("b", [0])]
    await sessions.send(1, wants(a={0: 5, 1: 7}))
    assert broker.known == {("a", 0): 5, ("a", 1): 7}


@pytest.mark.parametrize("lost", ["the session", "its epoch"])
async def test_a_session_that_the_broker_does_not_know_is_begun_anew_at_once(lost):
    broker = Broker()
    sessions = FetchSessions(broker.send)
    await sessions.send(1, wants(a={0: 5, 1: 7}))
    (number,) = broker.sessions
    if lost == "the session":
        broker.sessions.clear()
    else:
        broker.sessions[number] = (40, broker.sessions[number][1])
    answer = await sessions.send(1, wants(a={0: 6, 1: 7}))
    assert answer.error_code == 0
    assert broker.named[-2:] == [{("a", 0)}, {("a", 0), ("a", 1)}]
    assert (broker.told[-1].session_id, broker.told[-1].session_epoch) == (0, 0)


@pytest.mark.parametrize("ended", [RequestTimedOutError(), asyncio.CancelledError()])
async def test_after_a_request_without_an_answer_all_is_told_again_in_place_of_the_old_session(ended):
    broker = Broker()
    sessions = FetchSessions(broker.send)
    await sessions.send(1, wants(a={0: 5, 1: 7}))
    (old,) = broker.sessions
    broker.fails.append(ended)
    with pytest.raises(type(ended)):
        await sessions.send(1, wants(a={0: 6, 1: 7}))
    await sessions.send(1, wants(a={0: 6, 1: 7}))
    assert broker.told[-1].session_id == old
    assert old not in broker.sessions
    assert broker.known == {("a", 0): 6, ("a", 1): 7}


async def test_each_broker_has_its_own_session():
    one, other = Broker(), Broker()
    brokers = {1: one, 2: other}

    async def send(node: int, request: Any, **options: Any) -> Any:
        return await brokers[node].send(node, request, **options)

    sessions = FetchSessions(send)
    await sessions.send(1, wants(a={0: 5}))
    await sessions.send(2, wants(a={1: 7}))
    await sessions.send(1, wants(a={0: 6}))
    assert (one.known, other.known) == ({("a", 0): 6}, {("a", 1): 7})


async def test_a_broker_that_keeps_no_session_is_told_all_each_time():
    broker = Broker(keeps=False)
    sessions = FetchSessions(broker.send)
    for offset in (5, 6):
        await sessions.send(1, wants(a={0: offset, 1: 7}))
    assert broker.named == [{("a", 0), ("a", 1)}] * 2
    assert [struct.session_epoch for struct in broker.told] == [0, 0]


async def test_a_broker_that_knows_no_sessions_gets_what_aiokafka_sends():
    broker = Broker(versions=(4, 5))
    sessions = FetchSessions(broker.send)
    for offset in (5, 6):
        request = wants(a={0: offset, 1: 7})
        await sessions.send(1, request)
        assert broker.told[-1] == request.prepare({1: broker.versions})


async def test_other_requests_pass_as_they_are():
    sent = []

    async def send(*args: Any, **options: Any) -> str:
        sent.append((args, options))
        return "answer"

    request = MetadataRequest([])
    assert await FetchSessions(send).send(1, request, group=2) == "answer"
    assert sent == [((1, request), {"group": 2})]
