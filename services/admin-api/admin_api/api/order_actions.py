"""What an admin can do about one order. Each is an event on Kafka, and one `Idempotency-Key` is one click."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field, JsonValue, StringConstraints

from admin_api.access.rights import Right
from admin_api.api.actions import Click, perform, refuse
from admin_api.api.clicks import ACTION_HEADERS, Action
from admin_api.api.lag import unknown
from admin_api.api.orders import OneOrder
from admin_api.api.ports import Ports
from admin_api.api.reading import row
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Accepted, Reason
from admin_api.erasure.erase import erase
from bitloot import ids, log
from bitloot.contracts.events import (
    BuyerErased,
    EmailChanged,
    KeysReturnRequested,
    LinkRevoked,
    MailKind,
    MailRequested,
    OrderRecord,
    ReprocessRequested,
    Resolution,
    ReviewResolved,
)
from bitloot.contracts.state import CLOSED, OrderStatus
from bitloot.errors import Refused
from bitloot.ids import EventId, OrderId
from bitloot.personal import PostgresBuyers
from bitloot.problem import Problem

_log = log.get(__name__)

Handle = Callable[[Ports, Any], Awaitable[Accepted]]

MailAddress = Annotated[
    str,
    StringConstraints(
        max_length=254, pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$"
    ),
]


_ERASED = "The buyer's data of this order was erased: it takes no mail address any more."
_LEFT = (
    "The order closed so long ago that it has left the orders agent and takes no actions any more. "
    "Its buyer gets new links at the order page's /o/lost."
)


class OrderAction(OneOrder):
    """Which order, and which click."""

    action: Action


class ExplainedAction(OrderAction):
    """The same, and why."""

    reason: Reason


class SendMailQuestion(ExplainedAction):
    """Which order's mail."""

    kind: Annotated[MailKind, Field(description="keys: with the link to the keys; page: the order page alone")] = (
        MailKind.KEYS
    )


class ChangeAddressQuestion(ExplainedAction):
    """The right address. Links to the order page that were sent before open nothing any more."""

    email: MailAddress


class ResolveQuestion(ExplainedAction):
    """How a review ends."""

    resolution: Resolution


class EraseQuestion(ExplainedAction):
    """Whose data, and why. An order that is still open needs the address: without it no key can be delivered."""

    even_open: Annotated[bool, Field(description="Erase although the order is still open")] = False


async def reprocess_order(ports: Ports, question: OrderAction) -> Accepted:
    """Ask the order to go on. A closed one has nothing to go on with."""
    return await _ask(
        ports,
        question,
        "reprocessOrder",
        lambda about: ReprocessRequested(**about),
        lambda status: f"The order is {status}: nothing is left to do." if status in CLOSED else None,
    )


async def send_mail_again(ports: Ports, question: SendMailQuestion) -> Accepted:
    """Ask for one more mail."""
    if question.kind not in {MailKind.KEYS, MailKind.PAGE}:
        raise Problem(400, "Only the mails keys and page can be asked for.")
    return await _ask(
        ports,
        question,
        "sendMailAgain",
        lambda about: MailRequested(**about, kind=question.kind, reason=question.reason),
        _placed,
        mail=question.kind,
    )


async def change_address(ports: Ports, question: ChangeAddressQuestion) -> Accepted:
    """Let the order's mails go to another address."""
    order_id = OrderId(question.id)
    if await row(ports.pool, "order_status", order_id) is None:
        raise unknown(ports, "There is no such order.")
    try:
        sealed = await PostgresBuyers(ports.pool).seal(order_id, question.email)
    except Refused as error:
        click = Click(question.action, "changeAddress", order_id, order_id)
        raise await refuse(ports, click, Problem(409, _ERASED)) from error
    return await _ask(
        ports,
        question,
        "changeAddress",
        lambda about: EmailChanged(**about, email=sealed, reason=question.reason),
        _placed,
        email=sealed,
    )


async def revoke_link(ports: Ports, question: ExplainedAction) -> Accepted:
    """Let no link to the order page that was given out before open anything."""
    return await _ask(
        ports, question, "revokeLink", lambda about: LinkRevoked(**about, reason=question.reason), _placed
    )


async def resolve_review(ports: Ports, question: ResolveQuestion) -> Accepted:
    """End an order's review."""
    return await _ask(
        ports,
        question,
        "resolveReview",
        lambda about: ReviewResolved(**about, resolution=question.resolution, reason=question.reason),
        _waits,
        resolution=question.resolution,
    )


async def return_keys(ports: Ports, question: ExplainedAction) -> Accepted:
    """Ask Kinguin to take back what was bought and nobody has downloaded."""
    return await _ask(
        ports, question, "returnKeys", lambda about: KeysReturnRequested(**about, reason=question.reason), _placed
    )


async def erase_buyer(ports: Ports, question: EraseQuestion) -> Accepted:
    """Destroy the key of the buyer's data, and what is plain of it. Afterwards it is nowhere, and nothing is mailed."""
    found = await row(ports.pool, "order_status", question.id)
    if found is None:
        raise unknown(ports, "There is no such order.")
    order_id, status = OrderId(question.id), OrderStatus(found["status"])
    # Without an order: it is done here and now, and not by the order, which may have left its agent long ago.
    click = Click(question.action, "eraseBuyer", order_id, request={"even_open": question.even_open})
    if status not in CLOSED and not question.even_open:
        detail = f"The order is {status}: without its buyer's address nothing more can be mailed, not even paid keys."
        raise await refuse(ports, click, Problem(409, detail, orderStatus=status))
    event = BuyerErased(
        event_id=ids.content_id("eraseBuyer", order_id, question.action),
        occurred_at=datetime.now(UTC),
        order_id=order_id,
        action_id=question.action,
        actor=ports.asker.name,
        reason=question.reason,
    )

    async def send() -> None:
        await ports.publisher.send(ports.topics.events, order_id, event)

    new = await perform(ports, click, send)
    await erase(ports.pool, [order_id])  # also for a repeat: the first may have ended before; else the sink does it
    _log.info("order.buyer_erased", order_id=order_id, order_status=status, action_id=question.action, new=new)
    return Accepted(action_id=question.action)


def _placed(status: OrderStatus) -> str | None:
    return "The order is not placed." if status is OrderStatus.UNPLACED else None


def _waits(status: OrderStatus) -> str | None:
    return None if status is OrderStatus.NEEDS_REVIEW else f"The order is {status}: it does not wait for a human."


async def _ask(
    ports: Ports,
    question: OrderAction,
    kind: str,
    event: Callable[[dict[str, object]], OrderRecord],
    why_not: Callable[[OrderStatus], str | None],
    **request: JsonValue,
) -> Accepted:
    """Send an event to an order that is known and does not say no at once; it answers in its own time."""
    found = await row(ports.pool, "order_status", question.id)
    if found is None:
        raise unknown(ports, "There is no such order.")
    order_id, status = OrderId(question.id), OrderStatus(found["status"])
    click = Click(question.action, kind, order_id, order_id, request)
    if detail := _LEFT if found["has_left"] else why_not(status):
        raise await refuse(ports, click, Problem(409, detail, orderStatus=status))
    about: dict[str, object] = {
        "event_id": EventId(ids.content_id(kind, order_id, question.action)),
        "occurred_at": datetime.now(UTC),
        "order_id": order_id,
        "action_id": question.action,
        "actor": ports.asker.name,
    }

    async def send() -> None:
        await ports.publisher.send(ports.topics.events, order_id, event(about))

    new = await perform(ports, click, send)
    _log.info("order.asked", kind=kind, order_id=order_id, order_status=status, action_id=question.action, new=new)
    return Accepted(action_id=question.action)


def _route(
    path: str, name: str, summary: str, question: type[OrderAction], handle: Handle, right: Right, *, body: bool = True
) -> AnyRoute:
    return Route(
        method="POST",
        path=f"/admin/orders/{{id}}/{path}",
        name=name,
        summary=summary,
        tag="Orders",
        question=question,
        answer=Accepted,
        handle=handle,
        right=right,
        status=202,
        problems=(404, 409, 415) if body else (404, 409),
        headers=ACTION_HEADERS,
        body=body,
    )


ROUTES: tuple[AnyRoute, ...] = (
    _route(
        "reprocess",
        "reprocessOrder",
        "Ask an order to go on: now what waits for its time, and where it waits for a human",
        OrderAction,
        reprocess_order,
        Right.OPERATE,
        body=False,
    ),
    _route("mails", "sendMailAgain", "Send the buyer a mail again", SendMailQuestion, send_mail_again, Right.SUPPORT),
    _route(
        "address", "changeAddress", "Correct the buyer's address", ChangeAddressQuestion, change_address, Right.SUPPORT
    ),
    _route(
        "revoke-link",
        "revokeLink",
        "Revoke all links to the order page",
        ExplainedAction,
        revoke_link,
        Right.SUPPORT,
    ),
    _route(
        "resolve",
        "resolveReview",
        "Decide about an order that waits for a human",
        ResolveQuestion,
        resolve_review,
        Right.OPERATE,
    ),
    _route(
        "return-keys",
        "returnKeys",
        "Ask Kinguin to take back keys that nobody has downloaded",
        ExplainedAction,
        return_keys,
        Right.OPERATE,
    ),
    _route(
        "erase",
        "eraseBuyer",
        "Erase the buyer's personal data, for good and everywhere",
        EraseQuestion,
        erase_buyer,
        Right.ADMINISTER,
    ),
)
