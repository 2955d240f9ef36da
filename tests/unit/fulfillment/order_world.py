"""A small world around one order: events to hand in, and a provider that keeps its own books."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bitloot.contracts.effects import (
    BuyKey,
    CheckPayment,
    CreatePayment,
    Effect,
    FetchCodes,
    FindPayments,
    GiveReservation,
    LookUpPurchase,
    PurchaseLine,
    SendMail,
    StoreKeys,
)
from bitloot.contracts.events import (
    BuyerErased,
    CodesPending,
    CodesReceived,
    EffectFailed,
    EmailChanged,
    Failure,
    FoundReservation,
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
    OrderItem,
    OrderPlaced,
    PaymentCreated,
    PaymentFacts,
    PaymentInstructions,
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
from bitloot.ids import (
    EventId,
    MessageId,
    OrderId,
    PaymentId,
    ProductId,
    ReservationId,
    content_id,
    item_id,
    order_id,
    outcome_id,
)
from fulfillment.order import DEFAULT_POLICY, Order, Policy, decide, wake_at
from tests.fakes.buyers import sealed as sealed_text

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = order_id("a test order")
INVOICE = PaymentInstructions(pay_url="https://pay.example.test/1", invoice_id="4522625843")


def placed(*quantities: int, order: OrderId = ORDER, at: datetime = START, **facts) -> OrderPlaced:
    items = tuple(
        OrderItem(
            item_id=item_id(order, n),
            product_id=ProductId(f"product-{n}"),
            title=f"Game {n}",
            quantity=quantity,
            unit_price=Decimal("5.00"),
        )
        for n, quantity in enumerate(quantities or (1,), start=1)
    )
    return OrderPlaced(
        event_id=content_id("shop", order),
        occurred_at=at,
        order_id=order,
        email=address("buyer@example.com", order),
        currency="eur",
        items=items,
        total=sum((i.unit_price * i.quantity for i in items), Decimal(0)),
        request_hash="0" * 64,
        **{"payment_instructions": INVOICE} | facts,
    )


def payment(status: PaymentStatus, *, at: datetime = START, payment_id: str = "5000000001", **facts) -> PaymentUpdated:
    facts = {
        "invoice_id": INVOICE.invoice_id,
        "price_amount": Decimal("5.00"),
        "price_currency": "eur",
        "pay_amount": Decimal("0.001"),
        "pay_currency": "btc",
        "actually_paid": Decimal("0.001") if status is PaymentStatus.FINISHED else Decimal(0),
    } | facts
    return PaymentUpdated(
        event_id=content_id("nowpayments", payment_id, status, *facts.values()),
        occurred_at=at,
        order_id=ORDER,
        payment_id=PaymentId(payment_id),
        status=status,
        provider_status=status,
        **facts,
    )


def failed(effect: Effect, failure: Failure, *, at: datetime, cause: str = "timeout") -> EffectFailed:
    return EffectFailed(
        event_id=outcome_id(effect.effect_id, "failed"),
        occurred_at=at,
        order_id=effect.order_id,
        effect_id=effect.effect_id,
        purchase_id=getattr(effect, "purchase_id", None),
        failure=failure,
        cause=cause,
    )


def reprocess(action: str, *, at: datetime) -> ReprocessRequested:
    return ReprocessRequested(
        event_id=EventId(f"reprocess/{action}"), occurred_at=at, order_id=ORDER, action_id=action, actor="admin"
    )


def resolve(action: str, resolution: Resolution, *, at: datetime) -> ReviewResolved:
    return ReviewResolved(
        event_id=EventId(f"resolve/{action}"),
        occurred_at=at,
        order_id=ORDER,
        action_id=action,
        actor="ada",
        resolution=resolution,
        reason="as agreed with the buyer",
    )


def mail_requested(action: str, *, at: datetime, kind: MailKind = MailKind.KEYS, **facts) -> MailRequested:
    return MailRequested(
        event_id=EventId(f"mail/{action}"),
        occurred_at=at,
        order_id=ORDER,
        action_id=action,
        actor=facts.pop("actor", "buyer"),
        kind=kind,
        **facts,
    )


def address(plain: str, order: OrderId = ORDER) -> str:
    """Return a mail address as records of an order carry it."""
    return sealed_text(order, plain)


def email_changed(action: str, email: str, *, at: datetime, generation: int | None = None) -> EmailChanged:
    return EmailChanged(
        event_id=EventId(f"email/{action}"),
        occurred_at=at,
        order_id=ORDER,
        action_id=action,
        actor="buyer",
        email=email,
        generation=generation,
    )


def buyer_erased(action: str, *, at: datetime) -> BuyerErased:
    return BuyerErased(
        event_id=EventId(f"erased/{action}"), occurred_at=at, order_id=ORDER, action_id=action, actor="admin"
    )


def link_revoked(action: str, *, at: datetime) -> LinkRevoked:
    return LinkRevoked(
        event_id=EventId(f"link/{action}"), occurred_at=at, order_id=ORDER, action_id=action, actor="admin"
    )


def mail_news(message: str, delivery: MailDelivery, *, at: datetime, detail: str = "") -> MailDeliveryUpdated:
    return MailDeliveryUpdated(
        event_id=EventId(f"resend/{message}/{delivery}"),
        occurred_at=at,
        order_id=ORDER,
        message_id=MessageId(message),
        provider_message_id="m",
        delivery=delivery,
        detail=detail,
    )


def facts_of(event: PaymentUpdated) -> PaymentFacts:
    return PaymentFacts(**event.model_dump(include=set(PaymentFacts.model_fields)))


def sealed(*names: str) -> tuple[SealedCode, ...]:
    return tuple(SealedCode(key_id="test", box=name) for name in names)


@dataclass
class Reservation:
    """What the provider's own books say of one reservation."""

    reservation_id: ReservationId
    external_id: str
    lines: tuple[PurchaseLine, ...]
    given: bool = False
    codes_ready: bool = False

    def codes(self) -> tuple[SealedCode, ...]:
        return tuple(code for line in self.delivered() for code in line.codes)

    def delivered(self) -> tuple[LineCodes, ...]:
        return tuple(
            LineCodes(
                item_id=line.item_id,
                codes=sealed(*(f"{self.reservation_id}/{line.product_id}/{n}" for n in range(line.quantity))),
            )
            for line in self.lines
        )


@dataclass
class World:
    """One order, the provider, the worker's ledger and the clock."""

    order: Order = field(default_factory=lambda: Order(order_id=ORDER))
    now: datetime = START
    reservations: list[Reservation] = field(default_factory=list)
    outcomes: dict[str, OrderEvent] = field(default_factory=dict)
    sent: dict[str, Effect] = field(default_factory=dict)
    mails: set[str] = field(default_factory=set)
    notices: list[SendMail] = field(default_factory=list)
    history: list[OrderEvent] = field(default_factory=list)
    payments: dict[str, PaymentFacts] = field(default_factory=dict)
    """What NOWPayments says when it is asked: what it last told, unless a test sets something else."""

    def pay(self, event: PaymentUpdated, policy: Policy = DEFAULT_POLICY) -> tuple[Effect, ...]:
        """Tell of a payment, and let NOWPayments say the same when the order asks; returns what follows from that."""
        effects = self.tell(event, policy)
        checks = [effect for effect in effects if isinstance(effect, CheckPayment)]
        others = tuple(effect for effect in effects if not isinstance(effect, CheckPayment))
        return others + tuple(follows for check in checks for follows in self.tell(self.outcome(check), policy))

    def tell(self, event: OrderEvent, policy: Policy = DEFAULT_POLICY) -> tuple[Effect, ...]:
        """Hand an event to the order, as the agent does."""
        self.history.append(event)
        if isinstance(event, PaymentUpdated) and event.source == "notification":
            self.payments[event.payment_id] = facts_of(event)
        self.order, effects = decide(self.order, event, policy)
        for effect in effects:
            self.sent[effect.effect_id] = effect
        return effects

    def fire_timer(self, at: datetime | None = None) -> tuple[Effect, ...]:
        """Let the order's own time come."""
        due = at or wake_at(self.order)
        assert due is not None
        self.now = max(self.now, due)
        return self.tell(
            TimerFired(event_id=EventId(f"timer/{self.now.isoformat()}"), occurred_at=self.now, order_id=ORDER)
        )

    def outcome(self, effect: Effect, how: str = "ok") -> OrderEvent:
        """Return what the worker reports for an effect: the first outcome is recorded and stands.

        `how`: `ok`, `transient` (no effect), `refused` (no effect), `lost` (effect, answer lost),
        `unknown` (no effect, answer lost), `half` (of a purchase only the reservation, answer lost).
        """
        self.now += timedelta(milliseconds=50)
        repeatable = isinstance(effect, LookUpPurchase | FetchCodes | StoreKeys | CheckPayment | FindPayments)
        if effect.effect_id not in self.outcomes or repeatable:
            self.outcomes[effect.effect_id] = self._perform(effect, how)
        return self.outcomes[effect.effect_id]

    def _perform(self, effect: Effect, how: str) -> OrderEvent:
        failures = {"transient": Failure.TRANSIENT, "refused": Failure.REFUSED, "unknown": Failure.UNKNOWN}
        if how in failures:
            return failed(effect, failures[how], at=self.now)
        happened = self._effect(effect)
        if how == "half" and isinstance(effect, BuyKey):
            self.reservations[-1].given = False
        return failed(effect, Failure.UNKNOWN, at=self.now) if how in {"lost", "half"} else happened

    def _effect(self, effect: Effect) -> OrderEvent:  # noqa: C901, PLR0911, PLR0912 - one return per kind
        about = {
            "event_id": outcome_id(effect.effect_id, "outcome"),
            "occurred_at": self.now,
            "order_id": effect.order_id,
            "effect_id": effect.effect_id,
        }
        match effect:
            case CreatePayment():
                return PaymentCreated(**about, payment_instructions=INVOICE)
            case CheckPayment():
                if effect.payment_id not in self.payments:
                    return failed(effect, Failure.REFUSED, at=self.now, cause="not_found")
                facts = self.payments[effect.payment_id].model_dump()
                return PaymentUpdated(**about, **facts, source="poll")
            case FindPayments():
                listed = tuple(p for p in self.payments.values() if p.invoice_id == effect.invoice_id)
                return PaymentsFound(**about, payments=listed)
            case BuyKey():
                identity = ReservationId(f"r{len(self.reservations) + 1}")
                self.reservations.append(Reservation(identity, effect.external_id, effect.lines, given=True))
                return PurchasePlaced(**about, purchase_id=effect.purchase_id, reservation_id=identity, given=True)
            case GiveReservation():
                self._known(effect.reservation_id).given = True
                return ReservationGiven(**about, purchase_id=effect.purchase_id, reservation_id=effect.reservation_id)
            case LookUpPurchase():
                found = [r for r in self.reservations if r.external_id == effect.external_id]
                return PurchasesFound(
                    **about,
                    purchase_id=effect.purchase_id,
                    reservations=tuple(FoundReservation(reservation_id=r.reservation_id, given=r.given) for r in found),
                )
            case FetchCodes():
                reservation = self._known(effect.reservation_id)
                facts = about | {"purchase_id": effect.purchase_id, "reservation_id": effect.reservation_id}
                if not reservation.codes_ready:
                    return CodesPending(**facts)
                return CodesReceived(**facts, lines=reservation.delivered())
            case StoreKeys():
                count = sum(len(i.codes) for i in effect.items)
                return KeysStored(**about, object_key=f"keys/{ORDER}.json", sha256="0" * 64, codes=count)
            case SendMail():
                if "/notice/" not in effect.message_id:
                    self.mails.add(effect.message_id)  # the Idempotency-Key makes a repeat the same mail
                elif all(notice.message_id != effect.message_id for notice in self.notices):
                    self.notices.append(effect)
                return MailSent(**about, message_id=effect.message_id, provider_message_id="m")

    def _known(self, identity: ReservationId) -> Reservation:
        return next(r for r in self.reservations if r.reservation_id == identity)

    def notice(self, reservation: Reservation, notice: Notice, *, codes: bool = False) -> KinguinNotified:
        return KinguinNotified(
            event_id=content_id("kinguin", reservation.reservation_id, notice, codes),
            occurred_at=self.now,
            order_id=ORDER,
            notice=notice,
            provider_status=notice,
            reservation_id=reservation.reservation_id,
            external_id=reservation.external_id,
            codes=reservation.codes() if codes else (),
        )

    def settle(self, effects: tuple[Effect, ...]) -> None:
        """Do all that was asked for, with success, until nothing more is asked for."""
        queue = list(effects)
        while queue:
            queue.extend(self.tell(self.outcome(queue.pop(0))))


def paid_world(*quantities: int) -> tuple[World, tuple]:
    world = World()
    world.tell(placed(*quantities))
    total = Decimal(5) * sum(quantities or (1,))
    return world, world.pay(payment(PaymentStatus.FINISHED, price_amount=total))


def bought_world() -> tuple[World, tuple]:
    """An order of one item whose purchase is placed; its codes are not there yet."""
    world, (buy,) = paid_world()
    world.tell(world.outcome(buy))
    return world, world.fire_timer()


def given_up(buy, *, at, reservation="r1", given=True):
    """Return what a worker reports that had been given up: the ledger holds "abandoned"."""
    return PurchasePlaced(
        event_id=EventId(f"{outcome_id(buy.effect_id, 'placed')}/late"),
        occurred_at=at,
        order_id=ORDER,
        effect_id=buy.effect_id,
        purchase_id=buy.purchase_id,
        reservation_id=ReservationId(reservation),
        given=given,
    )
