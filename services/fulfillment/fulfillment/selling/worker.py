"""Carries out the wishes on `stock.calls.v1`: hands over under a claim in the effect ledger, does the rest as told.

Only this process opens a code of the stock, for as long as one request lasts.
"""

import time
from collections.abc import Awaitable
from datetime import timedelta
from functools import partial

from bitloot import log
from bitloot.consumer import Consumed
from bitloot.contracts.sales import (
    CodeHandedOver,
    CodeReserved,
    CodeSettled,
    HandOverCode,
    LookUpSale,
    ReserveCode,
    SaleLookedUp,
    SaleOutcome,
    SettleCode,
    StockCall,
    StockMissing,
)
from bitloot.contracts.sealed import SealedCode
from bitloot.errors import BitLootError, Cause, Malformed, Transient
from bitloot.ids import outcome_id
from bitloot.kafka import Producer
from bitloot.ledger import EffectLedger, perform, perform_read
from bitloot.sealing import Opener
from fulfillment.kinguin.clock import Clock, now
from fulfillment.selling.ports import Handover, SaleDesk
from fulfillment.selling.reservation import external_code_id
from fulfillment.selling.stock import Stock

_log = log.get(__name__)


class SellerWorker:
    """Handles calls one by one. The consumer keeps those of one sale in order. `ledger` has the book of sales."""

    def __init__(
        self,
        desk: SaleDesk,
        stock: Stock,
        opener: Opener,
        ledger: EffectLedger,
        producer: Producer,
        *,
        claim_time: timedelta,
        clock: Clock = now,
    ) -> None:
        self._desk = desk
        self._stock = stock
        self._opener = opener
        self._ledger = ledger
        self._producer = producer
        self._claim_time = claim_time
        self._clock = clock

    async def handle(self, consumed: Consumed) -> None:
        """Carry out one call and publish its outcome. Raises `Transient` when our own parts are away."""
        call: StockCall = consumed.record
        if consumed.key != call.reservation_id:
            raise Malformed(Cause.BAD_RECORD, "the key is not the reservation id")
        act = partial(self._told, call)
        if isinstance(call, HandOverCode):
            await perform(self._ledger, self._producer, call, act, within=self._claim_time, clock=self._clock)
        else:
            book = self._ledger.book
            await perform_read(self._producer, call, act, within=self._claim_time, clock=self._clock, book=book)

    async def _told(self, call: StockCall) -> SaleOutcome:
        """Carry it out, and write the one line that tells all about it."""
        started = time.perf_counter()
        ids = {"call": call.type, "effect_id": call.effect_id, "reservation_id": call.reservation_id}
        with log.bound(**ids, attempt=call.attempt, status=None):  # the gateway sets the status
            try:
                outcome = await self._carry_out(call)
            except BitLootError as error:
                failure = type(error).__name__.lower()
                told = {"outcome": failure, "cause": error.cause, "detail": error.detail}
                _log.warning("stock.called", **told, duration_ms=_since(started))
                raise
            code_id = getattr(outcome, "code_id", None)
            _log.info("stock.called", outcome=outcome.type, code_id=code_id, duration_ms=_since(started))
            return outcome

    def _carry_out(self, call: StockCall) -> Awaitable["_Outcome"]:
        match call:
            case ReserveCode():
                return self._reserve(call)
            case HandOverCode():
                return self._hand_over(call)
            case SettleCode():
                return self._settle(call)
            case LookUpSale():
                return self._look_up(call)

    async def _reserve(self, call: ReserveCode) -> CodeReserved | StockMissing:
        code_id = await self._stock.reserve(call.reservation_id, call.product_id, call.offer_id)
        if code_id is None:
            return StockMissing(
                event_id=outcome_id(call.effect_id, "stock.missing"),
                occurred_at=self._clock(),
                reservation_id=call.reservation_id,
                effect_id=call.effect_id,
            )
        return CodeReserved(
            event_id=outcome_id(call.effect_id, "code.reserved"),
            occurred_at=self._clock(),
            reservation_id=call.reservation_id,
            effect_id=call.effect_id,
            code_id=code_id,
        )

    async def _hand_over(self, call: HandOverCode) -> CodeHandedOver:
        sealed = await self._stock.send(call.reservation_id, call.code_id, call.effect_id)
        handover = Handover(
            offer_id=call.offer_id,
            reservation_id=call.reservation_id,
            request_id=call.request_id,
            external_id=external_code_id(call.code_id),
            code=await self._opened(call, sealed),
            media_type=sealed.media_type,
        )
        try:
            handed = await self._desk.hand_over(handover)
        except Transient:
            # Known to have had no effect: the code is as good as before, unless an earlier try is in doubt.
            await self._stock.keep(call.code_id, call.effect_id)
            raise
        return CodeHandedOver(
            event_id=outcome_id(call.effect_id, "code.handed_over"),
            occurred_at=self._clock(),
            reservation_id=call.reservation_id,
            effect_id=call.effect_id,
            code_id=call.code_id,
            repeated=handed.repeated,
            stock_id=handed.stock_id,
        )

    async def _opened(self, call: HandOverCode, sealed: SealedCode) -> bytes:
        try:
            return self._opener.open(sealed)
        except Malformed as error:
            # A key that is not held here yet, most likely: nothing has left, and there is time to mend it.
            await self._stock.keep(call.code_id, call.effect_id)
            raise Transient(error.cause, error.detail) from None

    async def _settle(self, call: SettleCode) -> CodeSettled:
        fate = await self._stock.settle(call.reservation_id, call.fate)
        return CodeSettled(
            event_id=outcome_id(call.effect_id, "code.settled"),
            occurred_at=self._clock(),
            reservation_id=call.reservation_id,
            effect_id=call.effect_id,
            fate=fate,
        )

    async def _look_up(self, call: LookUpSale) -> SaleLookedUp:
        return SaleLookedUp(
            event_id=outcome_id(call.effect_id, "sale.looked_up"),
            occurred_at=self._clock(),
            reservation_id=call.reservation_id,
            effect_id=call.effect_id,
            news=await self._desk.news(call.reservation_id),
        )


_Outcome = CodeReserved | StockMissing | CodeHandedOver | CodeSettled | SaleLookedUp


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
