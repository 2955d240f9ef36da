"""Whether this process may still write, and what is on its way."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, MutableSet
from typing import Any

from bitloot import log
from bitloot.kafka import Fate, Producer
from bitloot.uptime import uptime

_ON_THE_WAY = 2_000
"""Records that may wait for their acknowledgement before events wait, too: what a broker takes in about a second."""
_ON_THE_WAY_SECONDS = 1.0
"""For how long the oldest of them may; a fifth of the time after which it counts as lost, and the process ends."""

_log = log.get(__name__)


class Fenced(RuntimeError):  # noqa: N818 - it names what happened
    """The process stood still, or waited for acknowledgements, for so long that others may own its partitions.

    What it would write now could overwrite what the new owner has written: a changelog keeps the last record,
    not the right one.
    """


class Ending(RuntimeError):  # noqa: N818 - it names what happens
    """The process has to end, for the reason that is this error's cause: nothing more may be begun or written."""


class Guard:
    """Remembers the first thing that ended this process; from then on nothing is committed.

    `limit` is in seconds: shorter than the time after which the group gives our partitions to somebody else.
    """

    def __init__(self, limit: float, clock: Callable[[], float] = uptime) -> None:
        self._limit = limit
        self._clock = clock
        self._ticked_at: float | None = None  # not running yet
        self._loop = asyncio.get_running_loop()
        self._error: BaseException | None = None
        self.failed: asyncio.Future[BaseException] = self._loop.create_future()
        """Done, with the reason, when the process has to end."""

    @property
    def error(self) -> BaseException | None:
        """What ended this process, or None."""
        return self._error

    def fail(self, error: BaseException) -> None:
        """End the process for this reason; the first one counts. May be called in any thread."""
        if self._error is None:
            self._error = error
            self._loop.call_soon_threadsafe(self._announce, error)

    @property
    def may_write(self) -> bool:
        """Whether `check` passes."""
        try:
            self.check()
        except Ending:
            return False
        return True

    def check(self) -> None:
        """Raise `Ending` if the process has to end. Called before each event and each write."""
        stood_still = 0.0 if self._ticked_at is None else self._clock() - self._ticked_at
        if stood_still > self._limit:
            self.fail(Fenced(f"the process stood still for {stood_still:.1f} s"))
        if self._error is not None:
            raise Ending(repr(self._error)) from self._error

    def tick(self, oldest_unacknowledged: float) -> None:
        """Note that the process runs; `oldest_unacknowledged` is an age in seconds. Raises as `check` does."""
        self.check()
        if oldest_unacknowledged > self._limit:
            self.fail(Fenced(f"a record has not been acknowledged for {oldest_unacknowledged:.1f} s"))
        self.check()
        self._ticked_at = self._clock()

    def _announce(self, error: BaseException) -> None:
        if not self.failed.done():
            _log.critical("faust.failed", error=repr(error))
            self.failed.set_result(error)


class Sends:
    """Every record on its way to the broker: a commit waits for all of them."""

    def __init__(self, outputs: Producer, guard: Guard) -> None:
        self._outputs = outputs
        self._guard = guard
        self._since: dict[asyncio.Future[Any], float] = {}

    def write(self, topic: str, key: bytes, value: bytes | None, partition: int) -> Fate:
        """Send a record of a changelog; its failure ends the process. Raises `Ending` when nothing may be written."""
        self._guard.check()
        sent = self._outputs.post_raw(topic, key, value, partition=partition)
        self.track(sent)
        return sent

    def track(self, sent: asyncio.Future[Any]) -> None:
        """Watch a record; its failure ends the process."""
        self._since[sent] = time.monotonic()
        sent.add_done_callback(self._on_done)

    @property
    def oldest(self) -> float:
        """Return for how many seconds the oldest record of a changelog waits for its acknowledgement."""
        first = next(iter(self._since.values()), None)
        return 0.0 if first is None else time.monotonic() - first

    @property
    def is_high(self) -> bool:
        """Whether so much is on its way that the broker has to catch up. Look before an event is begun."""
        return self._outputs.is_high(_ON_THE_WAY, _ON_THE_WAY_SECONDS)

    async def ebb(self) -> None:
        """Wait while that is so."""
        await self._outputs.ebb(_ON_THE_WAY, _ON_THE_WAY_SECONDS)

    async def settle(self) -> None:
        """Return when all that was sent until now is acknowledged. Raises if something was not, then and ever after.

        What is sent meanwhile is of events that are not done yet: under load something always is.
        """
        for sent in tuple(self._since):
            if not sent.done() and self._guard.error is None:
                await asyncio.wait({sent, self._guard.failed}, return_when=asyncio.FIRST_COMPLETED)
        self._guard.check()
        await self._outputs.flush()
        self._guard.check()

    def _on_done(self, sent: asyncio.Future[Any]) -> None:
        self._since.pop(sent, None)
        error = asyncio.CancelledError() if sent.cancelled() else sent.exception()
        if error is not None:
            self._guard.fail(error)


class InWork(MutableSet[Any]):
    """The messages that an agent has begun and not finished, and since when.

    Held strongly: Faust's own set is weak, and forgets a message that is still in work once nobody else holds it.
    """

    def __init__(self, guard: Guard, messages: Iterable[Any] = ()) -> None:
        self._guard = guard
        self._since = dict.fromkeys(messages, time.monotonic())

    def add(self, value: Any) -> None:
        """Begin a message. Raises when this process must not begin anything any more."""
        self._guard.check()
        self._since[value] = time.monotonic()

    def discard(self, value: Any) -> None:
        """Finish a message."""
        self._since.pop(value, None)

    @property
    def oldest(self) -> float:
        """Return for how many seconds the longest of them has been in work."""
        first = next(iter(self._since.values()), None)
        return 0.0 if first is None else time.monotonic() - first

    def __contains__(self, value: object) -> bool:
        return value in self._since

    def __iter__(self) -> Iterator[Any]:
        return iter(tuple(self._since))

    def __len__(self) -> int:
        return len(self._since)

    def _from_iterable(self, it: Iterable[Any]) -> "InWork":  # type: ignore[override]
        return InWork(self._guard, it)
