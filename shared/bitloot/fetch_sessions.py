"""Incremental fetches (KIP-227) for aiokafka: a broker is told what changed, and answers with what has something new.

aiokafka names every assigned partition in every fetch, and gets a section for each in every answer. A consumer of three
topics with twelve partitions each so sends and reads a few kilobytes for one record, and the broker looks at
all of them: it was most of what Kafka cost us. What the fetcher asks is unchanged; between it and the connection, a
session of each broker takes out what the broker knows already.
"""

from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import FetchSessionIdNotFound, InvalidFetchSessionEpoch
from aiokafka.protocol.fetch import FetchRequest

Send = Callable[..., Awaitable[Any]]
Partition = tuple[str, int]
"""Topic and number."""
Asked = dict[Partition, tuple[int, int]]
"""Offset and most bytes for each partition."""

_LAST_EPOCH = 2**31 - 1
_BROKEN = frozenset({FetchSessionIdNotFound.errno, InvalidFetchSessionEpoch.errno})


def by_sessions(consumer: AIOKafkaConsumer) -> AIOKafkaConsumer:
    """Let a consumer that has not started yet fetch by sessions, and return it."""
    client = consumer._client  # noqa: SLF001 - aiokafka has no place of its own for this
    client.send = FetchSessions(client.send).send
    return consumer


class Session:
    """What a broker knows of what we want. Epoch 0 tells all, and begins a session in place of that with this id."""

    def __init__(self, number: int = 0, epoch: int = 0, known: Asked | None = None) -> None:
        self.number = number
        self.epoch = epoch
        self.known = known or {}

    def anew(self) -> "Session":
        """Return how to begin again."""
        return Session(self.number)

    def after(self, number: int, asked: Asked) -> "Session":
        """Return how to go on after an answer with the session's number, which is 0 where the broker keeps none."""
        if not number:
            return Session()
        return Session(number, self.epoch + 1 if self.epoch < _LAST_EPOCH else 1, asked)


class FetchSessions:
    """Sends the fetches of one client. A session whose request got no answer is begun anew: who knows what arrived."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sessions: dict[int, Session] = {}

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """Send a request, and return its answer. Raises what aiokafka's client raises."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, **options)
        asked = {
            (topic, number): (offset, most)
            for topic, partitions in request.topics
            for number, offset, most in partitions
        }
        session = self._sessions.get(node_id) or Session()
        self._sessions[node_id] = session.anew()
        answer = await self._send(node_id, _Incremental(request, session, asked), **options)
        if answer.API_VERSION >= _Incremental.SINCE:
            if answer.error_code in _BROKEN:
                answer = await self._send(node_id, _Incremental(request, session := Session(), asked), **options)
            if not answer.error_code:
                self._sessions[node_id] = session.after(answer.session_id, asked)
        return answer


class _Incremental(FetchRequest):  # type: ignore[misc]  # aiokafka has no types
    """What a session says in place of a request that names everything."""

    SINCE = 7
    """The version of the protocol that knows sessions; Kafka 4 does, whatever its settings."""

    def __init__(self, whole: FetchRequest, session: Session, asked: Asked) -> None:
        self.__dict__.update(vars(whole))
        self._whole = whole
        self._session = session
        changed = {place: wanted for place, wanted in asked.items() if session.known.get(place) != wanted}
        self._topics = [
            (topic, [(number, *changed[topic, number]) for _, number in places]) for topic, places in _by_topic(changed)
        ]
        self._forgotten = [
            (topic, [number for _, number in places])
            for topic, places in _by_topic(session.known.keys() - asked.keys())
        ]

    def build(self, request_struct_class: Any) -> Any:
        """Return the request as it is sent."""
        if request_struct_class.API_VERSION < self.SINCE:
            return self._whole.build(request_struct_class)
        struct = super().build(request_struct_class)
        struct.session_id, struct.session_epoch = self._session.number, self._session.epoch
        struct.forgotten_topics_data = self._forgotten
        return struct


def _by_topic(partitions: Iterable[Partition]) -> Iterable[tuple[str, Iterable[Partition]]]:
    return groupby(sorted(partitions), lambda place: place[0])
