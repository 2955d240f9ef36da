"""The consumer of everything that does I/O: parallel across keys, in order within a key, nothing lost.

    consumer = OrderedConsumer(
        settings, group="delivery", topics=[DELIVERIES], handle=worker.handle,
        dead_letters=producer, name="delivery", health=health,
    )
    await consumer.run()     # until it is canceled or `stop` is called; both end in good order

A record is delivered again until `handle` returns, so `handle` must bear repeats. What it raises decides:

    Transient           our own parts are away: the same record again after a pause, its key waits, others go on
    Malformed           dead letter, then on; the same for a record that cannot be decoded
    anything else       dead letter with the stack, but only so many in a minute (`Limits.defects_per_minute`):
                        beyond that the record waits like a transient one, so that a bad deploy diverts little
    ProducerFailed      `run` raises: the process must end before an offset moves

Offsets are committed every second, from the head of each partition only. When partitions are taken away, what
runs gets a bounded time to end, the heads are committed and the rest is forgotten: the next owner begins there.
Broker trouble ends at most the connection: a new one is opened for as long as it takes. A log that is not the one
that the group has worked with (`bitloot.cluster.LogLost`) is refused, red and loud: nothing begins anew by itself.
"""

from bitloot.consumer.connection import first_of
from bitloot.consumer.limits import Limits
from bitloot.consumer.ordered import OrderedConsumer
from bitloot.consumer.records import Consumed

__all__ = ["Consumed", "Limits", "OrderedConsumer", "first_of"]
