"""Carries out the wishes on `payments.calls.v1`: payments are made under a claim in the effect ledger, not read."""

import time
from datetime import timedelta
from functools import partial
from typing import assert_never

from bitloot import log
from bitloot.consumer import Consumed
from bitloot.contracts.effects import CheckPayment, CreatePayment, FindPayments, PaymentCall
from bitloot.contracts.events import PaymentCreated, PaymentsFound, PaymentUpdated
from bitloot.errors import BitLootError
from bitloot.ids import outcome_id
from bitloot.kafka import Producer
from bitloot.ledger import Clock, EffectLedger, perform, perform_read
from bitloot.ledger.run import now
from ingress.first_bills import created
from ingress.ports import PaymentProvider

PaymentOutcome = PaymentCreated | PaymentUpdated | PaymentsFound

_log = log.get(__name__)


class PaymentsWorker:
    """Handles calls one by one. The consumer keeps those of one order in order."""

    def __init__(
        self,
        provider: PaymentProvider,
        ledger: EffectLedger,
        producer: Producer,
        *,
        claim_time: timedelta,
        clock: Clock = now,
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._producer = producer
        self._claim_time = claim_time
        self._clock = clock

    async def handle(self, consumed: Consumed) -> None:
        """Carry out one call and publish its outcome. Raises `Transient` when our own parts are away."""
        call: PaymentCall = consumed.record
        act = partial(self._call, call)
        match call:
            case CreatePayment():
                await perform(self._ledger, self._producer, call, act, within=self._claim_time, clock=self._clock)
            case CheckPayment() | FindPayments():
                await perform_read(self._producer, call, act, within=self._claim_time, clock=self._clock)
            case _:  # pragma: no cover - mypy proves that this cannot be reached
                assert_never(call)

    async def _call(self, call: PaymentCall) -> PaymentOutcome:
        """Ask NOWPayments, and write the one line that tells all about it."""
        started = time.perf_counter()
        with log.bound(call=call.type, effect_id=call.effect_id, order_id=call.order_id, attempt=call.attempt):
            try:
                outcome = await self._ask(call)
            except BitLootError as error:
                _log.warning(
                    "payments.called",
                    outcome=type(error).__name__.lower(),
                    cause=error.cause,
                    detail=error.detail,
                    duration_ms=_milliseconds_since(started),
                )
                raise
            _log.info("payments.called", **_about(call, outcome), duration_ms=_milliseconds_since(started))
            return outcome

    async def _ask(self, call: PaymentCall) -> PaymentOutcome:
        match call:
            case CreatePayment():
                return await created(call, self._provider, self._clock)
            case CheckPayment():
                facts = await self._provider.read(call.order_id, call.payment_id)
                return PaymentUpdated(
                    event_id=outcome_id(call.effect_id, "read"),
                    occurred_at=self._clock(),
                    order_id=call.order_id,
                    effect_id=call.effect_id,
                    source="poll",
                    **facts.model_dump(),
                )
            case FindPayments():
                found = await self._provider.find(call.order_id, call.invoice_id)
                return PaymentsFound(
                    event_id=outcome_id(call.effect_id, "found"),
                    occurred_at=self._clock(),
                    order_id=call.order_id,
                    effect_id=call.effect_id,
                    payments=found,
                )
            case _:  # pragma: no cover - mypy proves that this cannot be reached
                assert_never(call)


def _about(call: PaymentCall, outcome: PaymentOutcome) -> dict[str, object]:
    match outcome:
        case PaymentUpdated():
            known = call.known_status if isinstance(call, CheckPayment) else None
            return {"outcome": outcome.type, "payment_id": outcome.payment_id, "status": outcome.status, "known": known}
        case PaymentsFound():
            return {"outcome": outcome.type, "payments": len(outcome.payments)}
        case PaymentCreated():
            return {"outcome": outcome.type, "pay_currency": outcome.payment_instructions.pay_currency}


def _milliseconds_since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
