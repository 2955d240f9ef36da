"""The first invoice or payment of an order, made under the claim of the effect that the payments worker would do.

So a repeat of the request, here or in another process, finds what the first one brought home; and where nobody knows
what became of it, or Postgres is away, the order is placed without, and the worker makes another one.
"""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

from bitloot import log
from bitloot.contracts.base import Record
from bitloot.contracts.effects import CreatePayment
from bitloot.contracts.events import EffectFailed, Failure, PaymentCreated, PaymentInstructions
from bitloot.contracts.topics import ORDER_EVENTS
from bitloot.crash_points import CrashPoint, reach
from bitloot.errors import Cause, Refused, Transient
from bitloot.ids import outcome_id
from bitloot.ledger import Clock, EffectLedger, settle
from bitloot.ledger.run import now as utc_now
from ingress.ports import PaymentProvider, Publisher

NOT_PAYABLE = frozenset({Cause.AMOUNT_TOO_SMALL, Cause.COIN_UNAVAILABLE})
"""Refusals that are about the order itself."""

_log = log.get(__name__)


async def created(wish: CreatePayment, provider: PaymentProvider, clock: Clock) -> PaymentCreated:
    """Make what the order is paid with, and return that as its event."""
    instructions = await provider.create(wish)
    return PaymentCreated(
        event_id=outcome_id(wish.effect_id, "created"),
        occurred_at=clock(),
        order_id=wish.order_id,
        effect_id=wish.effect_id,
        payment_instructions=instructions,
    )


class LedgerBills:
    """Asks `provider` under a claim, for `patience` seconds at most and no longer than `within` for the claim."""

    def __init__(
        self,
        provider: PaymentProvider,
        ledger: EffectLedger,
        publisher: Publisher,
        *,
        within: timedelta,
        patience: float,
        clock: Clock = utc_now,
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._publisher = publisher
        self._within = within
        self._patience = patience
        self._clock = clock

    async def first(self, wish: CreatePayment) -> PaymentInstructions | None:
        """See `ports.FirstBills`."""

        def act() -> Awaitable[Record]:
            return created(wish, self._provider, self._clock)

        async def publish(late: Record) -> None:
            await self._publisher.post(ORDER_EVENTS, wish.order_id, late)

        try:
            async with asyncio.timeout(self._patience):
                outcome = await settle(self._ledger, publish, wish, act, within=self._within, clock=self._clock)
        except Transient as error:
            _log.error("order.without_payment", order_id=wish.order_id, cause=error.cause, detail=error.detail)
            return None
        except TimeoutError:
            _log.error("order.without_payment", order_id=wish.order_id, cause=Cause.TIMEOUT)
            return None
        reach(CrashPoint.INGRESS_BILLED)
        match outcome:
            case PaymentCreated():
                return outcome.payment_instructions
            case EffectFailed(failure=Failure.REFUSED) if outcome.cause in NOT_PAYABLE:
                raise Refused(Cause(outcome.cause), outcome.detail)
            case EffectFailed():
                _log.error("order.without_payment", order_id=wish.order_id, cause=outcome.cause, detail=outcome.detail)
                return None
            case _:
                raise TypeError(f"{outcome.event_id} is no outcome of creating a payment")
