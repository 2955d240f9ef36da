"""Orders: the list, and one order's whole story."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from admin_api.access.gate import check_right
from admin_api.access.rights import Asker, Right
from admin_api.api.effects import Effect
from admin_api.api.lag import unknown
from admin_api.api.listing import Listing
from admin_api.api.masking import Address, Prose
from admin_api.api.payments import Payment
from admin_api.api.ports import Ports
from admin_api.api.reading import SQL, Filter
from admin_api.api.reservations import Reservation
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Moment, OrderIdText, Page, Paging, Question, Words
from bitloot.contracts.state import ItemStatus, OrderStatus
from bitloot.ledger import translated

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UUID_LENGTH = 36

# What the index of parts of addresses is made of. Shorter ones are in no index, and in nearly every address.
_TRIGRAM = re.compile(r"[^\W_]{3}")

# Each way to find an order has its own index, and for what is rare all of them are asked together. For what many orders
# have, the list is read in its order until the page is full. Postgres decides, by how common it is.
_FOUND_BY_ID = """o.product_ids @> array[{0}::text] or o.id = any(array(
    select id from orders where invoice_id = {0}
    union all select order_id from payments where id = {0}
    union all select order_id from reservations where id = {0}
))"""
# For those who see addresses: whoever sees none could try one letter after the other.
_FOUND_BY = f"lower(o.email) like '%' || {{1}} || '%' or {_FOUND_BY_ID}"


def _searchable(text: str) -> str:
    if not _TRIGRAM.search(text):
        raise ValueError("It needs three letters or digits in a row; shorter ids have filters of their own.")
    return text


class OrderFilter(Question):
    """Which orders."""

    status: OrderStatus | None = None
    email: Annotated[
        Words | None, Field(description="The buyer's whole address, in any case; for those who may see it")
    ] = None
    payment_id: Words | None = None
    reservation_id: Words | None = None
    product_id: Words | None = None
    placed_from: Annotated[Moment | None, Field(description="Placed at or after")] = None
    placed_to: Annotated[Moment | None, Field(description="Placed before")] = None
    q: Annotated[
        Annotated[Words, AfterValidator(_searchable)] | None,
        Field(
            description="An id of the order, of one of its items, payments, reservations, products or of its invoice, "
            "or, for those who may see it, a part of the buyer's address: three letters or digits in a row at least"
        ),
    ] = None


class OrderQuestion(Paging, OrderFilter):
    """Which page of which orders."""


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


class Notification(Answer):
    """A notification about an order, without its content."""

    id: int
    provider: str
    event_type: str
    repeats: int
    first_received_at: datetime
    last_received_at: datetime


class OrderClick(Answer):
    """A click about an order. `GET /admin/actions/{id}` tells what became of it."""

    action_id: str
    kind: str
    actor: str
    asked_at: datetime
    refused: str | None


class Chapter(Answer):
    """One thing in an order's story: whatever happened, was called, came in, was sent or was asked for."""

    at: datetime
    kind: Literal["event", "call", "notification", "mail", "action"]
    id: str
    title: str
    duration_seconds: Annotated[float | None, Field(description="Of a call")]
    detail: Prose


class WholeOrder(Order):
    """An order with all its parts, its timeline and its whole story, oldest first."""

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
    calls: list[Effect]
    notifications: list[Notification]
    actions: list[OrderClick]
    link_generation: Annotated[int, Field(description="Links to the order page of an earlier generation are revoked")]
    mail_states: Annotated[
        Prose, Field(description="The newest mails as the order knows them: kind, recipient, how far each came")
    ]
    story: list[Chapter]
    as_of: Annotated[datetime | None, Field(description="All that Kafka had by then is in this answer")]


def _where(question: OrderFilter, asker: Asker) -> Filter:
    if question.email is not None:
        check_right(asker, Right.READ_ADDRESSES)
    where = Filter()
    where.add("o.status = {}", question.status)
    where.add("lower(o.email) = lower({})", question.email)
    where.add("o.id in (select order_id from payments where id = {})", question.payment_id)
    where.add("o.id in (select order_id from reservations where id = {})", question.reservation_id)
    where.add("o.product_ids @> array[{}::text]", question.product_id)
    # In the words of the index that the list is sorted by.
    where.add("coalesce(o.placed_at, '-infinity'::timestamptz) >= {}", question.placed_from)
    where.add("coalesce(o.placed_at, '-infinity'::timestamptz) < {} and o.placed_at is not null", question.placed_to)
    if question.q is not None:
        _search(where, question.q.strip(), asker)
    return where


def _search(where: Filter, text: str, asker: Asker) -> None:
    head = text[:_UUID_LENGTH].lower()
    if "@" in text:
        check_right(asker, Right.READ_ADDRESSES)
    if _UUID.fullmatch(head):  # ids of items, effects and mails start with the order's
        where.add("o.id = {}::uuid", head)
    elif Right.READ_ADDRESSES not in asker.rights:
        where.add(_FOUND_BY_ID, text)
    else:
        pattern = re.sub(r"([\\%_])", r"\\\1", text.lower())
        where.add(_FOUND_BY, text, pattern)


async def show_order(ports: Ports, question: OneOrder) -> WholeOrder:
    """Answer one order."""
    with translated():
        async with (
            ports.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            order = await connection.fetchrow(SQL["order"], question.id)
            if order is None:
                raise unknown(ports, "There is no such order.")

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
                "calls": await part(
                    SQL["effects"] + " where order_id = $1::uuid order by claimed_at, effect_id limit 2000"
                ),
                "notifications": await part(SQL["notifications_of_order"]),
                "actions": await part(SQL["actions_of_order"]),
            }
    return WholeOrder.model_validate({**whole, "story": _story(whole), "as_of": ports.fresh_as_of()})


def _story(whole: Mapping[str, Any]) -> list[Chapter]:
    """Return all that happened to an order as one list."""
    told = [
        *((each["occurred_at"], "event", each["event_id"], each["type"], None, None) for each in whole["timeline"]),
        *(
            (
                each["claimed_at"],
                "call",
                each["effect_id"],
                each["kind"],
                each["duration_seconds"],
                ": ".join(part for part in (each["outcome"], each["cause"], each["detail"]) if part) or None,
            )
            for each in whole["calls"]
        ),
        *(
            (
                each["first_received_at"],
                "notification",
                str(each["id"]),
                f"{each['provider']}: {each['event_type']}",
                None,
                f"came {each['repeats'] + 1} times" if each["repeats"] else None,
            )
            for each in whole["notifications"]
        ),
        *(
            (each["rendered_at"], "mail", each["id"], each["kind"], None, f"{each['status']} to {each['recipient']}")
            for each in whole["mails"]
        ),
        *(
            (each["asked_at"], "action", each["action_id"], each["kind"], None, f"by {each['actor']}")
            for each in whole["actions"]
        ),
    ]
    names = ("at", "kind", "id", "title", "duration_seconds", "detail")
    return [Chapter.model_validate(dict(zip(names, each, strict=True))) for each in sorted(told, key=lambda t: t[0])]


LISTING = Listing(
    path="/admin/orders",
    name="listOrders",
    summary="List orders, newest first",
    tag="Orders",
    filter=OrderFilter,
    paged=OrderQuestion,
    item=Order,
    page=Orders,
    query="orders",
    where=_where,
    sort=("timestamptz", "uuid"),
    masked=Right.READ_ADDRESSES,
    unmasked_files=True,
)

ROUTES: tuple[AnyRoute, ...] = (
    *LISTING.routes,
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
