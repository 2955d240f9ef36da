"""Keys that we sell on Kinguin: `kinguin.sales.v1` and `stock.calls.v1`, both keyed by reservation id.

A sale is one key that somebody buys from us, from Kinguin's reservation on. On the first topic is what happened to it:
Kinguin's notifications and the outcomes of our own work. On the second is what the sales agent asks the seller
worker to do. No code is on either, sealed or not: a code is named by its number in the stock.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from bitloot.contracts.base import Instant, Model, Record, Text
from bitloot.contracts.events import Failure
from bitloot.ids import CodeId, EffectId, OfferId, ProductId, ReservationId


class SaleStatus(StrEnum):
    """Kinguin's words for where a reservation of one of our keys stands."""

    BUYING = "BUYING"  # reserved, not paid
    PROCESSING_PREORDER = "PROCESSING_PREORDER"
    BOUGHT = "BOUGHT"  # paid
    OUT_OF_STOCK = "OUT_OF_STOCK"  # paid, and Kinguin has no key: hand one over now
    CANCELED = "CANCELED"
    DELIVERED = "DELIVERED"
    RETURNED = "RETURNED"  # unseen, and back in Kinguin's own stock
    REFUNDED = "REFUNDED"  # after a complaint
    REVERSED = "REVERSED"  # the payment was taken back


class CodeFate(StrEnum):
    """What becomes of a code when its sale is over."""

    FREE = "free"  # it never left us: it is sold to somebody else
    DELIVERED = "delivered"
    RETURNED = "returned"
    REFUNDED = "refunded"
    REVERSED = "reversed"
    WITHHELD = "withheld"  # it left us, and nobody says that it was sold: never used again


class SaleRecord(Record):
    """A record about one sale, whose reservation id is also the record's key."""

    reservation_id: ReservationId


class SaleNews(Model):
    """What Kinguin says about a reservation. `at` is Kinguin's time; `external_id` our name of what was delivered."""

    status: SaleStatus
    at: Instant | None = None
    product_id: ProductId | None = None
    offer_id: OfferId | None = None
    external_id: str | None = None


class SaleNotified(SaleRecord):
    """Kinguin sent a notification about a sale."""

    type: Literal["sale.notified"] = "sale.notified"
    news: SaleNews


class SaleTimerFired(SaleRecord):
    """A time that the sale had set itself has come."""

    type: Literal["sale.timer_fired"] = "sale.timer_fired"


class SaleOutcome(SaleRecord):
    """What became of an effect. It takes `effect_id` out of the sale's outbox."""

    effect_id: EffectId


class CodeReserved(SaleOutcome):
    """The sale has its code: this one and no other, for ever."""

    type: Literal["code.reserved"] = "code.reserved"
    code_id: CodeId


class StockMissing(SaleOutcome):
    """There is no free code of the product."""

    type: Literal["stock.missing"] = "stock.missing"


class CodeHandedOver(SaleOutcome):
    """Kinguin has the code. `repeated`: it had it before this try, or is still working on one before it."""

    type: Literal["code.handed_over"] = "code.handed_over"
    code_id: CodeId
    repeated: bool = False
    stock_id: str = ""


class CodeSettled(SaleOutcome):
    """The stock knows how the sale ended. `fate` is what stands, which may be stricter than what was asked for."""

    type: Literal["code.settled"] = "code.settled"
    fate: CodeFate


class SaleLookedUp(SaleOutcome):
    """Kinguin was asked what it has told about the sale; in the order in which it was told."""

    type: Literal["sale.looked_up"] = "sale.looked_up"
    news: tuple[SaleNews, ...]


class SaleEffectFailed(SaleOutcome):
    """An effect failed. `cause` is a stable word (`bitloot.errors.Cause`), `retry_after` is in seconds."""

    type: Literal["sale.effect_failed"] = "sale.effect_failed"
    failure: Failure
    cause: str
    detail: Text = ""
    retry_after: float | None = None


SaleEvent = Annotated[
    SaleNotified
    | SaleTimerFired
    | CodeReserved
    | StockMissing
    | CodeHandedOver
    | CodeSettled
    | SaleLookedUp
    | SaleEffectFailed,
    Field(discriminator="type"),
]


class StockEffect(SaleRecord):
    """One try of an effect for a sale; `event_id` equals the effect id. `attempt` counts all effects of the sale."""

    effect_id: EffectId
    attempt: Annotated[int, Field(ge=1)]


class ReserveCode(StockEffect):
    """Assign a free code of the product to the sale, unless it has one."""

    type: Literal["reserve_code"] = "reserve_code"
    product_id: ProductId
    offer_id: OfferId | None = None


class HandOverCode(StockEffect):
    """Send the sale's code to Kinguin. `request_id` (36 characters) is the same in every try."""

    type: Literal["hand_over_code"] = "hand_over_code"
    offer_id: OfferId
    code_id: CodeId
    request_id: Annotated[str, Field(max_length=36)]


class SettleCode(StockEffect):
    """Record how the sale ended; after this it never gets a code again."""

    type: Literal["settle_code"] = "settle_code"
    fate: CodeFate


class LookUpSale(StockEffect):
    """Ask Kinguin what it has told about the sale: a notification may be lost, or an outcome unknown."""

    type: Literal["look_up_sale"] = "look_up_sale"


StockCall = Annotated[ReserveCode | HandOverCode | SettleCode | LookUpSale, Field(discriminator="type")]
