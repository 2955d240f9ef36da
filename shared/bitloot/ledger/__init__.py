"""The effect ledger: every try of an effect is claimed in Postgres before it touches the world.

    async with open_pool(settings.database_url.get_secret_value()) as pool:
        ledger = EffectLedger(pool, incarnation(settings.service_instance))
        await perform(ledger, producer, effect, act, within=timedelta(seconds=30))

The effects are those of orders, unless the ledger is given another `Book`.

`act` is awaited at most once for one effect id, in all processes and for all time. Whatever becomes of it is
published as an event of the order, again and again if need be, always the same one. Only a worker that comes back
with an outcome after it was given up publishes a second one, under an id that says so.
"""

from bitloot.ledger.book import Book, Failed, Wish
from bitloot.ledger.pool import NOT_MIGRATED, open_pool, translated
from bitloot.ledger.run import Act, Clock, Publish, late_id, perform, perform_read, settle
from bitloot.ledger.store import Claimed, EffectLedger, Expired, Finished, Running
from bitloot.ledger.together import Together

__all__ = [
    "NOT_MIGRATED",
    "Act",
    "Book",
    "Claimed",
    "Clock",
    "EffectLedger",
    "Expired",
    "Failed",
    "Finished",
    "Publish",
    "Running",
    "Together",
    "Wish",
    "late_id",
    "open_pool",
    "perform",
    "perform_read",
    "settle",
    "translated",
]
