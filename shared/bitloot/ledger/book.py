"""Whose effects a ledger holds: where their outcomes go, and how a failure is told there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bitloot.contracts.base import Record
from bitloot.contracts.effects import EffectRecord, PurchaseEffect
from bitloot.contracts.events import EffectFailed, Failure
from bitloot.contracts.topics import ORDER_EVENTS, Topic
from bitloot.errors import Cause
from bitloot.ids import EffectId, OrderId, outcome_id


class Wish(Protocol):
    """An effect, as far as the ledger looks at it."""

    @property
    def effect_id(self) -> EffectId:
        """Names this try, and no other."""

    @property
    def attempt(self) -> int:
        """Which try it is, from 1."""

    @property
    def type(self) -> str:
        """What kind of effect it is."""


@dataclass(frozen=True, slots=True)
class Failed:
    """How an effect failed. `retry_after` is in seconds."""

    failure: Failure
    cause: Cause
    detail: str
    at: datetime
    retry_after: float | None = None


class Book(Protocol):
    """The effects of orders, or of something else."""

    @property
    def topic(self) -> Topic:
        """Where outcomes are published; its records are what the ledger keeps."""

    def key(self, effect: Wish) -> str:
        """Return the key of the outcome's record."""

    def order_id(self, effect: Wish) -> OrderId | None:
        """Return the order that an effect belongs to, or None."""

    def failed(self, effect: Wish, failed: Failed) -> Record:
        """Return the outcome that tells of a failure."""


class Orders:
    """The effects of orders."""

    topic = ORDER_EVENTS

    def key(self, effect: Wish) -> str:
        """See `Book.key`."""
        return _of_order(effect).order_id

    def order_id(self, effect: Wish) -> OrderId:
        """See `Book.order_id`."""
        return _of_order(effect).order_id

    def failed(self, effect: Wish, failed: Failed) -> EffectFailed:
        """See `Book.failed`."""
        return EffectFailed(
            event_id=outcome_id(effect.effect_id, "effect.failed"),
            occurred_at=failed.at,
            order_id=_of_order(effect).order_id,
            effect_id=effect.effect_id,
            purchase_id=effect.purchase_id if isinstance(effect, PurchaseEffect) else None,
            failure=failed.failure,
            cause=failed.cause,
            detail=failed.detail,
            retry_after=failed.retry_after,
        )


def _of_order(effect: Wish) -> EffectRecord:
    if not isinstance(effect, EffectRecord):
        raise TypeError(f"{effect.effect_id} is no effect of an order")
    return effect
