"""A bounded memory of records that finds those of one order without reading all."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class Record(Protocol):
    """What a journal can keep."""

    @property
    def order_ids(self) -> tuple[str, ...]:
        """Order ids, or external ids that start with one."""
        ...


R = TypeVar("R", bound=Record)


def uuids(text: str) -> Iterator[str]:
    """Find the UUIDs in `text`: where only prose names the order, it does so by its id."""
    return (match.group().lower() for match in _UUID.finditer(text))


def _anchor(order_id: str) -> str:
    """Order ids are UUIDs and external ids start with them, so those 36 characters group them."""
    found = _UUID.match(order_id)
    return found.group().lower() if found else order_id


class Journal(Generic[R]):
    """The newest `limit` records, oldest first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._records: deque[R] = deque()
        self._by_anchor: dict[str, deque[R]] = {}
        self.dropped = 0

    def append(self, record: R) -> None:
        """Add a record; the oldest makes room for it."""
        if len(self._records) == self.limit:
            self._drop_oldest()
        self._records.append(record)
        for anchor in {_anchor(each) for each in record.order_ids}:
            self._by_anchor.setdefault(anchor, deque()).append(record)

    def _drop_oldest(self) -> None:
        oldest = self._records.popleft()
        self.dropped += 1
        for anchor in {_anchor(each) for each in oldest.order_ids}:
            group = self._by_anchor[anchor]
            # Groups keep the order of the journal, so the oldest record of all is the first of each of its groups.
            group.popleft()
            if not group:
                del self._by_anchor[anchor]

    def find(self, order_id: str | None = None) -> list[R]:
        """Return the records with an id that starts with `order_id`, or all of them."""
        if not order_id:
            return list(self._records)
        wanted = order_id.lower()
        candidates: Iterable[R] = self._records
        if _UUID.match(order_id):
            candidates = self._by_anchor.get(_anchor(order_id), ())
        return [record for record in candidates if any(each.lower().startswith(wanted) for each in record.order_ids)]

    def totals(self) -> dict[str, int]:
        """Return how many records are here and how many had to go."""
        return {"kept": len(self._records), "dropped": self.dropped}

    def __reversed__(self) -> Iterator[R]:
        return reversed(self._records)
