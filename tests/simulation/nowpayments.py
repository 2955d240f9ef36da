"""NOWPayments, as far as it is asked: what its payments have come to by now, whatever was told of them."""

import asyncio
from typing import TYPE_CHECKING

from bitloot.contracts.effects import CreatePayment
from bitloot.contracts.events import PaymentFacts, PaymentInstructions
from bitloot.errors import Cause, Malformed, Refused, Transient, Unknown
from bitloot.ids import OrderId, PaymentId
from tests.simulation.market import CALL_SECONDS
from tests.simulation.outside import instructions
from tests.simulation.schedule import Notification

if TYPE_CHECKING:
    from tests.simulation.processes import Process

_COURSE = ("waiting", "confirming", "partially_paid", "expired", "failed", "finished", "refunded")


class NowPaymentsPort:
    """The way of one process to NOWPayments."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def create(self, wish: CreatePayment) -> PaymentInstructions:
        await self._call("nowpayments.create", wish.order_id, creates=True)
        return instructions(wish.order_id, "address" if wish.pay_currency else "invoice")

    async def read(self, order: OrderId, payment: PaymentId) -> PaymentFacts:
        await self._call("nowpayments.read", order)
        facts = {each.payment_id: each for each in self._payments(order)}
        if payment not in facts:
            raise Refused(Cause.NOT_FOUND, "404")
        return facts[payment]

    async def find(self, order: OrderId, invoice: str) -> tuple[PaymentFacts, ...]:
        await self._call("nowpayments.find", order)
        return tuple(each for each in self._payments(order) if each.invoice_id == invoice)

    def _payments(self, order: OrderId) -> list[PaymentFacts]:
        world = self._process.world
        plan, now = world.plan_of(order), world.loop.time()
        newest: dict[int, Notification] = {}
        for told in plan.payments:
            known = newest.get(told.payment)
            if told.at <= now and (known is None or _COURSE.index(told.status) >= _COURSE.index(known.status)):
                newest[told.payment] = told
        if plan.billed == "address" and 0 not in newest:
            newest[0] = Notification(now, 0, "waiting")
        events = (world.outside.payment(order, plan, told) for told in newest.values())
        return [PaymentFacts(**event.model_dump(include=set(PaymentFacts.model_fields))) for event in events]

    async def _call(self, site: str, order: OrderId, *, creates: bool = False) -> None:
        process, world = self._process, self._process.world
        await process.passes("calling")
        world.watch.called(order)
        fault = world.fault(site)
        await asyncio.sleep(world.latency())
        process.live()
        if fault is not None and fault.how == "not_now":
            raise Transient(Cause.RATE_LIMITED, "429", retry_after=2.0)
        if fault is not None and fault.how == "refused":
            raise Refused(Cause.REJECTED, "400")
        if fault is not None and fault.how == "garbled":
            raise Malformed(Cause.BAD_ANSWER, "no JSON")
        if fault is not None:
            await asyncio.sleep(CALL_SECONDS)
            raise Unknown(Cause.TIMEOUT, "no answer") if creates else Transient(Cause.TIMEOUT, "no answer")
        await process.passes("called")
