"""The life of one key that we sell on Kinguin, as a pure function: (sale, event) -> sale, effects.

    BUYING ──► BOUGHT, OUT_OF_STOCK ──► DELIVERED ──► RETURNED, REFUNDED, REVERSED
      │                  │
      └───► CANCELED ◄───┘

Kinguin's notifications come late, twice and out of order, so the effects follow from where the sale stands and never
from which notification came: a code is reserved while the sale is alive, handed over when it is paid, and settled
when it is over. One effect is under way at a time. Three rules keep a code from being sold twice:

- A sale gets one code, for ever; a sale that is over gets none.
- A code is free again only when it never left us: no try to hand it over is in doubt, and none was accepted or refused.
- Every try to hand over sends the same code, under the same request id: Kinguin takes one for a reservation.

The stock (`stock.py`) holds the same rules again, in the database, for workers that come back late.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from bitloot.contracts.events import Failure
from bitloot.contracts.sales import (
    CodeFate,
    CodeHandedOver,
    CodeReserved,
    CodeSettled,
    HandOverCode,
    LookUpSale,
    ReserveCode,
    SaleEffectFailed,
    SaleEvent,
    SaleLookedUp,
    SaleNews,
    SaleNotified,
    SaleOutcome,
    SaleStatus,
    SaleTimerFired,
    SettleCode,
    StockCall,
    StockEffect,
    StockMissing,
)
from bitloot.ids import CodeId, EventId, OfferId, ProductId, ReservationId, sale_effect_id, sale_request_id

Kind = Literal["reserve_code", "hand_over_code", "settle_code", "look_up_sale"]

HAND_OVER_WITHIN: Final = timedelta(minutes=15)
"""From the payment on; then Kinguin cancels and takes a fee. Tries end a little later: clocks differ."""
_GRACE: Final = timedelta(minutes=2)
_FIRST_PAUSE: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(seconds=30)
"""Between two tries. Thirty of them fit into the time that Kinguin gives."""
_LONGEST_ASKED: Final = timedelta(minutes=5)
_MAX_MISSES: Final = 40
"""Tries to find a code in an empty stock: about twenty minutes. A new status begins anew."""
_SENT_AGAIN_AFTER: Final = timedelta(minutes=5)
"""An effect whose outcome does not come is sent once more, under its id: it is carried out once."""
_LOOK_FIRST: Final = {
    SaleStatus.BUYING: timedelta(minutes=30),  # unpaid carts live about that long
    SaleStatus.PROCESSING_PREORDER: timedelta(hours=6),
    SaleStatus.BOUGHT: timedelta(minutes=2),
    SaleStatus.OUT_OF_STOCK: timedelta(minutes=2),
}
_LOOK_LAST: Final = timedelta(hours=6)
_MAX_LOOKS: Final = 40
"""About a week and a half without news: then only a notification can tell of it."""
_RETENTION: Final = timedelta(days=60)
"""A refund is told within weeks. What is told later is recorded by the stock, which forgets nothing."""

_RANK: Final = {
    SaleStatus.BUYING: 0,
    SaleStatus.PROCESSING_PREORDER: 1,
    SaleStatus.BOUGHT: 2,
    SaleStatus.OUT_OF_STOCK: 3,
    SaleStatus.CANCELED: 4,
    SaleStatus.DELIVERED: 5,
    SaleStatus.RETURNED: 6,
    SaleStatus.REFUNDED: 6,
    SaleStatus.REVERSED: 6,
}
_FATES: Final = {
    SaleStatus.DELIVERED: CodeFate.DELIVERED,
    SaleStatus.CANCELED: CodeFate.WITHHELD,
    SaleStatus.RETURNED: CodeFate.RETURNED,
    SaleStatus.REFUNDED: CodeFate.REFUNDED,
    SaleStatus.REVERSED: CodeFate.REVERSED,
}
"""What becomes of a code that left us."""
_PAID: Final = frozenset({SaleStatus.BOUGHT, SaleStatus.OUT_OF_STOCK})


@dataclass(frozen=True, slots=True)
class Sale:
    """All that is known of a reservation. Times of `status_at` are Kinguin's, all others ours."""

    reservation_id: ReservationId
    status: SaleStatus | None = None
    status_at: datetime | None = None
    product_id: ProductId | None = None
    offer_id: OfferId | None = None
    paid_at: datetime | None = None
    code_id: CodeId | None = None
    sent: bool = False  # the code may have left us
    accepted: bool = False  # Kinguin has it
    given_up: bool = False  # it would not take it, or the time is over: until there is news nothing is tried
    settled: CodeFate | None = None  # what the stock was told last, and has confirmed
    fate: CodeFate | None = None  # what stands there, which may be stricter
    doubt: bool = False  # an outcome is unknown: ask before the next try
    problem: str = ""  # the last failure's cause, for people
    outbox: StockCall | None = None
    outbox_at: datetime | None = None
    issued: int = 0  # effects so far; numbers their ids
    tries: int = 0  # failed ones in a row
    looks: int = 0
    wake_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether Kinguin has ended it, one way or the other."""
        return self.status in _FATES


def decide(sale: Sale, event: SaleEvent) -> tuple[Sale, tuple[StockCall, ...]]:
    """Return the sale after the event, and what to do now.

    An event without news leaves the sale as it is, and what is still owed is returned again: it may be the replay of
    an event whose effects were lost in a crash.
    """
    told = _tell(sale, event)
    if told is sale:
        return sale, pending(sale)
    after = _go_on(told, event.occurred_at)
    fresh = after.outbox is not None and (after.outbox, after.outbox_at) != (sale.outbox, sale.outbox_at)
    return after, pending(after) if fresh else ()


def pending(sale: Sale) -> tuple[StockCall, ...]:
    """Return what is still owed."""
    return () if sale.outbox is None else (sale.outbox,)


def leaves(sale: Sale, event: SaleEvent) -> bool:
    """Tell whether a sale has been over for long enough to be forgotten here."""
    stayed = sale.closed_at is not None and event.occurred_at >= sale.closed_at + _RETENTION
    return stayed and isinstance(event, SaleTimerFired) and sale.outbox is None


# --- what is told ---


def _tell(sale: Sale, event: SaleEvent) -> Sale:
    """Return the sale with what the event says, or the very same one when that is no news."""
    match event:
        case SaleNotified():
            return _hear(sale, event.news, event.occurred_at)
        case SaleTimerFired():
            return _wake(sale, event.occurred_at)
        case _ if (effect := sale.outbox) is not None and effect.effect_id == event.effect_id:
            return _take(replace(sale, outbox=None, outbox_at=None, wake_at=None), effect, event)
        case _:
            return sale  # told before


def _hear(sale: Sale, news: SaleNews, at: datetime) -> Sale:
    """Believe Kinguin, unless it is old: status by rank, then by Kinguin's time."""
    known = replace(sale, product_id=sale.product_id or news.product_id, offer_id=sale.offer_id or news.offer_id)
    rested = sale.wake_at if sale.outbox is not None else None  # something else may be wanted now
    if not _is_news(sale, news):
        return sale if known == sale else replace(known, wake_at=rested)
    paid_at = sale.paid_at or (at if news.status in _PAID else None)
    foreign = news.status is SaleStatus.DELIVERED and not _is_ours(sale, news)
    return replace(
        known,
        status=news.status,
        status_at=news.at or sale.status_at,
        paid_at=paid_at,
        given_up=False,
        doubt=sale.doubt and news.status not in _FATES,
        problem="foreign_delivery" if foreign else "",
        tries=0,
        looks=0,
        wake_at=rested,
    )


def _is_news(sale: Sale, news: SaleNews) -> bool:
    if sale.status is None:
        return True
    older = news.at is not None and sale.status_at is not None and news.at < sale.status_at
    new, old = _RANK[news.status], _RANK[sale.status]
    if new == old:
        newer = news.at is not None and sale.status_at is not None and news.at > sale.status_at
        return news.status is not sale.status and newer
    # What is over stays over, and nothing goes back, whatever its time. But a payment that is newer than a
    # cancelation stands, and the code is owed; unless Kinguin will not take it, and so has forgotten the payment.
    return new > old and not (older and news.status is SaleStatus.CANCELED and not sale.given_up)


def _is_ours(sale: Sale, news: SaleNews) -> bool:
    return news.external_id is None or sale.code_id is None or news.external_id == external_code_id(sale.code_id)


def external_code_id(code_id: CodeId) -> str:
    """Return what Kinguin is told as our name of a code."""
    return f"code-{code_id}"


def _wake(sale: Sale, at: datetime) -> Sale:
    if sale.wake_at is None or at < sale.wake_at:
        return sale
    if sale.outbox is not None:
        return replace(sale, outbox_at=at, wake_at=at + _SENT_AGAIN_AFTER)
    return replace(sale, wake_at=None, doubt=sale.doubt or _waits(sale))


def _waits(sale: Sale) -> bool:
    """Tell whether there is nothing to do but wait for Kinguin: when that is long, it is asked."""
    return not sale.over and _wanted(sale) is None


def _take(sale: Sale, effect: StockCall, outcome: SaleOutcome) -> Sale:
    """Take the outcome of what was under way."""
    at, done = outcome.occurred_at, replace(sale, tries=0, problem="")
    match outcome:
        case CodeReserved():
            return replace(done, code_id=outcome.code_id)
        case CodeHandedOver():
            return replace(done, sent=True, accepted=True, doubt=False)
        case CodeSettled():
            asked = effect.fate if isinstance(effect, SettleCode) else None
            return replace(done, settled=asked, fate=outcome.fate, closed_at=sale.closed_at or at)
        case SaleLookedUp():
            heard = replace(sale, doubt=False, looks=sale.looks + 1)
            for news in outcome.news:
                heard = _hear(heard, news, at)
            return heard
        case StockMissing():
            return _pause(replace(sale, problem="out_of_stock", given_up=sale.tries >= _MAX_MISSES), at)
        case SaleEffectFailed():
            return _fail(replace(sale, problem=outcome.cause), effect, outcome)
        case _:  # pragma: no cover - every outcome is named above
            raise TypeError(type(outcome).__name__)


def _fail(sale: Sale, effect: StockCall, failed: SaleEffectFailed) -> Sale:
    at = failed.occurred_at
    if isinstance(effect, LookUpSale):
        # Asking is a help and no condition: every try to hand over sends the same code.
        return replace(sale, doubt=False, looks=sale.looks + 1)
    if not isinstance(effect, HandOverCode):
        return _pause(sale, at, failed.retry_after)
    if failed.failure is not Failure.TRANSIENT:
        sale = replace(sale, sent=True, doubt=not sale.over)
    if sale.over:
        return sale
    if failed.failure is Failure.REFUSED:
        return replace(sale, given_up=True)
    if at >= (sale.paid_at or at) + HAND_OVER_WITHIN + _GRACE:
        return replace(sale, given_up=True, problem="late")
    return _pause(sale, at, failed.retry_after)


def _pause(sale: Sale, at: datetime, asked: float | None = None) -> Sale:
    pause = min(_FIRST_PAUSE * (1 << min(sale.tries, 10)), _LONGEST_PAUSE)
    if asked is not None and asked > 0:
        pause = max(pause, min(timedelta(seconds=asked), _LONGEST_ASKED))
    return replace(sale, tries=sale.tries + 1, wake_at=at + pause)


# --- what follows ---


def _go_on(sale: Sale, at: datetime) -> Sale:
    """Put the next effect into the outbox, or say when to look again."""
    if sale.outbox is not None or sale.wake_at is not None:
        return sale
    kind = "look_up_sale" if sale.doubt else _wanted(sale)
    if kind is None:
        return replace(sale, wake_at=_rest(sale, at))
    issued = replace(sale, issued=sale.issued + 1)
    return replace(issued, outbox=_effect(issued, kind, at), outbox_at=at, wake_at=at + _SENT_AGAIN_AFTER)


def _wanted(sale: Sale) -> Kind | None:
    if sale.over:
        return "settle_code" if sale.settled is not _asked_fate(sale) else None
    if sale.status is None or sale.given_up:
        return None
    if sale.code_id is None:
        return "reserve_code" if sale.product_id is not None else None
    owed = sale.status in _PAID and not sale.accepted and sale.offer_id is not None
    return "hand_over_code" if owed else None


def _asked_fate(sale: Sale) -> CodeFate | None:
    """Return what becomes of the code by all that is known here."""
    if sale.status is None or not sale.over:
        return None
    if not sale.sent:
        # A delivery of what was never handed over cannot be explained: better not sell that code.
        return CodeFate.WITHHELD if sale.status is SaleStatus.DELIVERED else CodeFate.FREE
    return _FATES[sale.status]


def _effect(sale: Sale, kind: Kind, at: datetime) -> StockCall:
    effect_id = sale_effect_id(sale.reservation_id, kind, sale.issued)
    head = dict(
        StockEffect(
            event_id=EventId(effect_id),
            occurred_at=at,
            reservation_id=sale.reservation_id,
            effect_id=effect_id,
            attempt=sale.issued,
        )
    )
    match kind, sale.product_id, sale.offer_id, sale.code_id, _asked_fate(sale):
        case "look_up_sale", *_:
            return LookUpSale(**head)
        case "settle_code", _, _, _, CodeFate() as fate:
            return SettleCode(**head, fate=fate)
        case "reserve_code", str(product_id), offer_id, *_:
            return ReserveCode(**head, product_id=product_id, offer_id=offer_id)
        case "hand_over_code", _, str(offer_id), int(code_id), _:
            request_id = sale_request_id(sale.reservation_id)
            return HandOverCode(**head, offer_id=offer_id, code_id=code_id, request_id=request_id)
        case _:  # pragma: no cover - `_wanted` has looked
            raise TypeError(f"the sale is not ready for {kind}")


def _rest(sale: Sale, at: datetime) -> datetime | None:
    """Return when a sale with nothing to do wants to be woken."""
    if sale.closed_at is not None:
        return sale.closed_at + _RETENTION
    if sale.status is None or sale.looks >= _MAX_LOOKS:
        return None
    return at + min(_LOOK_FIRST.get(sale.status, _LOOK_LAST) * (1 << min(sale.looks, 10)), _LOOK_LAST)
