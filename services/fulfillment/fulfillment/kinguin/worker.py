"""Carries out the wishes on `kinguin.calls.v1`: purchases under a claim in the effect ledger, reads without."""

import time
from datetime import timedelta
from functools import partial
from typing import assert_never

from bitloot import log
from bitloot.consumer import Consumed
from bitloot.contracts.effects import BuyKey, FetchCodes, GiveReservation, KinguinCall, LookUpPurchase, ReturnKeys
from bitloot.errors import BitLootError
from bitloot.kafka import Producer
from bitloot.ledger import EffectLedger, perform, perform_read
from fulfillment.kinguin.calls import CallOutcome, carry_out
from fulfillment.kinguin.clock import Clock, now
from fulfillment.kinguin.ports import KeyMarket

_log = log.get(__name__)


class KinguinWorker:
    """Handles calls one by one. The consumer keeps those of one order in order."""

    def __init__(
        self,
        market: KeyMarket,
        ledger: EffectLedger,
        producer: Producer,
        *,
        claim_time: timedelta,
        clock: Clock = now,
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._producer = producer
        self._claim_time = claim_time
        self._clock = clock

    async def handle(self, consumed: Consumed) -> None:
        """Carry out one call and publish its outcome. Raises `Transient` when our own parts are away."""
        call: KinguinCall = consumed.record
        act = partial(self._call, call)
        match call:
            case BuyKey() | GiveReservation() | ReturnKeys():
                await perform(self._ledger, self._producer, call, act, within=self._claim_time, clock=self._clock)
            case LookUpPurchase() | FetchCodes():
                await perform_read(self._producer, call, act, within=self._claim_time, clock=self._clock)
            case _:  # pragma: no cover - mypy proves that this cannot be reached
                assert_never(call)

    async def _call(self, call: KinguinCall) -> CallOutcome:
        """Ask the market, and write the one line that tells all about it."""
        started = time.perf_counter()
        with log.bound(
            call=call.type,
            effect_id=call.effect_id,
            order_id=call.order_id,
            purchase_id=call.purchase_id,
            attempt=call.attempt,
            status=None,  # the gateway sets it
        ):
            try:
                outcome = await carry_out(call, self._market, self._clock)
            except BitLootError as error:
                _log.warning(
                    "kinguin.called",
                    outcome=type(error).__name__.lower(),
                    cause=error.cause,
                    detail=error.detail,
                    duration_ms=_milliseconds_since(started),
                )
                raise
            _log.info(
                "kinguin.called",
                outcome=outcome.type,
                reservation_id=getattr(outcome, "reservation_id", None),  # a look-up finds any number
                duration_ms=_milliseconds_since(started),
            )
            return outcome


def _milliseconds_since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
