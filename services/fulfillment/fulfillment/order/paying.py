"""What a payment means for the order: bought for, read again, sent back, or shown to a human."""

from dataclasses import replace
from datetime import datetime

from bitloot.contracts.events import PaymentFacts, PaymentStatus
from bitloot.contracts.state import OrderStatus, PaymentState, PaymentVerdict
from fulfillment import payment_rules
from fulfillment.order.buying import begin_purchase
from fulfillment.order.outbox import at_work, find_owed, owe, without_owed
from fulfillment.order.policy import PAYMENTS, RETRIES, Kind, Policy
from fulfillment.order.retries import try_again
from fulfillment.order.review import close, note_incident, to_review
from fulfillment.order.state import Item, Order, Owed, Part
from fulfillment.payment_rules import Bill, Judgment
from fulfillment.purchases import WHOLESALE_FROM, Limits, Line, split


def payment_told(
    order: Order,
    facts: PaymentFacts,
    now: datetime,
    policy: Policy,
    *,
    read: bool,
    listed: bool = False,
    owed: Owed | None = None,
) -> Order:
    """Take news of a payment, or compare with what was told when it has been read."""
    known = next((p for p in order.payments if p.payment_id == facts.payment_id), None)
    if known is not None and not payment_rules.is_news(known, facts):
        checking = read and known.verdict is PaymentVerdict.CHECKING
        return _confirmed(order, known, facts, now, policy, owed) if checking else order
    payment = PaymentState(
        payment_id=facts.payment_id,
        parent_payment_id=facts.parent_payment_id or (known.parent_payment_id if known else None),
        invoice_id=facts.invoice_id,
        status=facts.status,
        provider_status=facts.provider_status,
        verdict=known.verdict if known else PaymentVerdict.OPEN,
        price_amount=facts.price_amount,
        price_currency=facts.price_currency,
        pay_amount=facts.pay_amount,
        pay_currency=facts.pay_currency,
        actually_paid=facts.actually_paid,
        outcome_amount=facts.outcome_amount,
        outcome_currency=facts.outcome_currency,
        found_by="poll" if read or listed else "notification",
        first_seen_at=known.first_seen_at if known else now,
        updated_at=now,
    )
    return judge_payment(order, payment, known, now, policy, read=read)


def _confirmed(
    order: Order, told: PaymentState, read: PaymentFacts, now: datetime, policy: Policy, owed: Owed | None
) -> Order:
    """Compare what was told of a settled payment with what NOWPayments says when it is asked."""
    if payment_rules.lags(told, read):
        detail = f"A notification said {told.provider_status}, NOWPayments still says {read.provider_status} when asked"
        if owed is None:
            return order
        return try_again(order, owed, RETRIES[Kind.CHECK], now, ("payment_unconfirmed", detail))
    if unlike := payment_rules.difference(told, read):
        payment = told.model_copy(update={"verdict": PaymentVerdict.MISMATCH})
        detail = f"NOWPayments says otherwise than its notification of payment {told.payment_id}: {unlike}"
        return to_review(_with_payment(order, payment), now, "payment_differs", detail)
    seen = {"invoice_id": read.invoice_id, "actually_paid": read.actually_paid, "pay_amount": read.pay_amount}
    return judge_payment(order, told.model_copy(update=seen), None, now, policy, read=True)


def judge_payment(
    order: Order,
    payment: PaymentState,
    known: PaymentState | None,
    now: datetime,
    policy: Policy,
    *,
    read: bool = False,
) -> Order:
    """Record a payment with what it means for the order, and let that happen."""
    judgment = payment_rules.judge(bill_of(order, policy), payment, known, read=read)
    before = known.verdict if known is not None else PaymentVerdict.OPEN
    verdict = before if before is PaymentVerdict.ACCEPTED else judgment.verdict
    order = _with_payment(order, payment.model_copy(update={"verdict": verdict}))
    if judgment.verdict is PaymentVerdict.ACCEPTED:
        return _tell(_paid(order, payment, now, policy.limits), judgment, known, payment, now)
    if judgment.verdict is PaymentVerdict.CHECKING:
        return _tell(_check(order, payment, now), judgment, known, payment, now)
    if payment.status is PaymentStatus.REFUNDED and before is PaymentVerdict.ACCEPTED:
        return _refund(order, now)
    if payment.status is PaymentStatus.REFUNDED and before is PaymentVerdict.CHECKING:
        return _refund_unread(order, payment, now)
    return _tell(order, judgment, known, payment, now)


def _tell(order: Order, judgment: Judgment, known: PaymentState | None, payment: PaymentState, now: datetime) -> Order:
    """Let a human hear of what must be heard: where the order is not paid, it waits for a decision."""
    if judgment.cause:
        if order.paid_at is None and not order.closed:
            return to_review(order, now, judgment.cause, judgment.detail)
        return note_incident(order, now, judgment.cause, judgment.detail)
    if known is not None and payment_rules.is_reversal(known, payment.status):
        detail = f"Payment {payment.payment_id} went from {known.provider_status} to {payment.provider_status}"
        return note_incident(order, now, "payment_reversal", f"{detail}: {payment_rules.described(payment)}")
    return order


def _check(order: Order, payment: PaymentState, now: datetime) -> Order:
    """Read the payment now, before anything is bought for it."""
    # A question that is under way may have been asked before: its answer counts, but is not waited for.
    order = without_owed(order, find_owed(order, Kind.CHECK, None, payment_id=payment.payment_id))
    order = owe(order, Kind.CHECK, now, payment_id=payment.payment_id)
    if order.status is OrderStatus.AWAITING_PAYMENT:
        order = replace(order, status=OrderStatus.PAID)
    return order


def _paid(order: Order, payment: PaymentState, now: datetime, limits: Limits) -> Order:
    """Begin to buy. The order counts as paid since the news came that has now been confirmed."""
    done = {Kind.PAY, Kind.FIND}
    outbox = tuple(
        o for o in order.outbox if (o.kind not in done and o.payment_id != payment.payment_id) or o.emissions
    )
    order = replace(
        order,
        status=OrderStatus.PURCHASING,
        paid_at=payment.updated_at,
        review=None,
        close_at=None,
        working_since=now,
        outbox=outbox,
    )
    for lines in split((_line(item, order.currency) for item in order.items), limits):
        order = begin_purchase(order, tuple(Part(line.item_id, line.quantity) for line in lines), now)
    return order


def _line(item: Item, currency: str) -> Line:
    is_wholesale = item.offer_id is not None and item.quantity >= WHOLESALE_FROM
    return Line(
        item.item_id, item.product_id, item.quantity, item.unit_price, currency, item.offer_id, wholesale=is_wholesale
    )


def _refund(order: Order, now: datetime) -> Order:
    """Stop what has not begun: the money went back. Close the order where nothing was bought."""
    if order.closed:
        return note_incident(
            order, now, "refunded_after_delivery", "The payment was refunded after the order had ended"
        )
    goes_on = {Kind.LOOK_UP, Kind.FETCH, Kind.NOTICE} | PAYMENTS
    order = replace(order, outbox=tuple(o for o in order.outbox if o.emissions or o.kind in goes_on))
    if not at_work(order) and all(purchase.reservation_id is None for purchase in order.purchases):
        return close(order, OrderStatus.REFUNDED, now)
    return to_review(order, now, "refunded_while_buying", "The payment was refunded while keys were being bought")


def _refund_unread(order: Order, payment: PaymentState, now: datetime) -> Order:
    """Close an order whose money went back before anything was bought for it, unless another payment is being read."""
    if order.status is not OrderStatus.PAID or any(p.verdict is PaymentVerdict.CHECKING for p in order.payments):
        return note_incident(order, now, "payment_reversal", f"Payment {payment.payment_id} was refunded")
    return close(order, OrderStatus.REFUNDED, now)


def bill_of(order: Order, policy: Policy) -> Bill:
    """Return what payments of the order are judged by."""
    return Bill(
        total=order.total,
        currency=order.currency,
        offers=order.offers,
        payments=order.payments,
        placed=order.status is not OrderStatus.UNPLACED,
        paid=order.paid_at is not None,
        closed=order.closed,
        tolerance=policy.tolerance,
    )


def _with_payment(order: Order, payment: PaymentState) -> Order:
    others = tuple(p for p in order.payments if p.payment_id != payment.payment_id)
    return replace(order, payments=(*others, payment))
