"""Faust, completed: what stock Faust leaves open for a system that must not lose an event.

Facts are of faust-streaming 0.15.3, read in its source and tried with a broker (docs/adr/0001). Added here:

- An offset is committed only when every record sent before it, outputs and changelog alike, is acknowledged by
  the broker. Stock Faust logs a failed send and commits all the same.
- Whatever fails for good ends the process before the next commit, so the events are read again: a send, a
  changelog that cannot be restored, background work, and an agent that raised or ended (stock Faust
  acknowledges the event of an agent that raised, and goes on with the next).
- Every record reaches its agent, in order: Faust's queues are cleared while records are in them, records that
  were skipped are never read again, and stock Faust may commit behind them (faust#596, #606). What was handed
  over and is not done is read again, and a commit passes nothing that is not done.
- Tables are restored from their changelogs by a consumer of our own, for the same reason, and copies of other
  workers' tables are kept up by one.
- Nothing begins anew because a log was lost: the disk remembers which logs its tables were made of. The process
  then stays, with red health, and does nothing. One that finds no broker waits for it, alive and not ready.
- A partition that stands still, an event that nobody finishes, a recovery without end: each is told by name.
- Done work is committed before partitions are given away; stock Faust forgets it and handles it again.
- A commit that the group refuses is tried again or given up; stock Faust crashes, or notes it as done.
- A process that stood still for so long that its partitions may be somebody else's writes nothing any more.
- An event is acknowledged when the agent comes back for the next one, and events that wait are handled in one turn
  of the loop. Faust's iterators acknowledge what an agent was canceled in, the pure-Python one what it skipped.
- Tables hold bytes, and their changelogs are sent with the outputs, by one idempotent producer; Faust's is off.

A service builds its agents on it::

    app = create_app(settings, app_id="fulfillment", datadir=..., partitions=12, outputs=producer)
    table = bytes_table(app, "orders")
    app.agent(bytes_topic(app, ORDER_EVENTS), name="orders")(agent)      # async for event in stream.events(): ...
    register(app, health)
    await run(app, stop, background=[timers.run, producer.watch])

An agent handles one event at a time and does no I/O but Kafka. It reads and writes tables in its own body,
sends with `producer.post(topic, key, record)` without waiting, and puts aside what it cannot handle. `app.ready`
tells whether tables are restored and events flow; `app.on_recovered(hook)` and `app.on_revoked(hook)` tell when
that changes, for what is kept in memory beside the tables.
"""

from bitloot.faust_app.app import (
    SESSION_SECONDS,
    App,
    bytes_table,
    bytes_topic,
    create_app,
)
from bitloot.faust_app.guard import Fenced
from bitloot.faust_app.running import EXIT_CRASHED, Background, register, run
from bitloot.faust_app.watch import WatchLimits

__all__ = [
    "EXIT_CRASHED",
    "SESSION_SECONDS",
    "App",
    "Background",
    "Fenced",
    "WatchLimits",
    "bytes_table",
    "bytes_topic",
    "create_app",
    "register",
    "run",
]
