"""Orders: the list, and one order's whole story."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from admin_api.api.masking import Address, Prose
from admin_api.api.payments import Payment
from admin_api.api.ports import Ports
from admin_api.api.reading import SQL, Filter, page
from admin_api.api.reservations import Reservation
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Moment, OrderIdText, Page, Paging, Question, Words
from bitloot.contracts.state import ItemStatus, OrderStatus
from bitloot.ledger import translated
from bitloot.problem import Problem

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UUID_LENGTH = 36

# Each way to find an order has its own index; `or` between them would use none.
_FOUND_BY = """o.id in (
    select id from orders where lower(email) like '%' || {0} || '%'
    union all select id from orders where invoice_id = {1}
    union all select order_id from payments where id = {1}
    union all select order_id from reservations where id = {1}
    union all select order_id from order_items where product_id = {1}
)"""


class OrderQuestion(Paging):
    """Which orders."""

    status: OrderStatus | None = None
    email: Annotated[Words | None, Field(description="The buyer's whole address, in any case")] = None
    payment_id: Words | None = None
    reservation_id: Words | None = None
    product_id: Words | None = None
    placed_from: Annotated[Moment | None, Field(description="Placed at or after")] = None
    placed_to: Annotated[Moment | None, Field(description="Placed before")] = None
    q: Annotated[
        Words | None,
        Field(
            description="An id of the order, of one of its items, payments, reservations, products or of its invoice, "
            "or a part of the buyer's address"
        ),
    ] = None


class OneOrder(Question):
    """Which order."""

    id: OrderIdText


class Review(Answer):
    """Why an order waits for a human."""

    cause: str
    detail: str
    item_id: str | None = None
    since: datetime


class Incident(Answer):
    """Something a human must hear of though the order went on."""

    cause: str
    detail: str
    at: datetime


class Order(Answer):
    """An order as a list shows it."""

    id: str
    status: OrderStatus
    email: Address | None
    currency: str | None
    total: Decimal | None
    kinguin_reservation_id: Annotated[str | None, Field(description="Of the first item")]
    review: Review | None
    placed_at: datetime | None
    paid_at: datetime | None
    mailed_at: datetime | None
    closed_at: datetime | None
    updated_at: datetime
    time_to_key_seconds: Annotated[float | None, Field(description="From the settled payment to the accepted mail")]


class Orders(Page[Order]):
    """A page of orders, newest first."""


class Item(Answer):
    """A line of an order."""

    id: str
    position: int
    product_id: str
    title: str
    quantity: int
    unit_price: Decimal
    status: ItemStatus
    reservation_id: Annotated[str | None, Field(description="The first that has keys of it")]
    expected_at: Annotated[datetime | None, Field(description="The release of a pre-order")]


class Key(Answer):
    """Where a delivered code is, never what it is."""

    order_item_id: str
    position: int
    storage_ref: Annotated[str, Field(description="An object key, not a link")]
    media_type: Annotated[str, Field(description="text/plain, or of a picture, which is an object of its own")]
    created_at: datetime
    viewed_at: datetime | None


class Mail(Answer):
    """A mail without its text."""

    id: str
    kind: str
    sender: Annotated[str | None, Field(description="Null in mails from before it was kept")]
    recipient: Address
    subject: str
    status: str
    attempts: int
    rendered_at: datetime
    link_expires_at: datetime | None
    last_attempt_at: datetime | None
    last_error: str | None
    provider_message_id: str | None
    accepted_at: datetime | None


class Happening(Answer):
    """An event of an order. Codes in its payload are replaced by their number."""

    event_id: str
    type: str
    occurred_at: datetime
    since_previous_seconds: float | None
    repeats: Annotated[int, Field(description="How often the same was told again")]
    last_recorded_at: datetime
    payload: Prose


class WholeOrder(Order):
    """An order with all its parts and its timeline, oldest first."""

    version: int
    invoice_id: str | None
    pay_url: str | None
    object_key: str | None
    owed: Annotated[Decimal, Field(description="What the buyer has paid for keys that will not come")]
    message_id: str | None
    incidents: list[Incident]
    purchased_at: datetime | None
    received_at: datetime | None
    stored_at: datetime | None
    revealed_at: datetime | None
    items: list[Item]
    payments: list[Payment]
    reservations: list[Reservation]
    keys: list[Key]
    mails: list[Mail]
    timeline: list[Happening]


async def list_orders(ports: Ports, question: OrderQuestion) -> Orders:
    """Answer the list."""
    where = _where(question)
    rows, total = await page(ports.pool, "orders", where, "o.placed_at desc nulls last, o.id", question)
    items = [Order.model_validate(dict(each)) for each in rows]
    return Orders(items=items, total=total, limit=question.limit, offset=question.offset)


def _where(question: OrderQuestion) -> Filter:
    where = Filter()
    where.add("o.status = {}", question.status)
    where.add("lower(o.email) = lower({})", question.email)
    where.add("o.id in (select order_id from payments where id = {})", question.payment_id)
    where.add("o.id in (select order_id from reservations where id = {})", question.reservation_id)
    where.add("o.id in (select order_id from order_items where product_id = {})", question.product_id)
    where.add("o.placed_at >= {}", question.placed_from)
    where.add("o.placed_at < {}", question.placed_to)
    if question.q is not None:
        _search(where, question.q.strip())
    return where


def _search(where: Filter, text: str) -> None:
    head = text[:_UUID_LENGTH].lower()
    if _UUID.fullmatch(head):  # ids of items, effects and mails start with the order's
        where.add("o.id = {}::uuid", head)
    else:
        pattern = re.sub(r"([\\%_])", r"\\\1", text.lower())
        where.add(_FOUND_BY, pattern, text)


async def show_order(ports: Ports, question: OneOrder) -> WholeOrder:
    """Answer one order."""
    with translated():
        async with (
            ports.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            order = await connection.fetchrow(SQL["order"], question.id)
            if order is None:
                raise Problem(404, "There is no such order.")

            async def part(query: str) -> list[dict[str, object]]:
                return [dict(each) for each in await connection.fetch(query, question.id)]

            whole: dict[str, object] = {
                **order,
                "items": await part(SQL["items_of_order"]),
                "payments": await part(SQL["payments"] + " where order_id = $1::uuid order by first_seen_at, id"),
                "reservations": await part(SQL["reservations"] + " where order_id = $1::uuid order by reserved_at, id"),
                "keys": await part(SQL["keys_of_order"]),
                "mails": await part(SQL["mails_of_order"]),
                "timeline": await part(SQL["timeline_of_order"]),
            }
    return WholeOrder.model_validate(whole)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/admin/orders",
        name="listOrders",
        summary="List orders, newest first",
        tag="Orders",
        question=OrderQuestion,
        answer=Orders,
        handle=list_orders,
    ),
    Route(
        method="GET",
        path="/admin/orders/{id}",
        name="showOrder",
        summary="Show one order with all its parts and its timeline",
        tag="Orders",
        question=OneOrder,
        answer=WholeOrder,
        handle=show_order,
        problems=(404,),
    ),
)
