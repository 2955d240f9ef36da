"""Whatever happens, in whatever order and however often: what must hold of every order."""

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitloot.contracts.effects import BuyKey, Effect, FetchCodes, LookUpPurchase, StoreKeys
from bitloot.contracts.events import (
    Failure,
    MailDelivery,
    MailKind,
    Notice,
    OrderEvent,
    PaymentStatus,
    Resolution,
    ReviewResolved,
)
from bitloot.contracts.state import CLOSED, ItemStatus, OrderStatus
from fulfillment.codec import order_from_bytes, order_to_bytes
from fulfillment.order import Order, decide, pending, sent_by, wake_at
from tests.unit.fulfillment.order_world import (
    START,
    Reservation,
    World,
    address,
    buyer_erased,
    email_changed,
    failed,
    link_revoked,
    mail_news,
    mail_requested,
    payment,
    placed,
    reprocess,
    resolve,
)

HOW = ["ok", "ok", "ok", "transient", "refused", "lost", "unknown", "half"]
UNDER_WAY = {ItemStatus.BUYING, ItemStatus.RESERVED, ItemStatus.BOUGHT}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "event",
                "effect",
                "effect",
                "silent",
                "given up",
                "late",
                "again",
                "timer",
                "ready",
                "notice",
                "reprocess",
                "resolve",
                "buyer",
            ]
        ),
        st.integers(0, 999),
    ),
    max_size=60,
)


def delivered_by_hand(run: "Run") -> bool:
    """Whether an admin has ended the order so: then its keys came from elsewhere."""
    accepted = {answer.action_id for answer in run.world.order.answers if answer.accepted}
    return any(
        isinstance(event, ReviewResolved)
        and event.resolution is Resolution.DELIVERED_BY_HAND
        and event.action_id in accepted
        for event in run.world.history
    )


def opening(world: World, quantities: list[int]) -> list:
    total = sum(quantities) * 5
    price = {"price_amount": f"{total}.00"}
    return [
        placed(*quantities),
        *(
            payment(status, **price)
            for status in (PaymentStatus.WAITING, PaymentStatus.CONFIRMING, PaymentStatus.FINISHED)
        ),
        payment(PaymentStatus.FINISHED, payment_id="5000000002", **price),
        payment(PaymentStatus.EXPIRED, payment_id="5000000003", **price),
        payment(PaymentStatus.FINISHED, payment_id="5000000004", price_amount="1.00"),
    ]


def check(before: Order, after: Order, effects: tuple, event) -> None:
    owed = {e.effect_id: e for e in pending(after)}
    assert all(owed.get(e.effect_id) == e for e in effects), "an effect outside the outbox"
    buys = [e for e in pending(after) if isinstance(e, BuyKey)]
    assert len({b.purchase_id for b in buys}) == len(buys), "two purchases of one item under way"
    if after.status in {OrderStatus.PURCHASING, OrderStatus.DELIVERING} and not after.refunded:
        under_way = {o.purchase_id for o in after.outbox}
        idle = [i.purchase_id for i in after.purchases if i.status in UNDER_WAY and i.purchase_id not in under_way]
        assert not idle, "an item is under way, and nothing is owed that would move it on"
    if after.status in {OrderStatus.AWAITING_PAYMENT, OrderStatus.PURCHASING, OrderStatus.DELIVERING}:
        assert wake_at(after) is not None, "an order that is not at its end waits for nothing"
    assert before.time is None or after.time >= before.time, "the order's time went back"
    if before.closed:
        assert after.status is before.status, "a closed order changed its status"
        assert not any(
            isinstance(e, BuyKey) and e.effect_id not in {p.effect_id for p in pending(before)} for e in effects
        )
    again, more = decide(after, event)
    assert again is after, "a replay changed the state"
    assert more == ()
    assert {e.effect_id for e in effects} <= {e.effect_id for e in sent_by(after, event)}, (
        "a replay would not send again what was sent"
    )
    assert order_from_bytes(order_to_bytes(after)) == after, "the table would give back another order"


class Run:
    def __init__(self, quantities: list[int]) -> None:
        self.world = World()
        self.inbox = opening(self.world, quantities)
        self.late: list[OrderEvent] = []

    def tell(self, event) -> None:
        before = self.world.order
        effects = self.world.tell(event)
        check(before, self.world.order, effects, event)

    def step(self, action: str, n: int) -> None:  # noqa: C901 - one branch for each thing that may happen
        world = self.world
        world.now += timedelta(milliseconds=10)
        if action == "event" and self.inbox:
            skew = timedelta(minutes=[0, 0, -90, 90][n % 4])  # of the machine that has dated it
            event = self.inbox.pop(n % len(self.inbox))
            self.tell(event.model_copy(update={"occurred_at": world.now + skew}))
        elif action in {"given up", "late"}:
            self.late_worker(action, n)
        elif action == "again" and world.history:
            self.tell(world.history[n % len(world.history)])
        elif action == "effect" and world.sent:
            effect = list(world.sent.values())[n % len(world.sent)]
            self.tell(world.outcome(effect, HOW[n % len(HOW)]))
        elif action == "silent" and world.sent:  # it happens, and others tell of it before the worker does
            world.outcome(list(world.sent.values())[n % len(world.sent)], HOW[n // 7 % len(HOW)])
        elif action == "timer" and wake_at(world.order) is not None:
            before = world.order
            effects = world.fire_timer()
            check(before, world.order, effects, world.history[-1])
        elif action in {"reprocess", "resolve"}:
            decision = resolve(f"decision {n}", list(Resolution)[n % len(Resolution)], at=world.now)
            self.tell(decision if action == "resolve" else reprocess(f"click {n}", at=world.now))
        elif action == "buyer":
            self.tell(self.some_wish(n))
        elif action in {"ready", "notice"} and world.reservations:
            reservation = world.reservations[n % len(world.reservations)]
            reservation.codes_ready |= action == "ready"
            if action == "notice":
                self.tell(self.some_notice(reservation, n))

    def late_worker(self, action: str, n: int) -> None:
        if action == "late" and self.late:
            self.tell(self.late.pop(n % len(self.late)))
        elif action == "given up" and self.world.sent:
            self.give_up(list(self.world.sent.values())[n % len(self.world.sent)], HOW[n // 7 % len(HOW)])

    def give_up(self, effect: Effect, how: str) -> None:
        """Let a worker do something and not come back in time: others tell that nobody knows, and it tells later."""
        if effect.effect_id in self.world.outcomes or isinstance(effect, LookUpPurchase | FetchCodes | StoreKeys):
            return
        outcome = self.world.outcome(effect, how)
        standing = failed(effect, Failure.UNKNOWN, at=self.world.now, cause="abandoned")
        self.world.outcomes[effect.effect_id] = standing
        self.tell(standing)
        self.late.append(outcome.model_copy(update={"event_id": f"{outcome.event_id}/late"}))

    def some_notice(self, reservation: Reservation, n: int):
        notice = [Notice.RESERVE, Notice.GIVE, Notice.DELIVERED][n % 3]
        return self.world.notice(reservation, notice, codes=reservation.codes_ready and n % 2 == 0)

    def some_wish(self, n: int):
        """Return what a buyer, an admin or the mail provider may tell of the order's mails."""
        now, mails = self.world.now, self.world.order.mails
        match n % 6:
            case 0:
                return mail_requested(f"mail {n}", at=now, kind=[MailKind.KEYS, MailKind.PAGE, MailKind.LOST][n % 3])
            case 1:
                return email_changed(f"email {n}", address(f"buyer{n}@example.com"), at=now)
            case 2:
                return link_revoked(f"link {n}", at=now)
            case 3:
                return buyer_erased(f"erase {n}", at=now)
            case _:
                message = mails[n % len(mails)].message_id if mails else "nobody's"
                return mail_news(message, list(MailDelivery)[n % len(MailDelivery)], at=now)

    def heal(self) -> None:
        """Let all that is still to come arrive, with every provider well."""
        for event in (*self.inbox, *self.late):
            self.tell(event.model_copy(update={"occurred_at": self.world.now}))
        for _ in range(400):
            for reservation in self.world.reservations:
                reservation.codes_ready = True
            owed = pending(self.world.order)
            if owed:
                self.tell(self.world.outcome(owed[0]))
            elif wake_at(self.world.order) is not None and not self.world.order.closed:
                self.world.fire_timer()
            else:
                return
        raise AssertionError(f"the order never comes to rest: {self.world.order}")


def given_purchases(world: World) -> dict[str, int]:
    counts: dict[str, int] = {}
    for r in world.reservations:
        if r.given:
            counts[r.external_id] = counts.get(r.external_id, 0) + 1
    return counts


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(quantities=st.lists(st.integers(1, 3), min_size=1, max_size=3), steps=STEPS)
def test_any_order_of_events_buys_each_item_at_most_once_and_comes_to_rest(quantities, steps):
    run = Run(quantities)
    for action, n in steps:
        run.step(action, n)
    run.heal()
    order, world = run.world.order, run.world
    assert all(count == 1 for count in given_purchases(world).values()), world.reservations
    assert len(world.mails) <= order.mail_number
    assert order.status in CLOSED | {OrderStatus.NEEDS_REVIEW}  # refunded: an admin has said so
    if order.status is OrderStatus.FULFILLED and not delivered_by_hand(run):
        assert all(
            purchase.status is ItemStatus.STORED and not any(part.codes for part in purchase.parts)
            for purchase in order.purchases
        )
        assert len(order.keys) == sum(quantities)
        assert f"{order.order_id}/mail/{order.mail_number}" in world.mails
        assert order.mail_number == 1 or any(a.startswith(("email", "link", "click")) for a in order.actions)
    if order.status is OrderStatus.NEEDS_REVIEW:
        assert order.review is not None


@settings(max_examples=100, deadline=None)
@given(quantities=st.lists(st.integers(1, 3), min_size=1, max_size=3), seed=st.permutations(range(7)))
def test_a_paid_order_is_fulfilled_whatever_order_its_notifications_come_in(quantities, seed):
    run = Run(quantities)
    # The mismatched payment sends an unpaid order to review until the right one comes: it always does here.
    for n in seed:
        run.tell(run.inbox[n].model_copy(update={"occurred_at": START + timedelta(seconds=n)}))
    run.inbox = []
    run.heal()
    assert run.world.order.status is OrderStatus.FULFILLED
    assert sorted(given_purchases(run.world).values()) == [1] * len(quantities)
