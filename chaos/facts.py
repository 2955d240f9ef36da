"""What there is to compare: the providers' ledger, and what Postgres, Kafka and S3 hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Purchase:
    """A sale in Kinguin's own books. `external` is what we named it: the item's id, maybe with a suffix."""

    reservation: str
    external: str
    product: str
    quantity: int
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that the provider accepted; `orders` are those that it names."""

    id: str
    to: tuple[str, ...]
    orders: tuple[str, ...]


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
    """The newest snapshot of an order in Kafka."""

    status: str
    version: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found once nothing moved any more."""

    purchases: tuple[Purchase, ...]
    mails: tuple[Mail, ...]
    rows: Mapping[str, Row]
    states: Mapping[str, State]
    objects: Mapping[str, tuple[str, ...]]
    """object key → codes"""
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    """consumer and reason → number"""
    ledger_whole: bool = True
    """False when the sandbox was restarted or had to forget something: then nothing is proven."""
