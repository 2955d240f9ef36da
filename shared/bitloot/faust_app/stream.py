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
"""How long events are handled without a turn for others: heartbeats, probes and commits can wait so."""


class Stream(faust.Stream):  # type: ignore[misc]  # Faust has no usable types
    """A stream that is read by `events` only."""

    def __aiter__(self) -> AsyncIterator[Any]:
        raise TypeError("iterate over stream.events(): it acknowledges what was handled, and nothing else")

    async def events(self) -> AsyncIterator[Any]:
        """Iterate over events; going on to the next one acknowledges the last."""
        self._finalized = True
        started_here = await self.maybe_start()
        sends, turn_ends = self.app.sends, 0.0
        try:
            while not self.should_stop:
                if time.monotonic() >= turn_ends:
                    await sleep(0)
                    turn_ends = time.monotonic() + _TURN_SECONDS
                if sends.is_high:
                    await sends.ebb()
                try:
                    event = await self.channel.__anext__()
                except StopAsyncIteration:  # how Faust tells an agent to end
                    return
                if self._may_begin(event.message):
                    try:
                        self._set_current_event(event)
                        yield event
                        event.message.ack(self.app.consumer)
                    finally:
                        self._set_current_event(None)
                        self.app.consumer.in_work.discard(event.message)
        finally:
            if started_here:
                await self.stop()
                self.service_reset()

    def _may_begin(self, message: Any) -> bool:
        """Note that a message is in work, unless its partition was taken away or is read again from where it stands."""
        app = self.app
        if not app.flow_control.is_active() or message.generation_id != app.consumer_generation_id:
            return False
        message.tracked = True
        app.consumer.in_work.add(message)
        return True
