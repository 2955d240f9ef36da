"""The life of one order, as a pure function: (state, event) -> (new state, effects).

Order of this module: policy, state, `decide` with one function per kind of event, `pending` and
`wake_at`, and at the end the small functions that all of them share.

What holds, whatever comes in and however often:

- Every effect that `decide` returns stands in the new state's outbox, and leaves it only when an event
  with its outcome comes back. `pending(state)` gives all that were asked for and are still owed. Handling
  an event again changes nothing, and then the shell sends again what that event had sent (`sent_by`).
- An effect's id is made of order, purchase, kind and attempt, so a repeat is known as one.
- A purchase is asked for again only when the one before is known to have bought nothing.
- The items of a paid order are split into purchases (`fulfillment.purchases`), each with an external id of its own. A
  purchase may hold several items, and an item may be in several purchases; each part is in one purchase only.
- Closed orders stay closed; what happens to them afterwards becomes an incident.

Time comes in with the event. Nothing here reads a clock, rolls dice, logs or waits. Events are dated by many
machines: an order's own time is the latest that any of them told, and never goes back.
"""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, assert_never

from bitloot.contracts.effects import (
    BuyKey,
    CheckPayment,
    CreatePayment,
    Effect,
    FetchCodes,
    FindPayments,
    GiveReservation,
    ItemKeys,
    LookUpPurchase,
    MailItem,
    PurchaseLine,
    ReturnKeys,
    SendMail,
    StoreKeys,
)
from bitloot.contracts.events import (
    MAIL_RANKS,
    BuyerErased,
    CodesPending,
    CodesReceived,
    EffectFailed,
    EmailChanged,
    Failure,
    KeysReturned,
    KeysReturnRequested,
    KeysRevealed,
    KeysStored,
    KinguinNotified,
    LineCodes,
    LinkRevoked,
    MailDelivery,
    MailDeliveryUpdated,
    MailKind,
    MailRequested,
    MailSent,
    Notice,
    OrderEvent,
    OrderPlaced,
    OrderRetired,
    PaymentCreated,
    PaymentFacts,
    PaymentInstructions,
    PaymentRequested,
    PaymentsFound,
    PaymentStatus,
    PaymentUpdated,
    PurchasePlaced,
    PurchasesFound,
    ReprocessRequested,
    ReservationGiven,
    Resolution,
    ReviewResolved,
    TimerFired,
)
from bitloot.contracts.sealed import SealedCode
from bitloot.contracts.state import (
    CLOSED,
    ActionState,
    Incident,
    ItemStatus,
    KeyState,
    MailState,
    OrderStatus,
    PaymentState,
    PaymentVerdict,
    ReservationState,
    ReservationStatus,
    Review,
)
from bitloot.ids import (
    EffectId,
    ItemId,
    MessageId,
    OrderId,
    PaymentId,
    ProductId,
    PurchaseId,
    ReservationId,
    effect_id,
    external_id,
    message_id,
    purchase_id,
)
from fulfillment import payment_rules
from fulfillment.payment_rules import AFTERMATH, MOVING, TOLERANCE, Bill, Judgment
from fulfillment.purchases import LIMITS, WHOLESALE_FROM, Limits, Line, split

# --- Policy ---------------------------------------------------------------------------------------


class Kind(StrEnum):
    """The kinds of effects, as they stand in effect ids."""

    PAY = "pay"
    CHECK = "check"
    FIND = "find"
    BUY = "buy"
    GIVE = "give"
    LOOK_UP = "look_up"
    FETCH = "fetch"
    RETURN = "return"
    STORE = "store"
    MAIL = "mail"  # the one whose acceptance completes the order
    NOTICE = "notice"  # any other mail: nothing waits for it


@dataclass(frozen=True, slots=True)
class Retry:
    """How an effect is retried: `tries` in a series, none later than `patience` after the first.

    The wait before try n+1 is `base` times 2^(n-1), at most `cap`, or what the other side asks for when that is more,
    plus up to a quarter of jitter: orders that are told to come back at one time must not come at one time.
    """

    base: timedelta
    cap: timedelta
    tries: int
    patience: timedelta


_DAY = timedelta(days=1)
_CALL = Retry(timedelta(seconds=1), timedelta(seconds=60), tries=5, patience=_DAY)
# R2 and the mail provider may be away for hours and nothing is at stake but time: patience counts, not tries. Mail
# stops before the 24 h for which Resend remembers an Idempotency-Key (contract "Resend", section 3).
_DELIVERY = Retry(timedelta(seconds=1), timedelta(minutes=5), tries=1000, patience=timedelta(hours=22))

PAYMENTS = frozenset({Kind.PAY, Kind.CHECK, Kind.FIND})
"""What is asked of the payment provider."""
CALLS = frozenset(Kind) - PAYMENTS - {Kind.STORE, Kind.MAIL, Kind.NOTICE}
"""What is asked of Kinguin."""
# Nothing is at stake but time while a payment is created or read: patience counts, not tries.
_CREATION = Retry(timedelta(seconds=5), timedelta(minutes=10), tries=1000, patience=timedelta(days=7))
_CONFIRMATION = Retry(timedelta(seconds=1), timedelta(minutes=5), tries=1000, patience=_DAY)
RETRIES = {kind: _CALL if kind in CALLS else _DELIVERY for kind in Kind} | {
    Kind.PAY: _CREATION,
    Kind.CHECK: _CONFIRMATION,
    Kind.FIND: _CONFIRMATION,
}
POLLING = Retry(timedelta(seconds=2), timedelta(minutes=5), tries=10_000, patience=_DAY)
"""Asking for codes that are not there yet is no failure and no try: Kinguin's webhook usually comes first."""
WAITS = Retry(timedelta(seconds=5), timedelta(minutes=5), tries=10_000, patience=_DAY)
"""For what keeps Kinguin from being asked and says nothing about the order: no try is used up, only patience."""
NO_TRY = frozenset({"rate_limited", "insufficient_balance", "authorization"})
"""Such causes (`bitloot.errors.Cause`). `provider_unavailable` is one where a time to come back is known: Kinguin has
told it, or the breaker, which does not let anything leave while Kinguin is away."""
LOOK_UPS = Retry(timedelta(seconds=5), timedelta(minutes=1), tries=3, patience=_DAY)
"""A look-up by order id. Where the market's search may lag for minutes, `Policy.look_ups` is more patient."""
FIRST_LOOK_UP = timedelta(seconds=2)
REDRIVE = Retry(timedelta(minutes=1), timedelta(minutes=10), tries=0, patience=_DAY)
"""An effect without an outcome is sent again after this; the worker's claim makes that harmless."""
UNPAID_FOR = timedelta(days=8)
"""A floating-rate payment lives 7 days (contract "NOWPayments", section 2); a day for the last notification."""
MOVING_FOR = timedelta(days=7)
"""So much longer a payment is waited for that was seen on its way; then a human must look where it stays."""
_NOTHING_TO_ASK = {"not_found", "cannot_ask"}
"""Why asking about a payment is no use: it is none of ours, or payments cannot be listed without a login."""
ASKING = timedelta(minutes=1)
"""After this an open payment is asked about for the first time: the notification usually comes first."""
_OFTEN = 72
"""So many times in a row a moving payment is asked about every few minutes; half a day later it is stuck."""
MOST_OFFERS = 10
"""So many ways to pay one order may be asked for: each click of a buyer makes one."""
STUCK_AFTER = _DAY
REMEMBERED_ACTIONS = 32
REMEMBERED_MAILS = 50
"""Of the mails of an order the newest are kept in its state; the others are in its timeline."""
NOTICE_AFTER = timedelta(minutes=1)
"""What is cured by itself by then is not worth a mail."""
SOLD_ALONE = "sold_alone"
"""The refusal (`bitloot.errors.Cause`) of a purchase with a product that Kinguin sells in an order of its own only."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The waits between questions about an open payment: they grow from `first` to `slowest`.

    Of one that is on its way, news is near: it is asked about every `moving` until that has led nowhere for long.
    """

    first: timedelta = ASKING
    slowest: timedelta = timedelta(hours=2)
    moving: timedelta = timedelta(minutes=10)

    def wait(self, tries: int, seed: str, *, moving: bool = False) -> timedelta:
        """Return the wait after the `tries`-th question."""
        cap = self.moving if moving and tries <= _OFTEN else self.slowest
        return _wait(Retry(self.first, max(cap, self.first), tries=0, patience=_DAY), tries, seed)


@dataclass(frozen=True, slots=True)
class Policy:
    """What operators set.

    A paid order that has not ended `stuck_after` its payment (or the last time a human stepped in) goes to review;
    for so long Kinguin is asked for codes. A closed order is kept for `retention`, and for ever without one.
    After an unknown outcome Kinguin is asked `look_ups.tries` times before nothing counts as nothing. `limits` are
    those of one purchase.
    Of a `finished` payment the part `tolerance` may be missing. `asking` paces the questions about an open
    one.
    """

    stuck_after: timedelta = STUCK_AFTER
    retention: timedelta | None = None
    look_ups: Retry = LOOK_UPS
    limits: Limits = LIMITS["reservations"]
    tolerance: Decimal = TOLERANCE
    asking: Asking = Asking()


DEFAULT_POLICY = Policy()
ENDED_BY_SUPPLIER = {"canceled": ReservationStatus.CANCELED, "refunded": ReservationStatus.REVERSED}
"""Refusals (`bitloot.errors.Cause`) that tell of a reservation's end, and what it is from then on."""
NOT_CURED_BY_CODES = frozenset({"supplier_canceled", "supplier_reversed", "refunded_while_buying", "keys_returned"})
"""Why an item waits for a human whatever codes come: somebody has taken the purchase back."""


# --- State ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Owed:
    """An entry of the outbox: one try of an effect, and when it is to be sent (again).

    `tries` counts within a series of retries and begins anew when an admin steps in; `attempt` never does. `waits`
    counts the times in a row that it could not even be tried, or that codes were not there yet.
    """

    kind: Kind
    purchase_id: PurchaseId | None
    attempt: int
    since: datetime
    due_at: datetime
    series_since: datetime
    tries: int = 1
    waits: int = 0
    emissions: int = 0
    sent_at: datetime | None = None
    notice: int | None = None
    payment_id: PaymentId | None = None

    @property
    def key(self) -> tuple[Kind, PurchaseId | None, int | None, PaymentId | None]:
        """Return what there is at most one of in an outbox."""
        return self.kind, self.purchase_id, self.notice, self.payment_id


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the order, as it was placed."""

    item_id: ItemId
    position: int
    product_id: ProductId
    title: str
    quantity: int
    unit_price: Decimal
    offer_id: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """`quantity` keys of an item that are bought together with others, and their sealed codes until they are stored."""

    item_id: ItemId
    quantity: int
    codes: tuple[SealedCode, ...] = ()


@dataclass(frozen=True, slots=True)
class Purchase:
    """What is bought from Kinguin at once: one part for each of its products.

    `time` counts how often it was bought anew on purpose. `tries` counts the tries of the present step (buy, then
    give) that ended without a known outcome. `expected_at` is the release of a pre-order. `is_returning`: Kinguin is
    asked to take its keys back.
    """

    purchase_id: PurchaseId
    parts: tuple[Part, ...]
    status: ItemStatus = ItemStatus.BUYING
    time: int = 1
    reservation_id: ReservationId | None = None
    tries: int = 0
    look_ups: int = 0
    expected_at: datetime | None = None
    is_returning: bool = False

    @property
    def external_id(self) -> str:
        """Return what Kinguin knows this purchase by."""
        return external_id(self.purchase_id, self.time)

    @property
    def quantity(self) -> int:
        """Return how many keys it has."""
        return sum(part.quantity for part in self.parts)


@dataclass(frozen=True, slots=True)
class Order:
    """All that is known of an order. Version 0 is an order that nothing was heard of.

    `time` is its own time, see above; `updated_at` is what the last event that changed it said.
    """

    order_id: OrderId
    version: int = 0
    status: OrderStatus = OrderStatus.UNPLACED
    email: str = ""
    currency: str = ""
    total: Decimal = Decimal(0)
    request_hash: str = ""
    pay_currency: str | None = None
    offers: tuple[PaymentInstructions, ...] = ()
    items: tuple[Item, ...] = ()
    purchases: tuple[Purchase, ...] = ()
    payments: tuple[PaymentState, ...] = ()
    reservations: tuple[ReservationState, ...] = ()
    keys: tuple[KeyState, ...] = ()
    object_key: str | None = None
    mail_number: int = 1
    notice_number: int = 0
    mails: tuple[MailState, ...] = ()
    generation: int = 1
    outbox: tuple[Owed, ...] = ()
    attempts: dict[str, int] = field(default_factory=dict)
    review: Review | None = None
    incidents: tuple[Incident, ...] = ()
    actions: tuple[str, ...] = ()
    answers: tuple[ActionState, ...] = ()
    erased_at: datetime | None = None
    placed_at: datetime | None = None
    paid_at: datetime | None = None
    purchased_at: datetime | None = None
    received_at: datetime | None = None
    stored_at: datetime | None = None
    mailed_at: datetime | None = None
    revealed_at: datetime | None = None
    closed_at: datetime | None = None
    close_at: datetime | None = None
    working_since: datetime | None = None
    updated_at: datetime | None = None
    time: datetime | None = None

    @property
    def closed(self) -> bool:
        """Tell whether the order's status is final."""
        return self.status in CLOSED

    @property
    def refunded(self) -> bool:
        """Tell whether the payment that paid this order was sent back."""
        return any(p.status is PaymentStatus.REFUNDED and p.verdict is PaymentVerdict.ACCEPTED for p in self.payments)

    @property
    def owed(self) -> Decimal:
        """Return what the buyer has paid for keys that will not come, in the order's currency.

        An order that a human has closed owes nothing but what Kinguin has taken back after its delivery.
        """
        if self.paid_at is None or self.refunded or self.status is OrderStatus.REFUNDED:
            return Decimal(0)
        ended = {r.reservation_id for r in self.reservations if r.status in ENDED_BY_SUPPLIER.values()}
        void = [p for p in self.purchases if p.status is ItemStatus.STORED and p.reservation_id in ended]
        lost = [p for p in self.purchases if p.status in {ItemStatus.FAILED, ItemStatus.CANCELED}]
        prices = {item.item_id: item.unit_price for item in self.items}
        parts = (part for purchase in (void if self.closed else void + lost) for part in purchase.parts)
        return sum((prices[part.item_id] * part.quantity for part in parts), Decimal(0))

    @property
    def message_id(self) -> MessageId:
        """Return the id of the mail that is (to be) sent."""
        return message_id(self.order_id, self.mail_number)


# --- Deciding -------------------------------------------------------------------------------------


def decide(state: Order, event: OrderEvent, policy: Policy = DEFAULT_POLICY) -> tuple[Order, tuple[Effect, ...]]:
    """Return the order after `event`, and the effects to send now.

    An event that changes nothing (a duplicate, a late one, one of another order) gives back the same
    `state` object and no effects.
    """
    if event.order_id != state.order_id:
        return state, ()
    now = order_time(state, event)
    after = _apply(state, event if now == event.occurred_at else event.model_copy(update={"occurred_at": now}), policy)
    after = _tell_buyer(state, after, now)
    after = _answered(state, after, event, now)
    due = [owed for owed in after.outbox if owed.due_at <= now]
    if after is state and not due:
        return state, ()
    sent = {owed: _sent(state.order_id, owed, now, event.occurred_at) for owed in due}
    outbox = tuple(sent.get(owed, owed) for owed in after.outbox)
    after = replace(after, outbox=outbox, version=state.version + 1, updated_at=event.occurred_at, time=now)
    return after, tuple(_effect(after, sent[owed]) for owed in due)


def _answered(state: Order, after: Order, event: OrderEvent, now: datetime) -> Order:
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
    if isinstance(event, PaymentRequested):
        return "The order is not to be paid now, or there is a way to pay like this already."
    if state.erased_at is not None and isinstance(event, MailRequested | EmailChanged | BuyerErased):
        return "The buyer's data was erased."
    if isinstance(event, MailRequested):
        return "A mail that says the same is on its way already."
    if isinstance(event, EmailChanged):
        return "The links to the order page were renewed since the change was asked for."
    if isinstance(event, ReviewResolved) and state.review is not None and _under_way(state):
        return f"{', '.join(sorted({owed.kind for owed in _under_way(state)}))} is under way: its outcome comes first."
    if isinstance(event, ReviewResolved) and state.status is not OrderStatus.NEEDS_REVIEW:
        return f"The order is {state.status}: it does not wait for a human."
    if state.closed or state.paid_at is None:
        return f"The order is {state.status}: nothing is left to do."
    if state.refunded:
        return "The payment was sent back."
    return f"The order is {state.status}: all that it waits for was asked for already."


def order_time(state: Order, event: OrderEvent) -> datetime:
    """Return when `event` happens to the order: never before what has happened to it already."""
    return event.occurred_at if state.time is None else max(event.occurred_at, state.time)


def _sent(order: OrderId, owed: Owed, now: datetime, told_at: datetime) -> Owed:
    again = now + _wait(REDRIVE, owed.emissions + 1, f"{order}/{owed.kind}/{owed.attempt}/redrive")
    return replace(owed, emissions=owed.emissions + 1, sent_at=told_at, due_at=again)


def _apply(state: Order, event: OrderEvent, policy: Policy) -> Order:  # noqa: C901, PLR0911, PLR0912 - one match over all events, checked for completeness
    match event:
        case OrderPlaced():
            return _placed(state, event, policy)
        case PaymentRequested():
            return _payment_requested(state, event)
        case PaymentCreated():
            return _payment_created(state, event, policy)
        case PaymentUpdated():
            return _payment_updated(state, event, policy)
        case PaymentsFound():
            return _payments_found(state, event, policy)
        case KinguinNotified():
            return _notified(state, event)
        case PurchasePlaced():
            return _purchase_placed(state, event)
        case PurchasesFound():
            return _purchases_found(state, event, policy)
        case ReservationGiven():
            return _reservation_given(state, event)
        case CodesReceived():
            return _codes_received(state, event)
        case CodesPending():
            return _codes_pending(state, event, policy)
        case KeysReturned():
            return _keys_returned(state, event)
        case KeysStored():
            return _keys_stored(state, event)
        case MailSent():
            return _mail_sent(state, event)
        case EffectFailed():
            return _effect_failed(state, event, policy)
        case KeysRevealed():
            return _revealed(state, event)
        case MailRequested():
            return _mail_requested(state, event)
        case EmailChanged():
            return _email_changed(state, event)
        case LinkRevoked():
            return _link_revoked(state, event)
        case MailDeliveryUpdated():
            return _mail_delivery_updated(state, event)
        case ReprocessRequested():
            return _reprocess(state, event)
        case ReviewResolved():
            return _resolve(state, event)
        case KeysReturnRequested():
            return _return_requested(state, event)
        case BuyerErased():
            return _buyer_erased(state, event)
        case TimerFired():
            return _timer_fired(state, event, policy)
        case OrderRetired():
            return state  # the shell takes it out of the table: there is no state afterwards
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(event)


def _placed(state: Order, event: OrderPlaced, policy: Policy) -> Order:
    now = event.occurred_at
    if state.status is not OrderStatus.UNPLACED:
        # Placed by two processes at once: the buyer may have been shown either way to pay.
        again = event.payment_instructions if event.request_hash == state.request_hash else None
        return state if again is None else _offered(state, again, now, policy)
    items = tuple(
        Item(i.item_id, position, i.product_id, i.title, i.quantity, i.unit_price, i.offer_id)
        for position, i in enumerate(event.items, start=1)
    )
    order = replace(
        state,
        status=OrderStatus.AWAITING_PAYMENT,
        email=event.email,
        currency=event.currency,
        total=event.total,
        request_hash=event.request_hash,
        pay_currency=event.pay_currency,
        items=items,
        placed_at=now,
        close_at=now + UNPAID_FOR,
    )
    if event.payment_instructions is None:
        order = _owe(order, Kind.PAY, now)
    else:
        # Made by the ingress, which has used up the first attempt.
        order = replace(order, attempts=order.attempts | {f"{order.order_id}/{Kind.PAY}": 1})
        order = _offered(order, event.payment_instructions, now, policy)
    for payment in state.payments:  # notifications may overtake the order
        order = _judge(order, payment, None, now, policy)
        order = _ask_on(order, payment.payment_id, now, policy, None)
    return order


# Payments


def _payment_requested(state: Order, event: PaymentRequested) -> Order:
    """Let the buyer have another way to pay, one at a time, where the present one is over or for another coin."""
    if event.action_id in state.actions:
        return state
    order, now = state, event.occurred_at
    newest = order.offers[-1] if order.offers else None
    if order.status is not OrderStatus.AWAITING_PAYMENT or len(order.offers) >= MOST_OFFERS:
        return order
    over = newest is None or (newest.valid_until is not None and newest.valid_until <= now)
    if not over and newest is not None and newest.pay_currency == event.pay_currency:
        return order
    owed = _find(order, Kind.PAY, None)
    if owed is not None and owed.emissions:
        return order
    order = replace(order, pay_currency=event.pay_currency, outbox=tuple(o for o in order.outbox if o is not owed))
    return _owe(order, Kind.PAY, now)


def _payment_created(state: Order, event: PaymentCreated, policy: Policy) -> Order:
    order, _ = _settle(state, event.effect_id)  # a try that was given up has made something as real
    return _offered(order, event.payment_instructions, event.occurred_at, policy)


def _offered(order: Order, offer: PaymentInstructions, now: datetime, policy: Policy) -> Order:
    """Show a way to pay, and ask for what comes of it until it is over: no notification may ever come."""
    if offer in order.offers:
        return order
    order = replace(order, offers=(*order.offers, offer))
    if order.close_at is not None and offer.valid_until is not None:
        order = replace(order, close_at=max(order.close_at, offer.valid_until + AFTERMATH))
    for payment in order.payments:
        if payment.verdict is PaymentVerdict.FOREIGN:
            order = _judge(order, payment, None, now, policy)
    if order.closed or order.paid_at is not None:
        return order
    if offer.payment_id is not None:
        return _owe(order, Kind.CHECK, now, wait=policy.asking.first, payment_id=offer.payment_id)
    return order if offer.invoice_id is None else _owe(order, Kind.FIND, now, wait=policy.asking.first)


def _payment_updated(state: Order, event: PaymentUpdated, policy: Policy) -> Order:
    order, owed = (state, None) if event.effect_id is None else _settle(state, event.effect_id)
    read = event.source == "poll"
    order = _payment_told(order, event, event.occurred_at, policy, read=read, owed=owed)
    if order is state:
        return state
    return _ask_on(order, event.payment_id, event.occurred_at, policy, owed)


def _payments_found(state: Order, event: PaymentsFound, policy: Policy) -> Order:
    """Take the payments of a list; one that is settled by it is read by itself before anything is bought."""
    order, owed = _settle(state, event.effect_id)
    for facts in event.payments:
        order = _payment_told(order, facts, event.occurred_at, policy, read=False, listed=True)
        order = _ask_on(order, facts.payment_id, event.occurred_at, policy, None)
    return _find_on(order, owed, event.occurred_at, policy)


def _find_on(order: Order, owed: Owed | None, now: datetime, policy: Policy) -> Order:
    """List the payments of the invoice again, later each time, as long as the order waits for its money."""
    if owed is None or order.closed or order.paid_at is not None or order.placed_at is None:
        return order
    wait = policy.asking.wait(owed.tries + 1, _seed(order, owed))
    if now + wait > order.placed_at + UNPAID_FOR:
        return order
    return _owe(order, Kind.FIND, now, wait=wait, tries=owed.tries + 1)


def _ask_on(order: Order, payment_id: PaymentId, now: datetime, policy: Policy, owed: Owed | None) -> Order:
    """Ask about an open payment, later each time, until a day after its end; `owed` is the question that was answered.

    While a settled one is being read, nothing is put off.
    """
    payment = next((p for p in order.payments if p.payment_id == payment_id), None)
    if payment is None or payment.verdict is PaymentVerdict.CHECKING or order.placed_at is None:
        return order
    waiting = _find(order, Kind.CHECK, None, payment_id=payment_id)
    if not payment_rules.is_open(payment.status) or payment.verdict is PaymentVerdict.FOREIGN:
        return order if waiting is None or waiting.emissions else _without(order, waiting)
    if waiting is not None:
        return order
    tries = owed.tries + 1 if owed is not None and payment.updated_at != now else 1
    seed, moving = f"{order.order_id}/{payment_id}/{tries}", payment.status in MOVING
    wait = policy.asking.wait(tries, seed, moving=moving)
    until = payment_rules.asked_until(_bill(order, policy).offer_of(payment), payment.first_seen_at)
    if now + wait > until:
        return order
    return _owe(order, Kind.CHECK, now, wait=wait, tries=tries, payment_id=payment_id)


def _payment_told(
    order: Order,
    facts: PaymentFacts,
    now: datetime,
    policy: Policy,
    *,
    read: bool,
    listed: bool = False,
    owed: Owed | None = None,
) -> Order:
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
    return _judge(order, payment, known, now, policy, read=read)


def _confirmed(
    order: Order, told: PaymentState, read: PaymentFacts, now: datetime, policy: Policy, owed: Owed | None
) -> Order:
    """Compare what was told of a settled payment with what NOWPayments says when it is asked."""
    if payment_rules.lags(told, read):
        detail = f"A notification said {told.provider_status}, NOWPayments still says {read.provider_status} when asked"
        if owed is None:
            return order
        return _again(order, owed, RETRIES[Kind.CHECK], now, ("payment_unconfirmed", detail))
    if unlike := payment_rules.difference(told, read):
        payment = told.model_copy(update={"verdict": PaymentVerdict.MISMATCH})
        detail = f"NOWPayments says otherwise than its notification of payment {told.payment_id}: {unlike}"
        return _to_review(_with_payment(order, payment), now, "payment_differs", detail)
    seen = {"invoice_id": read.invoice_id, "actually_paid": read.actually_paid, "pay_amount": read.pay_amount}
    return _judge(order, told.model_copy(update=seen), None, now, policy, read=True)


def _judge(
    order: Order,
    payment: PaymentState,
    known: PaymentState | None,
    now: datetime,
    policy: Policy,
    *,
    read: bool = False,
) -> Order:
    """Record a payment with what it means for the order, and let that happen."""
    judgment = payment_rules.judge(_bill(order, policy), payment, known, read=read)
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
            return _to_review(order, now, judgment.cause, judgment.detail)
        return _incident(order, now, judgment.cause, judgment.detail)
    if known is not None and payment_rules.is_reversal(known, payment.status):
        detail = f"Payment {payment.payment_id} went from {known.provider_status} to {payment.provider_status}"
        return _incident(order, now, "payment_reversal", f"{detail}: {payment_rules.described(payment)}")
    return order


def _check(order: Order, payment: PaymentState, now: datetime) -> Order:
    """Read the payment now, before anything is bought for it."""
    # A question that is under way may have been asked before: its answer counts, but is not waited for.
    order = _without(order, _find(order, Kind.CHECK, None, payment_id=payment.payment_id))
    order = _owe(order, Kind.CHECK, now, payment_id=payment.payment_id)
    if order.status is OrderStatus.AWAITING_PAYMENT:
        order = replace(order, status=OrderStatus.PAID, close_at=None)
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
        order = _begin(order, tuple(Part(line.item_id, line.quantity) for line in lines), now)
    return order


def _line(item: Item, currency: str) -> Line:
    is_wholesale = item.offer_id is not None and item.quantity >= WHOLESALE_FROM
    return Line(
        item.item_id, item.product_id, item.quantity, item.unit_price, currency, item.offer_id, wholesale=is_wholesale
    )


def _begin(order: Order, parts: tuple[Part, ...], now: datetime) -> Order:
    """Ask for one more purchase."""
    order, begun = _added(order, parts, ItemStatus.BUYING)
    return _owe(order, Kind.BUY, now, begun.purchase_id)


def _added(order: Order, parts: tuple[Part, ...], status: ItemStatus) -> tuple[Order, Purchase]:
    """Return the order with one more purchase, under the next number."""
    added = Purchase(purchase_id(order.order_id, len(order.purchases) + 1), parts, status)
    return replace(order, purchases=(*order.purchases, added)), added


def _refund(order: Order, now: datetime) -> Order:
    """Stop what has not begun: the money went back. Close the order where nothing was bought."""
    if order.closed:
        return _incident(order, now, "refunded_after_delivery", "The payment was refunded after the order had ended")
    goes_on = {Kind.LOOK_UP, Kind.FETCH, Kind.NOTICE} | PAYMENTS
    order = replace(order, outbox=tuple(o for o in order.outbox if o.emissions or o.kind in goes_on))
    if not _at_work(order) and all(purchase.reservation_id is None for purchase in order.purchases):
        return _close(order, OrderStatus.REFUNDED, now)
    return _to_review(order, now, "refunded_while_buying", "The payment was refunded while keys were being bought")


def _refund_unread(order: Order, payment: PaymentState, now: datetime) -> Order:
    """Close an order whose money went back before anything was bought for it, unless another payment is being read."""
    if order.status is not OrderStatus.PAID or any(p.verdict is PaymentVerdict.CHECKING for p in order.payments):
        return _incident(order, now, "payment_reversal", f"Payment {payment.payment_id} was refunded")
    return _close(order, OrderStatus.REFUNDED, now)


def _payment_effect_failed(order: Order, owed: Owed, event: EffectFailed, policy: Policy) -> Order:
    """Try again later. Only a settled payment that cannot be read ends as a review: nothing else waits for these."""
    now, why = event.occurred_at, (event.cause, event.detail)
    payment = next((p for p in order.payments if p.payment_id == owed.payment_id), None)
    if owed.kind is Kind.PAY or (payment is not None and payment.verdict is PaymentVerdict.CHECKING):
        if owed.kind is Kind.PAY and order.status is not OrderStatus.AWAITING_PAYMENT:
            return order
        if event.failure is Failure.REFUSED:
            return _refused(order, owed, now, why)
        again = _wait_longer if _is_no_try(event) else _again
        return again(order, owed, RETRIES[owed.kind], now, why, event.retry_after)
    if event.failure is Failure.REFUSED and event.cause in _NOTHING_TO_ASK:
        return order  # notifications must do
    if owed.kind is Kind.FIND:
        return _find_on(order, owed, now, policy)
    return (
        _ask_of_offer(order, owed, now, policy)
        if payment is None
        else _ask_on(order, payment.payment_id, now, policy, owed)
    )


def _ask_of_offer(order: Order, owed: Owed, now: datetime, policy: Policy) -> Order:
    """Ask again about a payment that we made and of which nothing was heard yet."""
    offer = next((o for o in order.offers if o.payment_id == owed.payment_id), None)
    wait = policy.asking.wait(owed.tries + 1, _seed(order, owed))
    if offer is None or now + wait > payment_rules.asked_until(offer, order.placed_at or now):
        return order
    return _owe(order, Kind.CHECK, now, wait=wait, tries=owed.tries + 1, payment_id=owed.payment_id)


def _read_again(order: Order, now: datetime) -> Order:
    """Read the payments of an order that waits for a human and is not paid, because somebody asks to go on."""
    for payment in order.payments:
        if payment.status is not PaymentStatus.REFUNDED and payment.verdict is not PaymentVerdict.FOREIGN:
            waiting = _find(order, Kind.CHECK, None, payment_id=payment.payment_id)
            if waiting is not None and not waiting.emissions:
                order = _without(order, waiting)
            order = _owe(order, Kind.CHECK, now, payment_id=payment.payment_id)
    return order


def _bill(order: Order, policy: Policy) -> Bill:
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


# Kinguin's notifications


def _notified(state: Order, event: KinguinNotified) -> Order:
    purchase = _purchase_of_notice(state, event)
    if purchase is None or event.notice is Notice.UNKNOWN:
        return state
    if event.notice is Notice.CHANGED:
        return _changed(state, purchase, event)
    reservation = event.reservation_id or purchase.reservation_id
    if reservation is None:
        return state
    if event.notice in {Notice.CANCEL, Notice.REVERSED}:
        other = purchase.reservation_id not in {None, reservation}
        return state if other else _supplier_ended(state, purchase, reservation, event)
    given = event.notice is not Notice.RESERVE
    order = _told(state, purchase, reservation, event.occurred_at, given=given)
    purchase = _purchase(order, purchase.purchase_id)
    if event.notice is Notice.DELIVERED and purchase.reservation_id == reservation:
        return _delivered(order, purchase, event.codes, event.occurred_at)
    return order


def _changed(order: Order, purchase: Purchase, event: KinguinNotified) -> Order:
    """Ask at once what has changed. What can be asked no more, because the keys are here, a human must hear of."""
    word = event.provider_status.lower()
    if purchase.reservation_id is not None and event.reservation_id not in {None, purchase.reservation_id}:
        # Of another order with our external id: a search tells whether there are two.
        known = any(r.reservation_id == event.reservation_id for r in order.reservations)
        return order if known else _owe(order, Kind.LOOK_UP, event.occurred_at, purchase.purchase_id)
    if word == "processing":
        return order  # so it begins: no news
    if purchase.status not in {ItemStatus.RECEIVED, ItemStatus.STORED}:
        return _delivered(order, purchase, (), event.occurred_at)
    if word in {"canceled", "cancelled", "refunded"} and purchase.reservation_id is not None:
        status = ReservationStatus.REVERSED
        detail = f"Kinguin says {word} for order {purchase.reservation_id} of {_about(order, purchase)}"
        return _ended(order, purchase, purchase.reservation_id, status, event.occurred_at, detail)
    return order


def _purchase_of_notice(state: Order, event: KinguinNotified) -> Purchase | None:
    for purchase in state.purchases:
        if event.reservation_id is not None and event.reservation_id == purchase.reservation_id:
            return purchase
    for purchase in state.purchases:
        if event.external_id == purchase.external_id:
            return purchase
    return None


def _told(order: Order, purchase: Purchase, reservation: ReservationId, now: datetime, *, given: bool) -> Order:
    """Take note that Kinguin has this reservation for the purchase, whoever says so and however late."""
    if order.closed:
        return _found_after_end(order, purchase, reservation, now)
    if any(r.reservation_id == reservation and r.status in ENDED_BY_SUPPLIER.values() for r in order.reservations):
        return order  # it was taken back since: a purchase bought anew must not take it for its own
    if purchase.reservation_id not in {None, reservation}:
        return _second_purchase(order, purchase, reservation, now, given=given)
    order = _learned(order, purchase, reservation, now, given=given)
    return _ask_when_idle(order, purchase.purchase_id, now)


def _second_purchase(
    order: Order, purchase: Purchase, reservation: ReservationId, now: datetime, *, given: bool
) -> Order:
    """Record a purchase beside the one that counts: only one is delivered, and a human hears of it once.

    What is bought counts more than what is only reserved, as long as nobody is buying the latter.
    """
    known = any(r.reservation_id == reservation for r in order.reservations)
    if not known:
        detail = f"Kinguin has reservation {reservation} beside {purchase.reservation_id} for {_about(order, purchase)}"
        status = ReservationStatus.GIVEN if given else ReservationStatus.RESERVED
        order = _incident(_record(order, purchase, reservation, status, now), now, "second_purchase", detail)
    idle = purchase.status is ItemStatus.RESERVED and _find(order, Kind.GIVE, purchase.purchase_id) is None
    if given and idle:
        fresh = replace(purchase, status=ItemStatus.BUYING, reservation_id=None)
        return _learned(_with(order, fresh), fresh, reservation, now, given=True)
    return _ask_when_idle(order, purchase.purchase_id, now)


def _found_after_end(order: Order, purchase: Purchase, reservation: ReservationId, now: datetime) -> Order:
    """Record a purchase that an order knows of only after its end: nothing follows but that a human hears of it."""
    if any(r.reservation_id == reservation for r in order.reservations):
        return order
    if purchase.reservation_id is not None:
        return _second_purchase(order, purchase, reservation, now, given=False)
    order = _record(order, purchase, reservation, ReservationStatus.RESERVED, now)
    detail = f"Kinguin has reservation {reservation} for {_about(order, purchase)} of an order that has ended"
    return _incident(order, now, "purchase_after_end", detail)


def _ask_when_idle(order: Order, purchase_id: PurchaseId, now: datetime) -> Order:
    """Let Kinguin tell of a reservation that nobody is buying: nothing else would move the purchase on."""
    idle = all(owed.purchase_id != purchase_id for owed in order.outbox)
    if order.closed or order.refunded or order.review is not None or not idle:
        return order
    if _purchase(order, purchase_id).status is not ItemStatus.RESERVED:
        return order
    return _owe(order, Kind.LOOK_UP, now, purchase_id, wait=FIRST_LOOK_UP)


def _learned(state: Order, purchase: Purchase, reservation: ReservationId, now: datetime, *, given: bool) -> Order:
    """Kinguin has this reservation for the purchase: take note of it, and ask for the codes once it is bought."""
    rank = {ItemStatus.BUYING: 0, ItemStatus.FAILED: 0, ItemStatus.RESERVED: 1}.get(purchase.status, 2)
    if rank >= 1 + given:
        return state
    status = ReservationStatus.GIVEN if given else ReservationStatus.RESERVED
    order = _record(state, purchase, reservation, status, now)
    reached = ItemStatus.BOUGHT if given else ItemStatus.RESERVED
    order = _with(order, replace(purchase, status=reached, reservation_id=reservation, tries=0, look_ups=0))
    order = _drop_unsent(order, purchase.purchase_id, Kind.BUY)  # it would buy a second time
    if not given:
        return order
    order = _drop_unsent(order, purchase.purchase_id, Kind.GIVE)
    if all(p.status not in {ItemStatus.WAITING, ItemStatus.BUYING, ItemStatus.RESERVED} for p in order.purchases):
        order = replace(order, purchased_at=order.purchased_at or now)
    return _owe(order, Kind.FETCH, now, purchase.purchase_id, wait=POLLING.base)


def _delivered(order: Order, purchase: Purchase, codes: tuple[SealedCode, ...], now: datetime) -> Order:
    """Take the codes when they are whole, else go and fetch them now."""
    if purchase.status is not ItemStatus.BOUGHT or order.closed:
        return order
    if len(purchase.parts) == 1 and len(codes) == purchase.quantity:
        return _received(order, purchase, (replace(purchase.parts[0], codes=codes),), now)
    polling = _find(order, Kind.FETCH, purchase.purchase_id)
    if polling is None:
        return order if purchase.is_returning else _owe(order, Kind.FETCH, now, purchase.purchase_id)
    if polling.emissions:  # asked already; the answer decides
        return order
    return _put(order, replace(polling, due_at=min(polling.due_at, now)))


def _supplier_ended(state: Order, purchase: Purchase, reservation: ReservationId, event: KinguinNotified) -> Order:
    reversed_ = event.notice is Notice.REVERSED
    status = ReservationStatus.REVERSED if reversed_ else ReservationStatus.CANCELED
    detail = f"Kinguin says {event.notice} for reservation {reservation} of {_about(state, purchase)}"
    return _ended(state, purchase, reservation, status, event.occurred_at, detail)


def _ended(
    state: Order, purchase: Purchase, reservation: ReservationId, status: ReservationStatus, now: datetime, detail: str
) -> Order:
    """Kinguin has taken a reservation back. From here a human may have it bought anew, under another number."""
    if any(r.reservation_id == reservation and r.status is status for r in state.reservations):
        return state
    order = _record(state, purchase, reservation, status, now)
    if purchase.status in {ItemStatus.RECEIVED, ItemStatus.STORED}:
        return _incident(order, now, f"supplier_{status}", detail)
    order = _drop(order, purchase.purchase_id, Kind.FETCH, Kind.GIVE, Kind.LOOK_UP)
    order = _with(order, replace(purchase, status=ItemStatus.CANCELED, reservation_id=reservation))
    return _to_review(order, now, f"supplier_{status}", detail, purchase)


# Outcomes of what was asked of Kinguin


def _purchase_placed(state: Order, event: PurchasePlaced) -> Order:
    order, owed = _settle(state, event.effect_id)
    purchase, now = _known_purchase(state, event.purchase_id), event.occurred_at
    if purchase is None:
        return state
    if owed is None:  # of a try that was given up: the purchase is as real
        return _told(state, purchase, event.reservation_id, now, given=event.given)
    order = _adopt(order, purchase, event.reservation_id, now, given=event.given)
    return _buy_anew_if_asked(order, purchase.purchase_id, now)


def _buy_anew_if_asked(order: Order, purchase_id: PurchaseId, now: datetime) -> Order:
    """Buy what was canceled anew where a human had asked for it while the outcome of its purchase was still awaited."""
    asked = order.status is OrderStatus.PURCHASING and order.review is None and not order.refunded
    purchase = _purchase(order, purchase_id)
    return _resume(order, purchase, now) if asked and purchase.status is ItemStatus.CANCELED else order


def _adopt(order: Order, purchase: Purchase, reservation: ReservationId, now: datetime, *, given: bool) -> Order:
    """Go on with a reservation that is ours for sure, or tell that there is one too many."""
    if order.closed or purchase.reservation_id not in {None, reservation}:
        return _told(order, purchase, reservation, now, given=given)
    order = _learned(order, purchase, reservation, now, given=given)
    purchase = _purchase(order, purchase.purchase_id)
    if purchase.status is not ItemStatus.RESERVED or order.refunded:
        return order
    if purchase.tries >= RETRIES[Kind.GIVE].tries:
        return _to_review(order, now, "unknown_outcome", f"Could not buy reservation {reservation}", purchase)
    return _owe(order, Kind.GIVE, now, purchase.purchase_id, tries=purchase.tries + 1)


def _purchases_found(state: Order, event: PurchasesFound, policy: Policy) -> Order:
    order, owed = _settle(state, event.effect_id)
    purchase, now = _known_purchase(state, event.purchase_id), event.occurred_at
    if purchase is None:
        return state
    live = sorted((r for r in event.reservations if not r.canceled), key=lambda r: (not r.given, r.reservation_id))
    if owed is None:  # a look-up that was sent again has found more than its first answer told
        for found in live:
            order = _told(order, _purchase(order, purchase.purchase_id), found.reservation_id, now, given=found.given)
        return order
    ended = any(r.canceled and r.reservation_id == purchase.reservation_id for r in event.reservations)
    if not live and ended and purchase.status is ItemStatus.RESERVED and purchase.reservation_id is not None:
        detail = f"Kinguin shows reservation {purchase.reservation_id} of {_about(order, purchase)} as canceled"
        return _ended(order, purchase, purchase.reservation_id, ReservationStatus.CANCELED, now, detail)
    if not live:
        return _nothing_found(order, purchase, now, policy.look_ups)
    chosen = next((r for r in live if r.reservation_id == purchase.reservation_id), live[0])
    if live[0].given and not chosen.given:
        chosen = live[0]
    order = _adopt(order, purchase, chosen.reservation_id, now, given=chosen.given)
    for other in live:
        if other is not chosen:
            order = _told(order, _purchase(order, purchase.purchase_id), other.reservation_id, now, given=other.given)
    return order


def _nothing_found(order: Order, purchase: Purchase, now: datetime, look_ups: Retry) -> Order:
    """Ask again for a while; then nothing was bought, for sure, and the purchase may be tried again."""
    if purchase.status not in {ItemStatus.BUYING, ItemStatus.RESERVED}:
        return order
    asked = purchase.look_ups + 1
    if asked < look_ups.tries:
        wait = _wait(look_ups, asked, f"{purchase.purchase_id}/{Kind.LOOK_UP}/{asked}")
        return _owe(_with(order, replace(purchase, look_ups=asked)), Kind.LOOK_UP, now, purchase.purchase_id, wait=wait)
    if order.refunded:
        return _fail_purchase(order, purchase, now, "refunded_while_buying", "The payment was refunded")
    if purchase.status is ItemStatus.RESERVED:
        detail = f"Kinguin no longer knows reservation {purchase.reservation_id}"
        return _to_review(order, now, "reservation_missing", detail, purchase)
    if purchase.tries >= RETRIES[Kind.BUY].tries:
        return _fail_purchase(
            order, purchase, now, "unknown_outcome", f"{purchase.tries} tries to buy had no known outcome"
        )
    order = _with(order, replace(purchase, look_ups=0))
    return _owe(order, Kind.BUY, now, purchase.purchase_id, tries=purchase.tries + 1)


def _reservation_given(state: Order, event: ReservationGiven) -> Order:
    order, _ = _settle(state, event.effect_id)
    purchase = _known_purchase(order, event.purchase_id)
    return state if purchase is None else _told(order, purchase, event.reservation_id, event.occurred_at, given=True)


def _codes_received(state: Order, event: CodesReceived) -> Order:
    order, owed = _settle(state, event.effect_id)
    purchase, now = _known_purchase(order, event.purchase_id), event.occurred_at
    if purchase is None or purchase.status is not ItemStatus.BOUGHT or event.reservation_id != purchase.reservation_id:
        return order
    if purchase.is_returning and owed is None:
        return order  # an answer told again, or too late: Kinguin takes the keys back
    came = _assigned(purchase, event.lines)
    if came is not None and all(len(part.codes) == part.quantity for part in came):
        return _received(order, purchase, came, now)
    if came is not None and event.never and any(part.codes for part in came):
        return _partly_received(order, purchase, came, event)
    if owed is None:
        return state
    count = sum(len(line.codes) for line in event.lines)
    detail = f"{count} codes came for {purchase.quantity} of {_about(order, purchase)}"
    return _to_review(order, now, "bad_codes", detail, purchase)


def _assigned(purchase: Purchase, lines: tuple[LineCodes, ...]) -> tuple[Part, ...] | None:
    """Return the parts with their codes, or None when they are not those that were bought, or too many."""
    codes = {line.item_id: line.codes for line in lines}
    if len(codes) != len(lines) or codes.keys() != {part.item_id for part in purchase.parts}:
        return None
    parts = tuple(replace(part, codes=codes[part.item_id]) for part in purchase.parts)
    return parts if all(len(part.codes) <= part.quantity for part in parts) else None


def _received(order: Order, purchase: Purchase, parts: tuple[Part, ...], now: datetime) -> Order:
    order = _drop(order, purchase.purchase_id, Kind.FETCH)
    if purchase.is_returning:
        detail = f"The keys of {_about(order, purchase)} had been downloaded when they were to be returned"
        order = _incident(order, now, "return_refused", detail)
    received = replace(purchase, status=ItemStatus.RECEIVED, parts=parts, expected_at=None, is_returning=False)
    order = _with(order, received)
    if purchase.reservation_id is not None:
        order = _record(order, purchase, purchase.reservation_id, ReservationStatus.DELIVERED, now)
    return _deliver_when_complete(order, now)


def _partly_received(order: Order, purchase: Purchase, came: tuple[Part, ...], event: CodesReceived) -> Order:
    """Keep what came. What never will is a purchase of its own, which a human may have bought anew."""
    kept = tuple(replace(part, quantity=len(part.codes)) for part in came if part.codes)
    missing = tuple(
        Part(part.item_id, part.quantity - len(part.codes)) for part in came if len(part.codes) < part.quantity
    )
    order = _received(order, purchase, kept, event.occurred_at)
    order, rest = _added(order, missing, ItemStatus.FAILED)
    detail = f"Kinguin has {event.never} {rest.quantity} of {purchase.quantity} keys of {_about(order, rest)}"
    return _to_review(order, event.occurred_at, "partly_delivered", detail, rest)


def _deliver_when_complete(order: Order, now: datetime) -> Order:
    if (
        any(purchase.status is not ItemStatus.RECEIVED for purchase in order.purchases)
        or order.closed
        or order.refunded
    ):
        return order
    if sum(purchase.quantity for purchase in order.purchases) != sum(item.quantity for item in order.items):
        return order
    if order.review is not None and not _cured_by_codes(order.review):
        return order
    order = replace(
        order,
        status=OrderStatus.DELIVERING,
        review=None,
        received_at=order.received_at or now,
        working_since=now,
    )
    return _owe(order, Kind.STORE, now)


def _cured_by_codes(review: Review) -> bool:
    """Tell whether a review ends by itself once every item has the right number of codes.

    What went wrong with a purchase on the way to its codes is settled by them, whatever it was: a refusal, an answer
    that could not be read, tries used up, Kinguin silent. Not so when the purchase was taken back, and not when the
    whole order waits for another reason than time: money, or what came after the codes (R2, mail).
    """
    if review.item_id is None:
        return review.cause == "stuck"
    return review.cause not in NOT_CURED_BY_CODES


def _codes_pending(state: Order, event: CodesPending, policy: Policy) -> Order:
    order, owed = _settle(state, event.effect_id)
    if owed is None:
        return state
    purchase = _purchase(order, event.purchase_id)
    if purchase.status is not ItemStatus.BOUGHT:
        return order
    now, expected_at = event.occurred_at, event.expected_at
    if purchase.is_returning:
        return _owe(order, Kind.RETURN, now, purchase.purchase_id)
    if expected_at is not None and expected_at > now:
        # A pre-order. Its date may move, and it may be canceled: so it is asked for once a day.
        order = _with(order, replace(purchase, expected_at=expected_at))
        wait = min(expected_at - now, _DAY) + _wait(POLLING, 1, _seed(order, owed))
        return _owe(order, Kind.FETCH, now, purchase.purchase_id, wait=wait)
    owed = replace(owed, tries=1)  # it was answered: failures from before have ended, and the next one is the first
    why = ("supplier_slow", "Kinguin has not delivered in time")
    return _wait_longer(order, owed, replace(POLLING, patience=policy.stuck_after), now, why, pace=POLLING)


# Giving keys back


def _return_requested(state: Order, event: KeysReturnRequested) -> Order:
    """Ask Kinguin to take back what was bought and nobody has downloaded. From here on it is not handed on."""
    if event.action_id in state.actions:
        return state
    order = replace(state, actions=(*state.actions, event.action_id)[-REMEMBERED_ACTIONS:])
    now = event.occurred_at
    asked = [p for p in order.purchases if p.status is ItemStatus.BOUGHT and not p.is_returning and not order.closed]
    if not asked:
        detail = "Nothing can be returned: no keys wait at Kinguin that are bought and not downloaded"
        return _incident(order, now, "return_refused", detail)
    for purchase in asked:
        order = _drop_unsent(order, purchase.purchase_id, Kind.FETCH)
        order = _with(order, replace(purchase, is_returning=True, tries=0))
        if _find(order, Kind.FETCH, purchase.purchase_id) is None:
            order = _owe(order, Kind.RETURN, now, purchase.purchase_id)
    return order  # a fetch that is under way may be downloading them: its outcome decides


def _keys_returned(state: Order, event: KeysReturned) -> Order:
    order, owed = _settle(state, event.effect_id)
    purchase, now = _known_purchase(order, event.purchase_id), event.occurred_at
    if owed is None or purchase is None:
        return state
    order = _record(order, purchase, event.reservation_id, ReservationStatus.REVERSED, now)
    order = _with(order, replace(purchase, status=ItemStatus.CANCELED, is_returning=False))
    told = ", ".join(event.statuses) or "accepted"
    detail = f"Kinguin takes {purchase.quantity} keys of {_about(order, purchase)} back: {told}"
    return _to_review(order, now, "keys_returned", detail, purchase)


def _not_returned(order: Order, purchase: Purchase, now: datetime, cause: str, detail: str) -> Order:
    """Go on with keys that Kinguin does not take back. After a try that may have succeeded a human must look first."""
    if purchase.tries:
        detail = f"It is not known whether the keys of {_about(order, purchase)} went back: {detail}"
        return _to_review(order, now, "return_unknown", detail, purchase)
    order = _with(order, replace(purchase, is_returning=False))
    order = _incident(order, now, "return_refused", f"Kinguin takes no keys back ({cause}): {detail}")
    return order if order.refunded else _owe(order, Kind.FETCH, now, purchase.purchase_id)


# Outcomes of what was asked of the delivery worker


def _keys_stored(state: Order, event: KeysStored) -> Order:
    order, owed = _settle(state, event.effect_id)
    if owed is None:
        return state
    now = event.occurred_at
    pictures = {(stored.item_id, stored.position): stored for stored in event.objects}
    keys = tuple(
        KeyState(
            item_id=item.item_id,
            position=position,
            storage_ref=picture.object_key if picture else event.object_key,
            media_type=picture.media_type if picture else "text/plain",
            created_at=now,
        )
        for item in order.items
        for position in range(1, item.quantity + 1)
        for picture in (pictures.get((item.item_id, position)),)
    )
    purchases = tuple(
        replace(purchase, status=ItemStatus.STORED, parts=tuple(replace(part, codes=()) for part in purchase.parts))
        for purchase in order.purchases
    )
    order = replace(order, purchases=purchases, keys=keys, object_key=event.object_key, stored_at=now)
    return order if order.refunded else _owe_mail(order, now)


def _mail_sent(state: Order, event: MailSent) -> Order:
    order, owed = _settle(state, event.effect_id)
    now = event.occurred_at
    order = _accepted(order, event)
    if event.message_id != order.message_id:
        return _other_mail(order, event)
    if order.mailed_at is not None or (owed is None and not order.keys):
        return order
    order = replace(order, mailed_at=now, outbox=tuple(o for o in order.outbox if o.kind is not Kind.MAIL))
    return order if order.refunded else _close(order, OrderStatus.FULFILLED, now)


def _other_mail(order: Order, event: MailSent) -> Order:
    """Tell of a mail that was given up and replaced, and was accepted after all: the buyer has two.

    Not so where the mail was replaced because it was for another address, or where it is a notice.
    """
    known = _known_mail(order, event.message_id)
    if _is_notice(event.message_id) or (known is not None and known.recipient != order.email):
        return order
    detail = f"The mail provider has taken mail {event.message_id} as well as {order.message_id}"
    if any(incident.detail == detail for incident in order.incidents):
        return order
    return _incident(order, event.occurred_at, "second_mail", detail)


# Failures


def _effect_failed(state: Order, event: EffectFailed, policy: Policy) -> Order:  # noqa: PLR0911 - one line per kind of failure
    order, owed = _settle(state, event.effect_id)
    if owed is None:
        return state
    if owed.kind in PAYMENTS:
        return _payment_effect_failed(order, owed, event, policy)
    now, why = event.occurred_at, (event.cause, event.detail)
    purchase = _purchase(order, owed.purchase_id) if owed.purchase_id else None
    if purchase is not None and owed.kind is Kind.BUY and purchase.status is ItemStatus.RESERVED:
        # A notification was faster than the failure, but only by half: whether it is bought Kinguin must tell.
        return _owe(order, Kind.LOOK_UP, now, purchase.purchase_id, wait=FIRST_LOOK_UP)
    if purchase is not None and not _still_wanted(owed.kind, purchase):
        return _buy_anew_if_asked(order, purchase.purchase_id, now)  # a notification was faster
    match event.failure:
        case Failure.UNKNOWN if purchase is not None and owed.kind in {Kind.BUY, Kind.GIVE}:
            order = _with(order, replace(purchase, tries=owed.tries, look_ups=0))
            return _owe(order, Kind.LOOK_UP, now, purchase.purchase_id, wait=FIRST_LOOK_UP)
        case Failure.TRANSIENT | Failure.UNKNOWN:
            if purchase is not None and owed.kind is Kind.RETURN and event.failure is Failure.UNKNOWN:
                order = _with(order, replace(purchase, tries=owed.tries))
            # Reads, the write-once object and a mail under its Idempotency-Key may be repeated;
            # so may a return, which Kinguin takes once.
            again = _wait_longer if owed.kind in CALLS and _is_no_try(event) else _again
            return again(order, owed, RETRIES[owed.kind], now, why, event.retry_after)
        case Failure.REFUSED:
            return _refused(order, owed, now, why)
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(event.failure)


def _still_wanted(kind: Kind, purchase: Purchase) -> bool:
    wanted = {
        Kind.BUY: {ItemStatus.BUYING},
        Kind.GIVE: {ItemStatus.RESERVED},
        Kind.LOOK_UP: {ItemStatus.BUYING, ItemStatus.RESERVED},
        Kind.FETCH: {ItemStatus.BOUGHT},
        Kind.RETURN: {ItemStatus.BOUGHT},
    }
    return purchase.status in wanted.get(kind, set())


def _is_no_try(event: EffectFailed) -> bool:
    if event.failure is not Failure.TRANSIENT:
        return False
    return event.cause in NO_TRY or (event.cause == "provider_unavailable" and event.retry_after is not None)


def _again(
    order: Order,
    owed: Owed,
    retry: Retry,
    now: datetime,
    why: tuple[str, str],
    retry_after: float | None = None,
) -> Order:
    """Owe the next try after its wait, or give up when tries or patience are used up."""
    if owed.tries >= retry.tries or now - owed.series_since >= retry.patience:
        return _refused(order, owed, now, why)
    wait = _wait(retry, owed.tries, _seed(order, owed), retry_after)
    return _once_more(order, replace(owed, tries=owed.tries + 1, waits=0), now, wait)


def _wait_longer(
    order: Order,
    owed: Owed,
    retry: Retry,
    now: datetime,
    why: tuple[str, str],
    retry_after: float | None = None,
    *,
    pace: Retry = WAITS,
) -> Order:
    """Owe the same try after a wait of `pace`, or give up when the patience of `retry` is used up."""
    if now - owed.series_since >= retry.patience:
        return _refused(order, owed, now, why)
    wait = _wait(pace, owed.waits + 1, _seed(order, owed), retry_after)
    return _once_more(order, replace(owed, waits=owed.waits + 1), now, wait)


def _once_more(order: Order, owed: Owed, now: datetime, wait: timedelta) -> Order:
    if order.refunded and owed.kind in {Kind.BUY, Kind.GIVE, Kind.MAIL}:
        return _refused(order, owed, now, ("refunded_while_buying", "The payment was refunded"))
    if owed.kind is Kind.FETCH and owed.purchase_id and _purchase(order, owed.purchase_id).is_returning:
        return _owe(order, Kind.RETURN, now, owed.purchase_id)  # an admin has asked for it meanwhile
    return _owe(
        order,
        owed.kind,
        now,
        owed.purchase_id,
        wait=wait,
        tries=owed.tries,
        waits=owed.waits,
        series_since=owed.series_since,
        notice=owed.notice,
        payment_id=owed.payment_id,
    )


def _seed(order: Order, owed: Owed) -> str:
    return f"{order.order_id}/{owed.kind}/{owed.attempt}"


def _refused(order: Order, owed: Owed, now: datetime, why: tuple[str, str]) -> Order:
    cause, detail = why
    if owed.kind is Kind.NOTICE:
        return _notice_refused(order, owed, now, why)
    if owed.kind is Kind.CHECK and cause != "payment_unconfirmed":
        cause, detail = "payment_unconfirmed", f"Payment {owed.payment_id} cannot be confirmed ({cause}): {detail}"
    if owed.kind is Kind.PAY:  # the buyer may ask for another way
        return _incident(order, now, "payment_not_created", f"There is no way to pay ({cause}): {detail}")
    if owed.purchase_id is None:
        return _to_review(order, now, cause, detail)
    return _purchase_refused(order, owed.kind, _purchase(order, owed.purchase_id), now, why)


def _purchase_refused(order: Order, kind: Kind, purchase: Purchase, now: datetime, why: tuple[str, str]) -> Order:
    cause, detail = why
    if kind is Kind.RETURN:
        return _not_returned(order, purchase, now, cause, detail)
    if kind is Kind.BUY and cause == SOLD_ALONE and len(purchase.parts) > 1:
        return _buy_alone(order, purchase, now)
    if kind is Kind.BUY:
        return _fail_purchase(order, purchase, now, cause, detail)
    if kind in {Kind.GIVE, Kind.FETCH} and purchase.reservation_id is not None and cause in ENDED_BY_SUPPLIER:
        return _ended(order, purchase, purchase.reservation_id, ENDED_BY_SUPPLIER[cause], now, detail)
    return _to_review(order, now, cause, detail, purchase)


def _buy_alone(order: Order, purchase: Purchase, now: datetime) -> Order:
    """Buy each part by itself: nothing was bought, and which product is the reason is not told."""
    first, *others = purchase.parts
    order = _with(order, replace(purchase, parts=(first,), tries=0, look_ups=0))
    order = _owe(order, Kind.BUY, now, purchase.purchase_id)
    for part in others:
        order = _begin(order, (part,), now)
    return order


def _fail_purchase(order: Order, purchase: Purchase, now: datetime, cause: str, detail: str) -> Order:
    order = _with(order, replace(purchase, status=ItemStatus.FAILED, look_ups=0))
    if order.refunded and not _at_work(order) and all(p.reservation_id is None for p in order.purchases):
        return _close(order, OrderStatus.REFUNDED, now)
    return _to_review(order, now, cause, detail, purchase)


# People and time


def _revealed(state: Order, event: KeysRevealed) -> Order:
    if not state.keys or state.revealed_at is not None:
        return state
    keys = tuple(key.model_copy(update={"viewed_at": event.occurred_at}) for key in state.keys)
    return replace(state, keys=keys, revealed_at=event.occurred_at)


def _reprocess(state: Order, event: ReprocessRequested) -> Order:
    """Go on where the order stopped: one that is not paid reads its payments again, one whose money went back stays."""
    return state if event.action_id in state.actions else _go_on(state, event.occurred_at)


def _go_on(state: Order, now: datetime) -> Order:
    if state.status is OrderStatus.NEEDS_REVIEW and state.paid_at is None:
        return _read_again(state, now)
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
        order = _resume(order, purchase, now)
    order = _deliver_when_complete(order, now)
    if any(purchase.status is not ItemStatus.STORED for purchase in order.purchases):
        return order
    order = replace(order, status=OrderStatus.DELIVERING)
    if order.mailed_at is not None:
        return _close(order, OrderStatus.FULFILLED, now)
    return _owe_mail(order, now)


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


def _resolve(state: Order, event: ReviewResolved) -> Order:
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
            return _close(order, OrderStatus.REFUNDED, now)
        case Resolution.DELIVERED_BY_HAND:
            return _close(order, OrderStatus.FULFILLED, now)
        case Resolution.CLOSE:
            return _close(order, OrderStatus.REFUNDED if order.refunded else OrderStatus.CANCELED, now)
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(event.resolution)


def _under_way(state: Order) -> tuple[Owed, ...]:
    """Return what was asked for and could still give the buyer something, or spend money."""
    asked = {Kind.BUY, Kind.GIVE, Kind.LOOK_UP, Kind.RETURN, Kind.STORE, Kind.MAIL}
    return tuple(owed for owed in state.outbox if owed.emissions and owed.kind in asked)


def _resume(order: Order, purchase: Purchase, now: datetime) -> Order:
    """Owe the next step of a purchase for which nothing is under way."""
    if any(owed.purchase_id == purchase.purchase_id for owed in order.outbox):
        return order
    purchase = replace(purchase, tries=0, look_ups=0, is_returning=False)
    order = _with(order, purchase)
    match purchase.status:
        case ItemStatus.WAITING | ItemStatus.FAILED:
            return _owe(_with(order, replace(purchase, status=ItemStatus.BUYING)), Kind.BUY, now, purchase.purchase_id)
        case ItemStatus.CANCELED:
            # Bought anew on purpose, so under a new number: the canceled one must not be taken for it.
            fresh = replace(
                purchase,
                status=ItemStatus.BUYING,
                time=purchase.time + 1,
                reservation_id=None,
                expected_at=None,
            )
            return _owe(_with(order, fresh), Kind.BUY, now, purchase.purchase_id)
        case ItemStatus.BUYING | ItemStatus.RESERVED:
            return _owe(order, Kind.LOOK_UP, now, purchase.purchase_id)
        case ItemStatus.BOUGHT:
            return _owe(order, Kind.FETCH, now, purchase.purchase_id)
        case ItemStatus.RECEIVED | ItemStatus.STORED:
            return order
        case _:  # pragma: no cover - mypy proves that this cannot be reached
            assert_never(purchase.status)


# Mails, addresses and links


def _mail_requested(state: Order, event: MailRequested) -> Order:
    """Owe one more mail, unless one that says the same is on its way already."""
    if event.action_id in state.actions or state.placed_at is None or state.erased_at is not None:
        return state
    order, now = state, event.occurred_at
    kind, recipient = event.kind, order.email
    if kind is MailKind.CONFIRM:
        if event.email is None:
            return order
        recipient = event.email
    if kind is MailKind.KEYS and not _may_open(order):
        kind = MailKind.PAGE
    if kind is MailKind.KEYS and _find(order, Kind.MAIL, None) is not None:
        return order
    return _owe_notice(order, kind, now, recipient=recipient, requested_by=event.actor)


def _email_changed(state: Order, event: EmailChanged) -> Order:
    """Write to another address from now on, and let no link open the page that the former one was sent."""
    stale = event.generation is not None and event.generation != state.generation
    if event.action_id in state.actions or state.placed_at is None or stale or state.erased_at is not None:
        return state
    now = event.occurred_at
    order = _drop_unsent_notices(state)
    order = replace(order, email=event.email, generation=order.generation + 1)
    if _may_open(order) and order.mailed_at is None:
        if order.review is not None:
            order = replace(order, review=None, status=OrderStatus.DELIVERING, working_since=now)
        return _renew_mail(order, now)
    kind = MailKind.KEYS if _may_open(order) else MailKind.PAGE
    return _owe_notice(order, kind, now, recipient=order.email, requested_by=event.actor)


def _buyer_erased(state: Order, event: BuyerErased) -> Order:
    """Owe no mail any more that nobody was asked to send yet: none of them can be addressed."""
    if event.action_id in state.actions or state.placed_at is None or state.erased_at is not None:
        return state
    return replace(_drop_unsent_notices(state), erased_at=event.occurred_at)


def _link_revoked(state: Order, event: LinkRevoked) -> Order:
    if event.action_id in state.actions or state.placed_at is None:
        return state
    order = replace(state, generation=state.generation + 1)
    # What is rendered already has the link that has just been revoked.
    return order if _find(order, Kind.MAIL, None) is None else _renew_mail(order, event.occurred_at)


def _mail_delivery_updated(state: Order, event: MailDeliveryUpdated) -> Order:
    """Believe news of a mail when it ranks above what is known. A human hears of keys that cannot be delivered."""
    known = _known_mail(state, event.message_id)
    if known is None or MAIL_RANKS[event.delivery] <= MAIL_RANKS[known.delivery]:
        return state
    told = {"delivery": event.delivery, "detail": event.detail, "delivery_at": event.occurred_at}
    if event.provider_message_id:
        told["provider_message_id"] = event.provider_message_id
    order = _with_mail(state, known.model_copy(update=told))
    if known.kind is not MailKind.KEYS or MAIL_RANKS[event.delivery] < MAIL_RANKS[MailDelivery.FAILED]:
        return order
    detail = f"Mail {event.message_id} is {event.delivery}: {event.detail}"
    return _incident(order, event.occurred_at, f"mail_{event.delivery}", detail)


def _tell_buyer(before: Order, after: Order, now: datetime) -> Order:
    """Owe a mail about what the buyer does not expect: once for each cause, and only if it stays so for a while."""
    if after is before or after.placed_at is None or after.erased_at is not None:
        return after
    if before.review is not None and after.review is None:
        after = _drop_unsent_notices(after, MailKind.REVIEW)
    kind, about = MailKind.REVIEW, ""
    # Once the keys are stored the page has them, and what is wrong is the mail: another one would not help.
    if after.review is not None and before.review is None and after.object_key is None:
        about = after.review.cause
    if after.status is not before.status and after.status in _SAD_ENDS:
        kind, about = _SAD_ENDS[after.status], after.status.value
    if not about or any((mail.kind, mail.about) == (kind, about) for mail in after.mails):
        return after
    return _owe_notice(after, kind, now, recipient=after.email, about=about, wait=NOTICE_AFTER)


_SAD_ENDS = {
    OrderStatus.CANCELED: MailKind.CANCELED,
    OrderStatus.FAILED: MailKind.CANCELED,
    OrderStatus.REFUNDED: MailKind.REFUNDED,
}


def _may_open(order: Order) -> bool:
    """Tell whether there are keys that the buyer may open."""
    return order.object_key is not None and order.status not in _SAD_ENDS and not order.refunded


def _owe_mail(order: Order, now: datetime) -> Order:
    """Owe the mail that completes the order, unless it is owed already."""
    if _known_mail(order, order.message_id) is None:
        mail = MailState(
            message_id=order.message_id, kind=MailKind.KEYS, recipient=order.email, requested_at=now, delivery_at=now
        )
        order = _with_mail(order, mail)
    return _owe(order, Kind.MAIL, now)


def _renew_mail(order: Order, now: datetime) -> Order:
    """Replace the mail that completes the order by another one: what it said is not true any more."""
    known = _known_mail(order, order.message_id)
    if known is not None and known.delivery is MailDelivery.PENDING:
        order = _with_mail(
            order, known.model_copy(update={"delivery": MailDelivery.FAILED, "detail": "replaced", "delivery_at": now})
        )
    outbox = tuple(owed for owed in order.outbox if owed.kind is not Kind.MAIL)
    return _owe_mail(replace(order, outbox=outbox, mail_number=order.mail_number + 1), now)


def _owe_notice(
    order: Order,
    kind: MailKind,
    now: datetime,
    *,
    recipient: str,
    about: str = "",
    requested_by: str = "",
    wait: timedelta = timedelta(0),
) -> Order:
    """Owe a mail that nothing waits for, unless one that says the same to the same address is on its way."""
    pending = {owed.notice for owed in order.outbox if owed.kind is Kind.NOTICE}
    for mail in order.mails:
        same = (mail.kind, mail.about, mail.recipient) == (kind, about, recipient)
        if same and _is_notice(mail.message_id) and int(mail.message_id.rpartition("/")[2]) in pending:
            return order
    number = order.notice_number + 1
    mail = MailState(
        message_id=message_id(order.order_id, number, Kind.NOTICE),
        kind=kind,
        recipient=recipient,
        about=about,
        requested_by=requested_by,
        requested_at=now,
        delivery_at=now,
    )
    order = _with_mail(replace(order, notice_number=number), mail)
    return _owe(order, Kind.NOTICE, now, wait=wait, notice=number)


def _notice_refused(order: Order, owed: Owed, now: datetime, why: tuple[str, str]) -> Order:
    """Note that a mail will not be sent. Nothing waits for it, so no human is made to look; the list of mails tells."""
    known = _known_mail(order, message_id(order.order_id, owed.notice or 0, Kind.NOTICE))
    if known is None:
        return order
    detail = ": ".join(part for part in why if part)
    told = {"delivery": MailDelivery.FAILED, "detail": detail, "delivery_at": now}
    return _with_mail(order, known.model_copy(update=told))


def _drop_unsent_notices(order: Order, kind: MailKind | None = None) -> Order:
    """Take out what nobody was asked to send yet; without a kind: of all kinds."""
    dropped = {
        owed.notice
        for owed in order.outbox
        if owed.kind is Kind.NOTICE and not owed.emissions and kind in {None, _notice(order, owed).kind}
    }
    gone = {message_id(order.order_id, number, Kind.NOTICE) for number in dropped if number is not None}
    return replace(
        order,
        outbox=tuple(o for o in order.outbox if o.kind is not Kind.NOTICE or o.notice not in dropped),
        mails=tuple(mail for mail in order.mails if mail.message_id not in gone),
    )


def _accepted(order: Order, event: MailSent) -> Order:
    """Note that the mail provider has a mail; no further try of a notice is owed then."""
    known = _known_mail(order, event.message_id)
    if known is None or known.sent_at is not None:
        return order
    told: dict[str, Any] = {"sent_at": event.occurred_at, "provider_message_id": event.provider_message_id}
    ours = known.delivery in {MailDelivery.PENDING, MailDelivery.FAILED} and known.provider_message_id is None
    if ours:  # nothing was heard of its delivery yet: what was known came from us
        told |= {"delivery": MailDelivery.SENT, "detail": "", "delivery_at": event.occurred_at}
    order = _with_mail(order, known.model_copy(update=told))
    number = int(event.message_id.rpartition("/")[2])
    outbox = tuple(o for o in order.outbox if not (_is_notice(known.message_id) and o.notice == number))
    return replace(order, outbox=outbox)


def _is_notice(message: MessageId) -> bool:
    return f"/{Kind.NOTICE}/" in message


def _known_mail(order: Order, message: MessageId) -> MailState | None:
    return next((mail for mail in order.mails if mail.message_id == message), None)


def _notice(order: Order, owed: Owed) -> MailState:
    message = message_id(order.order_id, owed.notice or 0, Kind.NOTICE)
    return next(mail for mail in order.mails if mail.message_id == message)


def _with_mail(order: Order, mail: MailState) -> Order:
    """Put a mail in, and let the oldest go for which nothing is owed."""
    if _known_mail(order, mail.message_id) is not None:
        return replace(order, mails=tuple(mail if m.message_id == mail.message_id else m for m in order.mails))
    mails = (*order.mails, mail)
    owed = {message_id(order.order_id, o.notice, Kind.NOTICE) for o in order.outbox if o.notice is not None}
    spare = [m for m in mails if m.message_id not in owed | {mail.message_id, order.message_id}]
    gone = {m.message_id for m in spare[: max(0, len(mails) - REMEMBERED_MAILS)]}
    return replace(order, mails=tuple(m for m in mails if m.message_id not in gone))


def _timer_fired(state: Order, event: TimerFired, policy: Policy) -> Order:
    now = event.occurred_at
    if state.status is OrderStatus.AWAITING_PAYMENT and state.close_at is not None and now >= state.close_at:
        return _unpaid(state, now)
    stuck_at = _stuck_at(state, policy)
    if stuck_at is not None and now >= stuck_at:
        return _to_review(state, now, "stuck", f"{state.status} since {state.working_since}")
    return state


def _unpaid(order: Order, now: datetime) -> Order:
    """Nobody has paid in time. A payment that is on its way is waited for a while longer."""
    moving = next((p for p in order.payments if p.status in MOVING), None)
    if moving is not None and order.placed_at is not None:
        if now < order.placed_at + UNPAID_FOR + MOVING_FOR:
            return replace(order, close_at=now + _DAY)
        detail = f"Payment {moving.payment_id} is {moving.status} since {moving.updated_at} and does not end"
        return _to_review(order, now, "payment_stalled", detail)
    order = replace(order, outbox=tuple(o for o in order.outbox if o.emissions or o.kind not in {Kind.PAY, Kind.FIND}))
    failed = bool(order.payments) and order.payments[-1].status is PaymentStatus.FAILED
    return _close(order, OrderStatus.FAILED if failed else OrderStatus.CANCELED, now)


def _stuck_at(state: Order, policy: Policy) -> datetime | None:
    """Return when an order in work counts as stuck."""
    if state.status not in {OrderStatus.PURCHASING, OrderStatus.DELIVERING} or state.working_since is None:
        return None
    releases = (p.expected_at for p in state.purchases if p.status is ItemStatus.BOUGHT)
    return max([state.working_since, *(at for at in releases if at is not None)]) + policy.stuck_after


# --- What is owed, and when to look again ---------------------------------------------------------


def pending(state: Order) -> tuple[Effect, ...]:
    """Return all effects that were asked for and whose outcome has not come back."""
    return tuple(_effect(state, owed) for owed in state.outbox if owed.emissions)


def pending_count(state: Order) -> int:
    """Return how many effects `pending` has, without making them."""
    return sum(owed.emissions > 0 for owed in state.outbox)


def sent_by(state: Order, event: OrderEvent) -> tuple[Effect, ...]:
    """Return those of the pending effects that were sent because of `event`.

    After a crash the events whose outputs may be lost are handled again, and change nothing where the state
    was stored: this is what each of them has to send once more.
    """
    return tuple(_effect(state, owed) for owed in state.outbox if owed.sent_at == event.occurred_at)


def wake_at(state: Order, policy: Policy = DEFAULT_POLICY) -> datetime | None:
    """Return when the order wants a `timer.fired` event, or None when it waits for nothing but others."""
    times = [owed.due_at for owed in state.outbox]
    if state.status is OrderStatus.AWAITING_PAYMENT and state.close_at is not None:
        times.append(state.close_at)
    times += [at for at in (_stuck_at(state, policy), leaves_at(state, policy)) if at is not None]
    return min(times, default=None)


def leaves_at(state: Order, policy: Policy) -> datetime | None:
    """Return when the order has been kept for long enough: closed, or never placed after all."""
    since = state.time if state.status is OrderStatus.UNPLACED else state.closed_at
    return None if policy.retention is None or since is None else since + policy.retention


def _effect(order: Order, owed: Owed) -> Effect:
    """Return the effect that an entry of the outbox stands for: always the same for the same entry."""
    identity = _effect_id(order.order_id, owed)
    about: dict[str, Any] = {
        "event_id": identity,
        "effect_id": identity,
        "order_id": order.order_id,
        "occurred_at": owed.since,
        "attempt": owed.attempt,
    }
    if owed.kind in PAYMENTS:
        return _payment_effect(order, owed, about)
    if owed.purchase_id is not None:
        purchase = _purchase(order, owed.purchase_id)
        return _purchase_effect(order, purchase, owed.kind, about | {"purchase_id": purchase.purchase_id})
    if owed.kind is Kind.STORE:
        keys = tuple(ItemKeys(item_id=i.item_id, title=i.title, codes=_codes(order, i.item_id)) for i in order.items)
        return StoreKeys(**about, items=keys)
    about["items"] = tuple(MailItem(title=i.title, quantity=i.quantity) for i in order.items)
    about["link_generation"] = order.generation
    pictures = tuple(key.storage_ref for key in order.keys if key.storage_ref != order.object_key)
    if owed.kind is Kind.NOTICE:
        mail = _notice(order, owed)
        told = {"message_id": mail.message_id, "kind": mail.kind, "email": mail.recipient, "about": mail.about}
        if mail.kind is not MailKind.KEYS:
            return SendMail(**about, **told, object_key="")
        return SendMail(**about, **told, object_key=order.object_key or "", pictures=pictures)
    return SendMail(
        **about,
        message_id=order.message_id,
        email=order.email,
        object_key=order.object_key or "",
        pictures=pictures,
    )


def _payment_effect(order: Order, owed: Owed, about: dict[str, Any]) -> Effect:
    if owed.kind is Kind.PAY:
        placed_at = order.placed_at or owed.since  # only a placed order is to be paid
        coin = order.pay_currency
        return CreatePayment(
            **about, amount=order.total, currency=order.currency, pay_currency=coin, placed_at=placed_at
        )
    if owed.payment_id is None:
        invoices = [offer.invoice_id for offer in order.offers if offer.invoice_id is not None]
        return FindPayments(**about, invoice_id=invoices[-1])
    known = next((p for p in order.payments if p.payment_id == owed.payment_id), None)
    return CheckPayment(
        **about,
        payment_id=owed.payment_id,
        known_status=known.status if known else None,
        urgent=known is not None and known.verdict is PaymentVerdict.CHECKING,
    )


def _purchase_effect(order: Order, purchase: Purchase, kind: Kind, about: dict[str, Any]) -> Effect:
    reservation = purchase.reservation_id or ReservationId("")  # never empty for the kinds that use it
    match kind:
        case Kind.BUY:
            return BuyKey(
                **about,
                external_id=purchase.external_id,
                lines=_lines(order, purchase),
                currency=order.currency,
            )
        case Kind.GIVE:
            return GiveReservation(**about, reservation_id=reservation)
        case Kind.LOOK_UP:
            return LookUpPurchase(**about, external_id=purchase.external_id)
        case Kind.RETURN:
            return ReturnKeys(**about, reservation_id=reservation)
        case _:
            return FetchCodes(
                **about,
                reservation_id=reservation,
                external_id=purchase.external_id,
                lines=_lines(order, purchase),
                currency=order.currency,
            )


def _lines(order: Order, purchase: Purchase) -> tuple[PurchaseLine, ...]:
    items = {item.item_id: item for item in order.items}
    return tuple(
        PurchaseLine(
            item_id=part.item_id,
            product_id=items[part.item_id].product_id,
            quantity=part.quantity,
            unit_price=items[part.item_id].unit_price,
            offer_id=items[part.item_id].offer_id,
        )
        for part in purchase.parts
    )


def _codes(order: Order, item_id: ItemId) -> tuple[SealedCode, ...]:
    """Return the codes of an item, in the order of the purchases."""
    parts = (part for purchase in order.purchases for part in purchase.parts)
    return tuple(code for part in parts if part.item_id == item_id for code in part.codes)


# --- Shared small functions -----------------------------------------------------------------------


def _effect_id(order: OrderId, owed: Owed) -> EffectId:
    return effect_id(owed.purchase_id or order, owed.kind, owed.attempt)


def _about(order: Order, purchase: Purchase) -> str:
    """Name the items of a purchase for people."""
    positions = {item.item_id: item.position for item in order.items}
    numbers = ", ".join(str(positions[part.item_id]) for part in purchase.parts)
    return f"item {numbers}" if len(purchase.parts) == 1 else f"items {numbers}"


def _purchase(order: Order, purchase_id: PurchaseId) -> Purchase:
    return next(purchase for purchase in order.purchases if purchase.purchase_id == purchase_id)


def _known_purchase(order: Order, purchase_id: PurchaseId) -> Purchase | None:
    """Return a purchase that an event names, or None when there is none: events of others are not to be trusted."""
    return next((purchase for purchase in order.purchases if purchase.purchase_id == purchase_id), None)


def _with(order: Order, purchase: Purchase) -> Order:
    others = (purchase if each.purchase_id == purchase.purchase_id else each for each in order.purchases)
    return replace(order, purchases=tuple(others))


def _find(
    order: Order,
    kind: Kind,
    purchase_id: PurchaseId | None,
    notice: int | None = None,
    payment_id: PaymentId | None = None,
) -> Owed | None:
    return next((o for o in order.outbox if o.key == (kind, purchase_id, notice, payment_id)), None)


def _at_work(order: Order) -> bool:
    """Tell whether something is owed that the order's end waits for: more than mails, or news of payments."""
    return any(owed.kind not in {Kind.NOTICE, *PAYMENTS} for owed in order.outbox)


def _put(order: Order, owed: Owed) -> Order:
    return replace(order, outbox=tuple(owed if o.key == owed.key else o for o in order.outbox))


def _without(order: Order, owed: Owed | None) -> Order:
    return replace(order, outbox=tuple(o for o in order.outbox if o is not owed))


def _drop(order: Order, purchase_id: PurchaseId, *kinds: Kind) -> Order:
    return replace(order, outbox=tuple(o for o in order.outbox if o.purchase_id != purchase_id or o.kind not in kinds))


def _drop_unsent(order: Order, purchase_id: PurchaseId, kind: Kind) -> Order:
    return replace(
        order,
        outbox=tuple(o for o in order.outbox if o.purchase_id != purchase_id or o.kind is not kind or o.emissions),
    )


def _settle(state: Order, effect: EffectId) -> tuple[Order, Owed | None]:
    """Take an effect out of the outbox; None when it is not (or no longer) in there."""
    owed = next((o for o in state.outbox if _effect_id(state.order_id, o) == effect), None)
    if owed is None:
        return state, None
    return replace(state, outbox=tuple(o for o in state.outbox if o is not owed)), owed


def _owe(
    order: Order,
    kind: Kind,
    now: datetime,
    purchase_id: PurchaseId | None = None,
    *,
    wait: timedelta = timedelta(0),
    tries: int = 1,
    waits: int = 0,
    series_since: datetime | None = None,
    notice: int | None = None,
    payment_id: PaymentId | None = None,
) -> Order:
    """Put the next attempt of an effect into the outbox, unless one of its kind is owed already."""
    if _find(order, kind, purchase_id, notice, payment_id) is not None:
        return order
    counter = f"{purchase_id or order.order_id}/{kind}"
    attempt = order.attempts.get(counter, 0) + 1
    due_at, since = now + wait, series_since or now
    owed = Owed(kind, purchase_id, attempt, now, due_at, since, tries, waits, notice=notice, payment_id=payment_id)
    return replace(order, outbox=(*order.outbox, owed), attempts=order.attempts | {counter: attempt})


_RESERVATION_TIME = {
    ReservationStatus.GIVEN: "given_at",
    ReservationStatus.DELIVERED: "delivered_at",
    ReservationStatus.CANCELED: "ended_at",
    ReservationStatus.REVERSED: "ended_at",
}


def _record(
    order: Order, purchase: Purchase, reservation: ReservationId, status: ReservationStatus, now: datetime
) -> Order:
    """Note how far a reservation came. It never goes back."""
    known = next((r for r in order.reservations if r.reservation_id == reservation), None)
    ranks = list(ReservationStatus)
    if known is not None and ranks.index(known.status) >= ranks.index(status):
        return order
    items = tuple(part.item_id for part in purchase.parts)
    entry = known or ReservationState(
        reservation_id=reservation,
        purchase_id=purchase.purchase_id,
        item_id=items[0],
        item_ids=items,
        status=status,
        reserved_at=now,
    )
    times = {_RESERVATION_TIME[status]: now} if status in _RESERVATION_TIME else {}
    entry = entry.model_copy(update={"status": status} | times)
    others = tuple(r for r in order.reservations if r.reservation_id != reservation)
    return replace(order, reservations=(*others, entry))


def _to_review(order: Order, now: datetime, cause: str, detail: str, purchase: Purchase | None = None) -> Order:
    """Let a human decide. A closed order stays closed, so there it is an incident."""
    if order.closed:
        return _incident(order, now, cause, detail)
    if order.review is not None and order.paid_at is not None:
        return _incident(order, now, cause, detail)  # the first reason stands; later ones are listed
    first = None if purchase is None else purchase.parts[0].item_id
    review = Review(cause=cause, detail=detail, item_id=first, since=now)
    return replace(order, status=OrderStatus.NEEDS_REVIEW, review=review)


def _incident(order: Order, now: datetime, cause: str, detail: str) -> Order:
    return replace(order, incidents=(*order.incidents, Incident(cause=cause, detail=detail, at=now)))


def _close(order: Order, status: OrderStatus, now: datetime) -> Order:
    if order.closed:
        return order
    return replace(order, status=status, review=None, closed_at=now, close_at=None, working_since=None)


def _wait(retry: Retry, tries: int, seed: str, at_least: float | None = None) -> timedelta:
    """Return the wait after the `tries`-th try, with jitter that depends on the seed alone.

    `at_least` is what the other side asked for, in seconds; more than an hour is not obeyed.
    """
    plain: timedelta = min(retry.base * 2 ** min(tries - 1, 30), retry.cap)
    plain = max(plain, timedelta(seconds=min(at_least or 0, 3600)))
    jitter = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") / 2**32
    return plain + plain / 4 * jitter
