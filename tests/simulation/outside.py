"""What comes from outside: the shop's orders, payments, Kinguin's notifications, admins, and records of strangers."""

import base64
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from bitloot.contracts.base import Record
from bitloot.contracts.codec import encode
from bitloot.contracts.dead_letters import DeadLetter
from bitloot.contracts.events import (
    EmailChanged,
    KeysReturnRequested,
    KeysRevealed,
    KinguinNotified,
    LinkRevoked,
    MailRequested,
    Notice,
    OrderItem,
    OrderPlaced,
    PaymentInstructions,
    PaymentStatus,
    PaymentUpdated,
    ReprocessRequested,
)
from bitloot.contracts.notices import ReservationNotified
from bitloot.contracts.sealed import SealedCode
from bitloot.contracts.topics import DEAD_LETTERS, DELIVERIES, KINGUIN_CALLS, KINGUIN_NOTICES, ORDER_EVENTS, Topic
from bitloot.ids import EventId, OrderId, PaymentId, ProductId, ReservationId, content_id, item_id, order_id, order_of
from tests.fakes.buyers import sealed
from tests.simulation.buyer_market import BuyerKinguin
from tests.simulation.market import Purchase, turned
from tests.simulation.schedule import Again, Click, Foreign, Junk, Notification, OrderPlan, Wish

if TYPE_CHECKING:
    from tests.simulation.world import World

_TOPICS = (ORDER_EVENTS, KINGUIN_NOTICES, KINGUIN_CALLS, DELIVERIES)
STRANGER = order_id("nobody's")


def instructions(order: OrderId, billed: str) -> PaymentInstructions:
    """Return how an order can be paid: its first payment, or an invoice that all of its payments belong to.

    For `twice` the second invoice, which nobody pays.
    """
    if billed == "address":
        return PaymentInstructions(
            payment_id=PaymentId(f"{order}/0"), pay_currency="btc", pay_address="TEST", pay_amount=Decimal("0.002")
        )
    number = "/2" if billed == "twice" else ""
    return PaymentInstructions(pay_url="https://pay.example.test", invoice_id=f"{order}/invoice{number}")


class Outside:
    """Hands in what the ingress accepts, and what admins do."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.ahead = 0.0
        self.accepted: list[tuple[Topic, str, Record]] = []
        self.junk: set[tuple[str, bytes]] = set()
        """Topics and values of records that nobody can decode, or whose key is wrong."""
        self.clicks: Counter[OrderId] = Counter()
        """How often somebody wished something for an order."""
        self._replayed = 0

    def accept(self, topic: Topic, key: str, record: Record) -> None:
        """Publish what the ingress answers with success; while it cannot, the sender tries again."""
        if wait := self._world.away("broker"):
            self._world.later(wait + self._world.rng.uniform(0.1, 20), self.accept, topic, key, record)
            return
        self.accepted.append((topic, key, record))
        self._world.broker.append(topic.name, key.encode(), encode(record))

    def _now(self) -> Any:
        return self._world.clocks.read(self.ahead)

    # --- the shop and its buyers ---

    def place(self, order: OrderId, plan: OrderPlan) -> None:
        items = tuple(
            OrderItem(
                item_id=item_id(order, n),
                product_id=ProductId(f"product-{n}"),
                title=f"Game {n}",
                quantity=quantity,
                unit_price=Decimal(5),
            )
            for n, quantity in enumerate(plan.quantities, start=1)
        )
        event = OrderPlaced(
            event_id=content_id("shop", order),
            occurred_at=self._now(),
            order_id=order,
            email=sealed(order, "buyer@example.com"),
            currency="eur",
            items=items,
            total=Decimal(5) * sum(plan.quantities),
            request_hash="0" * 64,
            pay_currency="btc" if plan.billed == "address" else None,
            payment_instructions=None if plan.billed == "later" else instructions(order, plan.billed),
        )
        if plan.billed == "twice":
            first = instructions(order, "invoice")
            self.accept(ORDER_EVENTS, order, event.model_copy(update={"payment_instructions": first}))
        self.accept(ORDER_EVENTS, order, event)

    def pay(self, order: OrderId, plan: OrderPlan, told: Notification) -> None:
        self.accept(ORDER_EVENTS, order, self.payment(order, plan, told))

    def payment(self, order: OrderId, plan: OrderPlan, told: Notification) -> PaymentUpdated:
        status = PaymentStatus(told.status)
        paid = {PaymentStatus.FINISHED: "0.002", PaymentStatus.PARTIALLY_PAID: "0.001"}.get(status, "0")
        price = Decimal(5) * sum(plan.quantities)
        return PaymentUpdated(
            event_id=content_id("nowpayments", order, told.payment, status),
            occurred_at=self._now(),
            order_id=order,
            payment_id=PaymentId(f"{order}/{told.payment}"),
            invoice_id=None if plan.billed == "address" else f"{order}/invoice",
            status=status,
            provider_status=status,
            price_amount=price if told.paid != "other" else price + 1,
            price_currency="eur",
            pay_amount=Decimal("0.002"),
            pay_currency="btc",
            actually_paid=Decimal(paid) / 2 if told.paid == "less" else Decimal(paid),
        )

    # --- Kinguin ---

    def notified(self, purchase: Purchase, notice: str) -> None:
        purchase.told = True
        if isinstance(self._world.kinguin, BuyerKinguin) and purchase.external_id:
            self._hinted(purchase, self._world.kinguin.status(purchase), notice)
            return
        ready = purchase.ready(self._world.loop.time()) if notice == "delivered" else ()
        codes = ready if self._world.rng.random() < 0.5 else ()
        about: dict[str, Any] = {
            "event_id": content_id("kinguin", purchase.id, notice, len(codes)),
            "occurred_at": self._now(),
            "reservation_id": ReservationId(purchase.id),
            "notice": Notice(notice),
            "provider_status": notice,
            "codes": tuple(SealedCode(key_id="open", box=turned(code)) for code in codes),
        }
        order = order_of(purchase.external_id)
        if order is not None and self._world.plan_of(purchase.external_id).names_order:
            self.accept(ORDER_EVENTS, order, KinguinNotified(**about, order_id=order, external_id=purchase.external_id))
        else:
            self.accept(KINGUIN_NOTICES, purchase.id, ReservationNotified(**about))

    def _hinted(self, purchase: Purchase, status: str, notice: str) -> None:
        """Tell that an order has changed, as the buyer API does: the rest is to be asked for."""
        order = order_of(purchase.external_id)
        assert order is not None
        event = KinguinNotified(
            event_id=content_id("kinguin", purchase.id, notice, status),
            occurred_at=self._now(),
            order_id=order,
            notice=Notice.CHANGED,
            provider_status=status,
            reservation_id=ReservationId(purchase.id),
            external_id=purchase.external_id,
        )
        self.accept(ORDER_EVENTS, order, event)

    # --- admins and buyers ---

    def click(self, click: Click) -> None:
        """Wish something for an order, as one or more people do in the same moment."""
        order = self._world.order_ids[click.order]
        for number in (self._world.number() for _ in range(click.admins)):
            self.clicks[order] += 1
            about: dict[str, Any] = {"occurred_at": self._now(), "order_id": order, "actor": "admin"}
            about |= {"event_id": EventId(f"click/{number}"), "action_id": f"click {number}"}
            self.accept(ORDER_EVENTS, order, self._wish(click.wish, number, about))

    def _wish(self, wish: Wish, number: int, about: dict[str, Any]) -> Record:
        match wish:
            case "mail":
                return MailRequested(**about)
            case "address":
                return EmailChanged(**about, email=sealed(about["order_id"], f"buyer{number}@example.com"))
            case "revoke":
                return LinkRevoked(**about)
            case "go on" if self._world.schedule.dialect == "esa" and number % 2 == 0:
                return KeysReturnRequested(**about)
            case "go on":
                return ReprocessRequested(**about)

    def replay(self) -> None:
        """Send every dead letter that was not replayed yet back to where it came from."""
        letters = self._world.broker.all(DEAD_LETTERS)
        for record in letters[self._replayed :]:
            letter: DeadLetter = DEAD_LETTERS.records.validate_json(record.value or b"")
            key, value = (base64.b64decode(part) if part is not None else b"" for part in (letter.key, letter.value))
            self._world.broker.append(letter.topic, key, value)
        self._replayed = len(letters)

    # --- long after ---

    def again(self, again: Again) -> None:
        order = self._world.order_ids[again.order]
        plan = self._world.plan_of(order)
        tell: dict[str, Callable[[], None]] = {
            "placed": lambda: self.place(order, plan),
            "payment": lambda: self.pay(order, plan, plan.payments[-1]),
            "delivered": lambda: self._delivered_again(order),
            "outcome": lambda: self._outcome_again(order),
            "reveal": lambda: self.accept(
                ORDER_EVENTS,
                order,
                KeysRevealed(
                    event_id=EventId(f"revealed/{self._world.number()}"), occurred_at=self._now(), order_id=order
                ),
            ),
        }
        tell[again.what]()

    def _delivered_again(self, order: OrderId) -> None:
        for purchase in self._world.kinguin.purchases.values():
            if order_of(purchase.external_id) == order and purchase.given_at is not None:
                self.notified(purchase, "delivered")

    def _outcome_again(self, order: OrderId) -> None:
        """Publish what the ledger has, as a worker does whose offsets were set back."""
        for row in tuple(self._world.ledger.values()):
            if row.outcome is not None and row.outcome.order_id == order:
                self.accept(ORDER_EVENTS, order, row.outcome)

    # --- strangers ---

    def write_junk(self, foreign: Foreign) -> None:
        """Write a record that does not belong there."""
        if wait := self._world.away("broker"):
            self._world.later(wait, self.write_junk, foreign)
            return
        topic, order = _TOPICS[foreign.topic], self._world.order_ids[0]
        if foreign.junk == "stranger":
            self._stranger(topic)
            return
        plan = self._world.plan_of(order)
        event = encode(self.payment(order, plan, Notification(0, 99, "finished")))
        key, value = order.encode(), _spoiled(foreign.junk, event)
        if foreign.junk == "key":
            key = STRANGER.encode() if topic is ORDER_EVENTS else b"\xff"
        if foreign.junk == "empty":
            value = b""
        self._world.broker.append(topic.name, key, value)
        self.junk.add((topic.name, value))

    def _stranger(self, topic: Topic) -> None:
        """Tell of a payment or a reservation that nobody here knows of."""
        plan = OrderPlan(0, (1,), (), 0, names_order=True)
        if topic is KINGUIN_NOTICES:
            self.notified(Purchase(f"unknown-{self._world.number()}", "", 1, "whole", 0.0), "delivered")
        else:
            self.accept(ORDER_EVENTS, STRANGER, self.payment(STRANGER, plan, Notification(0, 0, "finished")))


def _spoiled(junk: Junk, event: bytes) -> bytes:
    match junk:
        case "no_json":
            return event[:-1]
        case "version":
            return event.replace(b'"schema_version":1', b'"schema_version":2')
        case "type":
            return event.replace(b'"payment.updated"', b'"payment.exploded"')
        case _:
            return event
