"""How a consumer is, for probes and metrics: each partition by itself, because sums hide one that stands still."""

import time
from collections.abc import Mapping

from aiokafka import TopicPartition

from bitloot import log, metrics
from bitloot.cluster import LogLost
from bitloot.consumer.dispatch import Window
from bitloot.consumer.limits import Limits
from bitloot.dead_letters import Allowance
from bitloot.health import Health

_NOT_CONNECTED = "not connected to Kafka yet"

_log = log.get(__name__)


class Condition:
    """What a consumer says of itself, and the two checks that tell it.

    While something outside is away, Kafka or the witness, the process is not ready but alive: no restart would
    bring it back. It is neither while it is refused: then nobody may overlook it.
    """

    def __init__(self, group: str, windows: Mapping[TopicPartition, Window], limits: Limits) -> None:
        self._group = group
        self._windows = windows
        self._limits = limits
        self._lost: LogLost | None = None
        self._failed = False
        self._waiting: str | None = _NOT_CONNECTED
        self._outside_since: float | None = time.monotonic()
        self._committed_at = time.monotonic()
        metrics.COMMIT_AGE_SECONDS.labels(group).set_function(self._commit_age)
        metrics.LOG_LOST.labels(group).set_function(lambda: self._lost is not None)

    def register(self, health: Health, name: str, allowance: Allowance) -> None:
        """Add the checks."""
        health.register(f"{name} consumer", self.check_alive, vital=True)
        health.register(f"{name} consumer ready", self.check_ready)
        allowance.register(health, name)

    # --- what happens ---

    def waits(self, reason: str) -> None:
        """Note that something outside is away."""
        if self._waiting != reason:
            _log.warning("consumer.waits", group=self._group, reason=reason)
        self._waiting = reason

    def goes_on(self) -> None:
        """Note that all that is outside is there."""
        if self._waiting is not None and self._outside_since is not None:
            self._outside_since = time.monotonic()  # nobody could join before
        self._waiting = None

    def in_place(self) -> None:
        """Note that we know where to go on in all partitions that are ours."""
        if self._outside_since is None:
            self._lost = None

    def lost(self, error: LogLost) -> None:
        """Note that the log is not the one that was worked on."""
        if self._lost is None or str(self._lost) != str(error):
            _log.critical("consumer.log_lost", group=self._group, error=str(error))
        self._lost = error

    def failed(self) -> None:
        """Note that the process has to end."""
        self._failed = True

    def assigned(self) -> None:
        """Note that the group has given us partitions, or none."""
        self._outside_since = None

    def outside(self) -> None:
        """Note that we are in no group now."""
        self._outside_since = self._outside_since or time.monotonic()

    def committed(self) -> None:
        """Note that there is nothing left to commit."""
        self._committed_at = time.monotonic()

    @property
    def is_lost(self) -> bool:
        """Whether nothing may be committed."""
        return self._lost is not None

    # --- what is told ---

    async def check_alive(self) -> str | None:
        """Return why a restart is needed, or a person, or None."""
        if self._failed:
            return "it failed"
        if self._lost is not None:
            return str(self._lost)
        if self._waiting is not None:
            return None
        now, stall = time.monotonic(), self._limits.stall
        if self._outside_since is not None:
            outside = now - self._outside_since
            return f"not in its group for {outside:.0f} s" if outside > stall else None
        complaints = [_complaint(partition, window, now, stall) for partition, window in self._windows.items()]
        return "; ".join(filter(None, complaints)) or None

    async def check_ready(self) -> str | None:
        """Return why nothing is done here, or None."""
        if self._lost is not None:
            return str(self._lost)
        if self._waiting is not None:
            return f"waiting: {self._waiting}"
        if self._outside_since is not None:
            return "no partitions assigned yet"
        placing = [partition for partition, window in self._windows.items() if window.position is None]
        return f"finding the place in {len(placing)} partitions" if placing else None

    def watch(self, partition: TopicPartition, window: Window) -> None:
        """Show a partition that is ours in the metrics."""
        labels = (partition.topic, str(partition.partition))
        metrics.OLDEST_UNHANDLED_SECONDS.labels(*labels).set_function(window.age)
        metrics.CONSUMER_LAG.labels(*labels).set_function(lambda: window.lag)
        metrics.UNCOMMITTED_SECONDS.labels(*labels).set_function(lambda: window.uncommitted_for(time.monotonic()))

    @staticmethod
    def forget(partition: TopicPartition) -> None:
        """Take a partition that is ours no more from the metrics."""
        for gauge in (metrics.OLDEST_UNHANDLED_SECONDS, metrics.CONSUMER_LAG, metrics.UNCOMMITTED_SECONDS):
            gauge.remove(partition.topic, str(partition.partition))

    def _commit_age(self) -> float:
        settled = all(window.uncommitted is None and not window.unfinished for window in self._windows.values())
        return 0.0 if settled else time.monotonic() - self._committed_at


def _complaint(partition: TopicPartition, window: Window, now: float, limit: float) -> str | None:
    name = f"{partition.topic}/{partition.partition}"
    longest, still, uncommitted = window.longest_attempt(now), window.stood_still_for(now), window.uncommitted_for(now)
    if longest > limit:
        return f"a record of {name} has been handled for {longest:.0f} s"
    if still > limit:
        return f"{name} has stood still at offset {window.position} for {still:.0f} s"
    return f"{name} has not been committed for {uncommitted:.0f} s" if uncommitted > limit else None
