"""Records into the new tables, by the sink's own rules."""

from collections.abc import Sequence

from admin_api.sink.batch import Batch, Decoder
from admin_api.sink.source import RawRecord, Topics
from admin_api.sink.store import REFUSALS, Store
from bitloot.ledger import translated


class Filling:
    """Writes what `store` is connected to; counts what cannot be used, which has its dead letter already."""

    def __init__(self, store: Store, topics: Topics) -> None:
        self.skipped = 0
        self._store = store
        self._decoder = Decoder(topics)

    async def write(self, records: Sequence[RawRecord]) -> None:
        """Write records. Raises `Transient` while Postgres is away."""
        batch = Batch()
        for raw in self._decoder.in_order(records):
            if not self._add(batch, raw):
                self.skipped += 1
        with translated():
            try:
                await self._store.write(batch, {})
            except REFUSALS:
                await self._store.write_apart(records, {}, self._decoder.usable, self._refuse)

    async def _refuse(self, _raw: RawRecord, _error: Exception) -> None:
        self.skipped += 1

    def _add(self, batch: Batch, raw: RawRecord) -> bool:
        try:
            self._decoder.add(batch, raw)
        except Exception:  # noqa: BLE001 - the sink puts such a record aside, whatever its fault
            return False
        return True
