"""Payments: the list."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from admin_api.api.ports import Ports
from admin_api.api.reading import Filter, page
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, OrderIdText, Page, Paging
from bitloot.contracts.events import PaymentStatus
from bitloot.contracts.state import PaymentVerdict


class PaymentQuestion(Paging):
    """Which payments."""

    order_id: OrderIdText | None = None
    status: PaymentStatus | None = None


class Payment(Answer):
    """A payment at NOWPayments. Price is what the order costs, pay what was asked in coins."""

    id: str
    order_id: str
    parent_payment_id: str | None
    invoice_id: str | None
    status: PaymentStatus
    provider_status: Annotated[str, Field(description="NOWPayments' own word")]
    verdict: Annotated[PaymentVerdict, Field(description="What it means for the order")]
    price_amount: Decimal | None
    price_currency: str | None
    pay_amount: Decimal | None
    pay_currency: str | None
    actually_paid: Decimal | None
    outcome_amount: Decimal | None
    outcome_currency: str | None
    first_seen_at: datetime
    updated_at: datetime


class Payments(Page[Payment]):
    """A page of payments, newest first."""


async def list_payments(ports: Ports, question: PaymentQuestion) -> Payments:
    """Answer the list."""
    where = Filter()
    where.add("order_id = {}::uuid", question.order_id)
    where.add("status = {}", question.status)
    rows, total = await page(ports.pool, "payments", where, "updated_at desc, id", question)
    items = [Payment.model_validate(dict(each)) for each in rows]
    return Payments(items=items, total=total, limit=question.limit, offset=question.offset)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/admin/payments",
        name="listPayments",
        summary="List payments, newest first",
        tag="Payments",
        question=PaymentQuestion,
        answer=Payments,
        handle=list_payments,
    ),
)
