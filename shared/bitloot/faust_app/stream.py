"""The stream of an agent's events: those of one turn of the loop are handled one after the other, then others run.

Faust's iterators give the loop a turn before each event, and call a dozen sensors that nobody reads: a tenth of what
an event costs, and each event's records leave in a request of their own. The pure-Python one also acknowledges events
that it skips. Here an event is acknowledged when the agent comes back for the next one, and only then: not when it was
skipped, not when the agent raised or was canceled in it.
"""

import time
from asyncio import sleep
from collections.abc import AsyncIterator
from typing import Any

import faust

_TURN_SECONDS = 0.02
"""How long events are handled without a turn for others: heartbeats have a thread of their own, probes can wait so."""


class Stream(faust.Stream):  # type: ignore[misc]  # Faust has no usable types
    """A stream that is read by `events` only."""

    def __aiter__(self) -> AsyncIterator[Any]:
        raise TypeError("iterate over stream.events(): it acknowledges what was handled, and nothing else")

    async def events(self) -> AsyncIterator[Any]:
        """Iterate over events; going on to the next one acknowledges the last."""
        app, consumer, channel = self.app, self.app.consumer, self.channel
        self._finalized = True
        await self.maybe_start()
        turn_ends = 0.0
        while not self.should_stop:
            if time.monotonic() >= turn_ends:
                await sleep(0)
                turn_ends = time.monotonic() + _TURN_SECONDS
            event = await channel.__anext__()
            message = event.message
            if not app.flow_control.is_active() or message.generation_id != app.consumer_generation_id:
                continue  # of partitions that were taken away, or are read again from where they stand
            message.tracked = True
            consumer.in_work.add(message)
            self._set_current_event(event)
            try:
                yield event
            except BaseException:
                consumer.in_work.discard(message)
                raise
            finally:
                self._set_current_event(None)
            message.ack(consumer)
