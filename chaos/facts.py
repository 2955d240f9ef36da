"""What there is to compare: the providers' ledger, and what Postgres, Kafka, the agents' tables and S3 hold."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Purchase:
    """Keys of one product in Kinguin's own books. `external` is our id of the purchase, maybe with a suffix."""

    reservation: str
    external: str
    product: str
    quantity: int
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that the provider accepted; `orders` are those that it names. The kind `keys` has the links to codes."""

    id: str
    to: tuple[str, ...]
    orders: tuple[str, ...]
    kind: str = "keys"


@dataclass(frozen=True, slots=True)
class Row:
    """An order in the read model, with what belongs to it."""

    status: str
    version: int
    review: str | None
    """the cause for which it waits for a human"""
    review_detail: str | None
    incidents: tuple[str, ...]
    items: tuple[tuple[str, str, str | None], ...]
    """(item id, status, reservation id)"""
    keys: Mapping[str, int]
    """item id → number of keys"""
    storage_refs: frozenset[str]
    mails_accepted: int


@dataclass(frozen=True, slots=True)
class State:
    """An order as its newest snapshot in Kafka, or the agent's table, has it."""

    status: str
    version: int
    items: Mapping[str, str]
    """item id → status"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter in Postgres: who could not handle what, and why."""

    consumer: str
    place: Place
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found once nothing moved any more."""

    purchases: tuple[Purchase, ...]
    mails: tuple[Mail, ...]
    rows: Mapping[str, Row]
    states: Mapping[str, State]
    tables: Mapping[str, State]
    """what the changelog of the orders agent's table holds"""
    objects: Mapping[str, tuple[str, ...]]
    """object key → codes"""
    letters: tuple[Letter, ...] = ()
    litter: frozenset[tuple[str, Place]] = field(default_factory=frozenset)
    """(consumer, place) of each dead letter that there must be"""
    leaks: tuple[tuple[str, str], ...] = ()
    """(what was found, where) for codes outside of S3; the first is a mark of the code, not the code"""
    ledger_whole: bool = True
    """False when the sandbox was restarted or had to forget something: then nothing is proven."""

    @property
    def moving(self) -> AbstractSet[str]:
        """The orders that are further in one place than in another."""
        places: tuple[Mapping[str, Row | State], ...] = (self.rows, self.states, self.tables)
        orders = set[str]().union(*places)
        return {order for order in orders if len({_version(place, order) for place in places}) > 1}

    def settled(self, before: "Facts") -> "Facts":
        """Return these facts with the orders that move as an earlier reading had them, where they did not move there.

        What is read takes its time, and open payments are asked about for days: each answer is a new version. A
        difference that is not such a movement is in every reading.
        """
        still = self.moving - before.moving
        return replace(
            self,
            rows={**self.rows, **{order: row for order, row in before.rows.items() if order in still}},
            states={**self.states, **{order: state for order, state in before.states.items() if order in still}},
            tables={**self.tables, **{order: state for order, state in before.tables.items() if order in still}},
        )


def _version(place: Mapping[str, Row | State], order: str) -> int | None:
    return place[order].version if order in place else None
