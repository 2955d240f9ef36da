"""Work on records in parallel across keys and in order within a key; offsets move from the head only."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial


@dataclass(slots=True, eq=False)
class Entry:
    """A record that was taken and is not committed yet."""

    offset: int
    timestamp: float
    """When the record was written, in seconds since the epoch."""
    begun: float | None = None
    """When the attempt that is running began (monotonic), or None between attempts."""
    done: bool = False


class Window:
    """The records of one partition, for as long as it is ours, in the order of their offsets.

    `head` is the offset to commit: all records before it are done. It never passes a record that is not,
    however many after it are (committing those would lose it in a crash).
    """

    def __init__(self) -> None:
        self.head: int | None = None
        self.committed: int | None = None
        self.unfinished = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.moved_at = time.monotonic()
        """When something last happened here: a record was taken, or an attempt ended, well or not."""
        self._end = 0
        self._waiting_since: float | None = None  # of records that the broker has and we do not, on the wall clock
        self._pending_since: float | None = None  # of what is done and not committed, monotonic
        self._entries: deque[Entry] = deque()
        self._closed = asyncio.Event()

    def place(self, offset: int) -> None:
        """Begin at this offset, which is committed."""
        self.head = self.committed = offset
        self.found_end(offset)

    def take(self, offset: int, timestamp: float) -> Entry:
        """Add the next record."""
        entry = Entry(offset, timestamp)
        self._entries.append(entry)
        self.unfinished += 1
        self.moved_at = time.monotonic()
        self.found_end(offset + 1)
        return entry

    def finish(self, entry: Entry) -> None:
        """Mark a record as done and move the head as far as it goes."""
        entry.done = True
        self.unfinished -= 1
        while self._entries and self._entries[0].done:
            self.head = self._entries.popleft().offset + 1
            self._pending_since = self._pending_since or time.monotonic()
        self.found_end(self._end)

    def note_committed(self, head: int) -> None:
        """Note that the group has this offset now."""
        self.committed = head
        self._pending_since = None if self.uncommitted is None else time.monotonic()

    def found_end(self, end: int) -> None:
        """Note where the partition ends at the broker."""
        self._end = max(self._end, end)
        waits = not self._entries and self.lag > 0
        self._waiting_since = (self._waiting_since or time.time()) if waits else None

    @property
    def uncommitted(self) -> int | None:
        """The head, if it has moved since it was committed."""
        return None if self.head == self.committed else self.head

    @property
    def position(self) -> int | None:
        """The offset of the first record that is not done, or of the next one; None before it is known."""
        return self._entries[0].offset if self._entries else self.head

    @property
    def lag(self) -> int:
        """How many records are not done, as far as we know; offsets that compaction left out count, too."""
        return 0 if self.position is None else max(0, self._end - self.position)

    def age(self) -> float:
        """Return how old the record is that the head waits for, in seconds; 0 when there is none.

        Of a record that did not reach us yet only the time since we heard of it is known.
        """
        since = self._entries[0].timestamp if self._entries else self._waiting_since
        return 0.0 if since is None else max(0.0, time.time() - since)

    def uncommitted_for(self, now: float) -> float:
        """Return for how many seconds something has been done and not committed."""
        return 0.0 if self._pending_since is None else now - self._pending_since

    def stood_still_for(self, now: float) -> float:
        """Return for how many seconds nothing has happened although there is something to do."""
        return now - self.moved_at if self.lag else 0.0

    def longest_attempt(self, now: float) -> float:
        """Return for how many seconds the longest running attempt has run."""
        return max((now - entry.begun for entry in self._entries if entry.begun is not None), default=0.0)

    @property
    def closed(self) -> bool:
        """Whether the partition is no longer ours: begin nothing new."""
        return self._closed.is_set()

    async def drain(self, seconds: float) -> None:
        """Begin nothing new and give what runs so long to end; what does not is left to itself."""
        self._closed.set()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=seconds)

    async def pause(self, seconds: float) -> None:
        """Sleep between two attempts; closing the window wakes it up."""
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return


class Lanes:
    """Runs work in lanes: one after the other within a lane, side by side across lanes.

    A lane outlives a rebalance, so that a record that comes again waits for its first handling to end.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, lane: Hashable, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run `work` when all that was submitted to its lane before has ended, however that ended."""
        task = asyncio.create_task(_after(self._last.get(lane), work))
        self._last[lane] = task
        self._tasks.add(task)
        task.add_done_callback(partial(self._leave, lane))
        return task

    def cancel(self) -> None:
        """Cut off whatever still runs, as the end of the process would."""
        for task in self._tasks:
            task.cancel()

    def _leave(self, lane: Hashable, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._last.get(lane) is task:
            del self._last[lane]


async def _after(previous: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]) -> None:
    if previous is not None:
        await asyncio.wait({previous})
    await work()
