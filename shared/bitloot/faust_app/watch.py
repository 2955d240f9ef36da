"""Whether a Faust process does its work: each partition by itself, because sums hide one that stands still."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from bitloot import metrics
from bitloot.cluster import LogLost, complaints, look_at
from bitloot.health import Health


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How long something may take, in seconds."""

    tick: float = 0.25
    """Between two looks of the guard; short, because it notices that the process stood still."""
    gauges: float = 1.0
    look: float = 10.0
    """Between two questions to the broker: what it has, and whether it is still the same one."""
    stall: float = 60.0
    """An event takes milliseconds and a rebalance seconds; after this long the process is no more alive."""
    grace: float = 30.0
    """For whoever probes it to end it in order; then it ends itself."""
    recovery: float = 600.0
    """A changelog from its beginning."""
    refused: float = 60.0
    """A process that refused a lost log stays for so long; the next one looks whether the log has come back."""


class Stalled(RuntimeError):  # noqa: N818 - it names what happened
    """Events wait, and none is done: a new process begins where this one stands."""


class Watch:
    """Looks after an app; `check_alive` and `check_ready` tell what it sees."""

    def __init__(
        self, app: Any, limits: WatchLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self.limits = limits or WatchLimits()
        self._clock = clock
        self._since: dict[TP, tuple[int, float]] = {}
        self._ticked_at = self._looked_at = clock()
        self._unready_since: float | None = None
        self._owned: set[TP] = set()

    def register(self, health: Health) -> None:
        """Add the checks: ready when tables are restored, alive while it works."""
        health.register("kafka", self._app.broker)
        health.register("tables", self.check_ready)
        health.register("standbys", self._app.standbys.check)
        health.register("faust", self.check_alive, vital=True)

    # --- what it does all the time ---

    async def tick(self) -> None:
        """Keep the guard awake, and the gauges. Raises as `Guard.tick` does."""
        gauges_at = 0.0
        while True:
            self._app.guard.tick(self._app.sends.oldest)
            self._ticked_at = self._clock()
            if self._ticked_at - gauges_at >= self.limits.gauges:
                gauges_at = self._ticked_at
                self._set_gauges()
            await asyncio.sleep(self.limits.tick)

    async def look(self) -> None:
        """Ask the broker now and then. Raises `Stalled` or `LogLost`."""
        while True:
            await asyncio.sleep(self.limits.look)
            try:
                async with asyncio.timeout(self.limits.look):
                    await self._same_cluster()
                    await self._note_heads()
            except (KafkaError, TimeoutError) as error:
                self._app.broker.close(f"Kafka does not answer ({type(error).__name__})")
                self._since = {tp: (head, self._clock()) for tp, (head, _) in self._since.items()}
            self._app.mark_tables()
            self._looked_at = self._clock()
            if stalled := self._standing_still(self.limits.stall + self.limits.grace):
                raise Stalled(stalled)

    async def _same_cluster(self) -> None:
        if (known := self._app.cluster) is None:
            return
        now = await look_at(self._app.kafka, known.topic_ids)
        if found := complaints(known, now):
            raise LogLost(*found)
        if missing := now.missing(known.topic_ids):
            self._app.broker.close(f"Kafka does not have the topics {', '.join(missing)} any more")
        else:
            self._app.broker.open()

    async def _note_heads(self) -> None:
        """Note since when each partition stands where it stands, though the broker has more."""
        consumer = self._app.safe_consumer
        behind = await consumer.behind() if consumer is not None and self._app.ready else {}
        now = self._clock()
        self._since = {
            tp: self._since[tp] if self._since.get(tp, (None,))[0] == head else (head, now)
            for tp, head in behind.items()
        }

    # --- what it tells ---

    async def check_ready(self) -> str | None:
        """Return why events do not flow, or None."""
        if (lost := self._app.lost) is not None:
            return str(lost)
        return None if self._app.ready else "rebalancing or restoring tables"

    async def check_alive(self) -> str | None:
        """Return why this process should be ended, or None. One that waits for a broker is alive."""
        if (lost := self._app.lost) is not None:
            return str(lost)
        if (error := self._app.guard.error) is not None:
            return f"failed: {type(error).__name__}"
        return None if await self._app.broker() is not None else self._complaint()

    def _complaint(self) -> str | None:
        limit, now = self.limits.stall, self._clock()
        if (unready := self.unready_seconds()) > self.limits.recovery:
            return f"tables have not been complete for {unready:.0f} s"
        if now - min(self._ticked_at, self._looked_at) > limit:
            return "its watch stands still"
        return self._standing_still(limit) or self._unfinished(limit)

    def _unfinished(self, limit: float) -> str | None:
        consumer = self._app.safe_consumer
        if consumer is None or not self._app.ready:
            return None
        for tp, age in consumer.ages().items():
            if age > limit:
                return f"the oldest event of {tp.topic}/{tp.partition} has been unhandled for {age:.0f} s"
        uncommitted = consumer.uncommitted_seconds()
        return f"nothing committed for {uncommitted:.0f} s" if uncommitted > limit else None

    def _standing_still(self, limit: float) -> str | None:
        now = self._clock()
        stalled = [f"{tp.topic}/{tp.partition} at {head}" for tp, (head, at) in self._since.items() if now - at > limit]
        return f"standing still: {', '.join(sorted(stalled))}" if stalled else None

    def unready_seconds(self) -> float:
        """Return for how long tables have not been complete; counted while there is a broker."""
        if self._app.ready:
            self._unready_since = None
            return 0.0
        now = self._clock()
        self._unready_since = now if self._unready_since is None else self._unready_since
        return now - self._unready_since

    def _set_gauges(self) -> None:
        metrics.TABLES_RECOVERED.set(self._app.ready)
        metrics.RECOVERY_SECONDS.set(self.unready_seconds())
        consumer = self._app.safe_consumer
        if consumer is None or not self._app.ready:
            return
        metrics.COMMIT_AGE_SECONDS.labels(self._app.conf.id).set(consumer.uncommitted_seconds())
        ages, heads = consumer.ages(), consumer.heads()
        for tp in self._owned - heads.keys():
            for gauge in (metrics.CONSUMER_LAG, metrics.OLDEST_UNHANDLED_SECONDS):
                gauge.remove(tp.topic, str(tp.partition))
        self._owned = set(heads)
        for tp, head in heads.items():
            labels = (tp.topic, str(tp.partition))
            metrics.OLDEST_UNHANDLED_SECONDS.labels(*labels).set(ages.get(tp, 0.0))
            if head >= 0 and (end := consumer.highwater(tp)) is not None:
                metrics.CONSUMER_LAG.labels(*labels).set(max(0, end - head))
