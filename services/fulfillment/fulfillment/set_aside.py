"""What an agent does with an event that it cannot handle."""

import asyncio

from bitloot import log
from bitloot.dead_letters import Allowance, Taken, put_aside
from bitloot.errors import Malformed, Transient
from bitloot.faust_app.guard import Ending
from bitloot.health import Health
from bitloot.kafka import Producer

_AGAIN_SECONDS = 1.0
_PER_MINUTE = 30

_log = log.get(__name__)


class DeadLetters:
    """Puts events aside, and holds the agent back rather than divert a whole topic.

    Malformed records are the sender's fault and always go; unexpected failures are ours, maybe of a bad
    deploy, and only a bounded number goes in a minute.
    """

    def __init__(self, producer: Producer, *, consumer: str, per_minute: int = _PER_MINUTE) -> None:
        self._producer = producer
        self._consumer = consumer
        self._allowance = Allowance(per_minute)

    def register(self, health: Health) -> None:
        """Show in readiness and in a metric while an event waits because too many have failed."""
        self._allowance.register(health, self._consumer)

    async def send(self, message: Taken, error: Exception) -> None:
        """Return once the dead letter is acknowledged; waits as long as that takes.

        Raises `ProducerFailed` and `Ending` only, after which nothing is committed any more.
        """
        if isinstance(error, Ending):
            raise error  # the event is as good as any: whoever comes after us reads it again
        if not isinstance(error, Malformed):
            await self._allowed(message, error)
        while True:
            try:
                return await put_aside(self._producer, self._consumer, message, error)
            except Transient:
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _allowed(self, message: Taken, error: Exception) -> None:
        while not self._allowance.take():
            _log.critical("agent.held_back", topic=message.topic, offset=message.offset, exc_info=error)
            await asyncio.sleep(_AGAIN_SECONDS)
