"""What the admin API needs of the outside."""

import secrets
from asyncio import Semaphore
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from admin_api.access.rights import NOBODY, Asker
from admin_api.api.intake import Intake
from admin_api.api.watching import Behind
from admin_api.database import Pool
from admin_api.sink.source import Topics
from bitloot.code_hashes import CodeHasher
from bitloot.contracts.base import Record
from bitloot.contracts.topics import Topic

_FILES_AT_ONCE = 3  # of the ten connections of a pool


async def no_news() -> AsyncGenerator[bytes, None]:
    """Stand in where nobody listens: nothing is told, and that at once."""
    nothing: tuple[bytes, ...] = ()
    for each in nothing:
        yield each


class Publisher(Protocol):
    """Kafka, as far as the admin API writes to it. Both raise `Transient` without an acknowledgement."""

    async def send(self, topic: Topic, key: str, record: Record) -> None:
        """Send a record; returns when the broker has acknowledged it."""

    async def send_raw(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Send bytes as they are."""


class OpenOriginals(Protocol):
    """Records as they were written, one after the other."""

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None:
        """Return a record's value, None when Kafka no longer has it. Raises `Transient`."""


class Originals(Protocol):
    """Records as they were written: sealed codes are in Kafka only."""

    def open(self) -> AbstractAsyncContextManager[OpenOriginals]:
        """Connect for a while. Entering raises `Transient`."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside. `replayable` are the topics that something may be sent to again, by their declared names.

    Without `intake` nothing is sold on Kinguin, and without `hasher` no order is found by a code. `asker` is who asks:
    each request has ports of its own. `cursor_key` signs cursors, for all replicas. `fresh_as_of` tells until when
    the read model has all that Kafka has, `behind` how far each consumer is, as it was `looked_at`; `live` is what
    changes from now on. `files` lets only so many files be made at once. `settings` is what may be told of how this
    process is set up.
    """

    pool: Pool
    publisher: Publisher
    originals: Originals
    topics: Topics
    replayable: Mapping[str, Topic]
    intake: Intake | None = None
    hasher: CodeHasher | None = None
    asker: Asker = NOBODY
    cursor_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    fresh_as_of: Callable[[], datetime | None] = lambda: None
    looked_at: Callable[[], datetime | None] = lambda: None
    behind: Callable[[], Sequence[Behind]] = tuple
    live: Callable[[], AsyncGenerator[bytes, None]] = no_news
    files: Semaphore = field(default_factory=lambda: Semaphore(_FILES_AT_ONCE))
    settings: Sequence[Any] = ()
