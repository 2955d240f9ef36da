"""What admins ask for: to go on, or to end a review; and the answer that the desk shows."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from bitloot.contracts.base import Record
from bitloot.contracts.events import (
    BuyerErased,
    EmailChanged,
    KeysReturnRequested,
    MailRequested,
    OrderEvent,
    PaymentRequested,
    ReprocessRequested,
    Resolution,
    ReviewResolved,
)
from bitloot.contracts.state import ActionState, ItemStatus, OrderStatus
from fulfillment.order.asking import read_payments_again
from fulfillment.order.buying import resume_purchase
from fulfillment.order.codes import deliver_when_complete
from fulfillment.order.mails import owe_mail
from fulfillment.order.policy import PAYMENTS, REMEMBERED_ACTIONS, Kind
from fulfillment.order.review import close
from fulfillment.order.state import Order, Owed


def reprocess_requested(state: Order, event: ReprocessRequested) -> Order:
    """Go on where the order stopped: one that is not paid reads its payments again, one whose money went back stays."""
    return state if event.action_id in state.actions else _go_on(state, event.occurred_at)


def _go_on(state: Order, now: datetime) -> Order:
    if state.status is OrderStatus.NEEDS_REVIEW and state.paid_at is None:
        return read_payments_again(state, now)
    if state.closed or state.paid_at is None or state.refunded:
        return state
    order = _supersede(state, now)
    if order.status is not OrderStatus.NEEDS_REVIEW:
        return order
    if order.review is not None and order.review.cause == "mail_outcome_unknown":
        # Under its number it can never be sent again. Whoever asks takes it upon them that the buyer may get two.
        order = replace(order, mail_number=order.mail_number + 1)
    order = replace(order, review=None, status=OrderStatus.PURCHASING, working_since=now)
    for purchase in order.purchases:
        order = resume_purchase(order, purchase, now)
    order = deliver_when_complete(order, now)
    if any(purchase.status is not ItemStatus.STORED for purchase in order.purchases):
        return order
    order = replace(order, status=OrderStatus.DELIVERING)
    if order.mailed_at is not None:
        return close(order, OrderStatus.FULFILLED, now)
    return owe_mail(order, now)


def _supersede(order: Order, now: datetime) -> Order:
    """Let retries that wait for their time happen now, as the first of a new series.

    Not so look-ups: they wait for a search that lags, and a look-up that finds nothing too early buys twice.
    """
    return replace(
        order,
        outbox=tuple(
            replace(owed, due_at=now, series_since=now, tries=1, waits=0)
            if not owed.emissions and owed.due_at > now and owed.kind not in {Kind.LOOK_UP, Kind.NOTICE, *PAYMENTS}
            else owed
            for owed in order.outbox
        ),
    )


def review_resolved(state: Order, event: ReviewResolved) -> Order:
    """End a review as a human decided. While what was asked for has no known outcome, only a retry is possible."""
    if event.action_id in state.actions or state.status is not OrderStatus.NEEDS_REVIEW:
        return state
    now = event.occurred_at
    if event.resolution is Resolution.RETRY:
        return _go_on(state, now)
    if _under_way(state):
        return state
    order = replace(state, outbox=tuple(owed for owed in state.outbox if owed.kind in {Kind.NOTICE, Kind.CHECK}))
    match event.resolution:
        case Resolution.MARK_REFUNDED:
            return close(order, OrderStatus.REFUNDED, now)
        case Resolution.DELIVERED_BY_HAND:
            return close(order, OrderStatus.FULFILLED, now)
        case Resolution.CLOSE:
            return close(order, OrderStatus.REFUNDED if order.refunded else OrderStatus.CANCELED, now)
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(event.resolution)


def _under_way(state: Order) -> tuple[Owed, ...]:
    """Return what was asked for and could still give the buyer something, or spend money."""
    asked = {Kind.BUY, Kind.GIVE, Kind.LOOK_UP, Kind.RETURN, Kind.STORE, Kind.MAIL}
    return tuple(owed for owed in state.outbox if owed.emissions and owed.kind in asked)


def answered(state: Order, after: Order, event: OrderEvent, now: datetime) -> Order:
    """Note what became of an admin's click, for the desk to show. A click that came again has its answer already."""
    action_id = getattr(event, "action_id", None)
    if action_id is None or action_id in state.actions:
        return after
    remembered = (*state.actions, action_id)[-REMEMBERED_ACTIONS:]
    accepted = replace(after, actions=state.actions) != state
    answer = ActionState(
        action_id=action_id,
        type=event.type,
        actor=getattr(event, "actor", ""),
        accepted=accepted,
        detail="" if accepted else _why_not(state, event),
        at=now,
    )
    return replace(after, actions=remembered, answers=(*state.answers, answer)[-REMEMBERED_ACTIONS:])


def _why_not(state: Order, event: OrderEvent) -> str:  # noqa: PLR0911 - one line for each reason
    """Return why nothing follows from an action."""
    if state.status is OrderStatus.UNPLACED:
        return "The order is not placed."
    if state.erased_at is not None and isinstance(event, MailRequested | EmailChanged | BuyerErased):
        return "The buyer's data was erased."
    if type(event) in _WHY_NOT:
        return _WHY_NOT[type(event)]
    if isinstance(event, ReviewResolved) and state.review is not None and _under_way(state):
        return f"{', '.join(sorted({owed.kind for owed in _under_way(state)}))} is under way: its outcome comes first."
    if isinstance(event, ReviewResolved) and state.status is not OrderStatus.NEEDS_REVIEW:
        return f"The order is {state.status}: it does not wait for a human."
    if state.closed or state.paid_at is None:
        return f"The order is {state.status}: nothing is left to do."
    if state.refunded:
        return "The payment was sent back."
    return f"The order is {state.status}: all that it waits for was asked for already."


_WHY_NOT: dict[type[Record], str] = {
    PaymentRequested: "The order is not to be paid now, or there is a way to pay like this already.",
    MailRequested: "A mail that says the same is on its way already.",
    EmailChanged: "The links to the order page were renewed since the change was asked for.",
    KeysReturnRequested: "Nothing can be returned: no keys wait at Kinguin that are bought, and neither downloaded nor "
    "asked back yet.",
}
"""Of an order that may take such a click there is one reason not to."""
