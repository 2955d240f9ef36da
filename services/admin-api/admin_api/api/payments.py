"""Payments: the list."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from admin_api.access.rights import Asker
from admin_api.api.listing import Listing
from admin_api.api.reading import Filter
from admin_api.api.routing import AnyRoute
from admin_api.api.schemas import Answer, OrderIdText, Page, Paging, Question
from bitloot.contracts.events import PaymentStatus
from bitloot.contracts.state import PaymentVerdict


class PaymentFilter(Question):
    """Which payments."""

    order_id: OrderIdText | None = None
    status: PaymentStatus | None = None


class PaymentQuestion(Paging, PaymentFilter):
    """Which page of which payments."""


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


def _where(question: PaymentFilter, _asker: Asker) -> Filter:
    where = Filter()
    where.add("order_id = {}::uuid", question.order_id)
    where.add("status = {}", question.status)
    return where


LISTING = Listing(
    path="/admin/payments",
    name="listPayments",
    summary="List payments, newest first",
    tag="Payments",
    filter=PaymentFilter,
    paged=PaymentQuestion,
    item=Payment,
    page=Payments,
    query="payments",
    where=_where,
    sort=("timestamptz", "text"),
)

ROUTES: tuple[AnyRoute, ...] = LISTING.routes
