"""How far the sink is: per partition, because a sum would hide one that stands still."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from admin_api.sink.store import Move, Partition
from bitloot import metrics


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class _State:
    """Offsets of one partition, and since when something in it has been waiting to be written."""

    written: int
    end: int
    waiting_since: datetime | None = None


class Progress:
    """Remembers offsets and times, and sets the metrics. Ages are in seconds."""

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self._partitions: dict[Partition, _State] = {}
        self._newest: datetime | None = None

    def place(self, cursors: Mapping[Partition, int]) -> None:
        """From now on these partitions are ours, each read up to its cursor."""
        for gone in self._partitions.keys() - cursors.keys():
            del self._partitions[gone]
            metrics.CONSUMER_LAG.remove(gone[0], str(gone[1]))
            metrics.OLDEST_UNHANDLED_SECONDS.remove(gone[0], str(gone[1]))
        for partition, cursor in cursors.items():
            state = self._partitions.setdefault(partition, _State(cursor, cursor))
            state.written = cursor
        self.publish()

    def found_ends(self, ends: Mapping[Partition, int]) -> None:
        """Take in where the partitions end."""
        for partition, end in ends.items():
            if state := self._partitions.get(partition):
                state.end = end
                self._note(state, self._clock())
        self.publish()

    def took(self, partition: Partition, oldest: datetime) -> None:
        """Note that records of a partition are being written; `oldest` is the first one's timestamp."""
        if state := self._partitions.get(partition):
            state.waiting_since = min(oldest, state.waiting_since or oldest)

    def wrote(self, moves: Mapping[Partition, Move], newest: datetime) -> None:
        """Note what has been written; `newest` is the last record's timestamp."""
        for partition, move in moves.items():
            if state := self._partitions.get(partition):
                state.written = move.new
                state.end = max(state.end, move.new)
                state.waiting_since = None
                self._note(state, self._clock())
        self._newest = max(newest, self._newest or newest)
        self.publish()

    def lags(self) -> dict[Partition, int]:
        """How many records of each partition are not written yet."""
        return {partition: state.end - state.written for partition, state in self._partitions.items()}

    def behind(self) -> dict[Partition, int]:
        """At which offset each partition stands that has more."""
        return {each: state.written for each, state in self._partitions.items() if state.end > state.written}

    def ages(self) -> dict[Partition, float]:
        """For how long the oldest record of each partition that is not written has been waiting; 0 for none."""
        now = self._clock()
        return {
            partition: max(0.0, (now - state.waiting_since).total_seconds()) if state.waiting_since else 0.0
            for partition, state in self._partitions.items()
        }

    def publish(self) -> None:
        """Set the metrics."""
        for (topic, number), lag in self.lags().items():
            metrics.CONSUMER_LAG.labels(topic, str(number)).set(lag)
        for (topic, number), age in self.ages().items():
            metrics.OLDEST_UNHANDLED_SECONDS.labels(topic, str(number)).set(age)
        if self._newest is not None:
            metrics.SINK_LAG_SECONDS.set((self._clock() - self._newest).total_seconds())

    @staticmethod
    def _note(state: _State, now: datetime) -> None:
        """Begin to count, or stop: the timestamp of a record that was not fetched yet is not known."""
        if state.end <= state.written:
            state.waiting_since = None
        elif state.waiting_since is None:
            state.waiting_since = now
