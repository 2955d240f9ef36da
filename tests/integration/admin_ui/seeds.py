"""A day at a shop: orders in every state, with what led there."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bitloot import ids
from bitloot.contracts.events import (
    EffectFailed,
    Failure,
    KeysStored,
    MailSent,
    OrderItem,
    OrderPlaced,
    PaymentStatus,
    PaymentUpdated,
    PurchasePlaced,
)
from bitloot.contracts.state import ItemStatus, OrderSnapshot, OrderStatus, PaymentVerdict, Review
from bitloot.ids import EffectId, EventId, MessageId, OrderId, PaymentId, ProductId
from tests.integration.admin_api.api import Api
from tests.unit.admin_api import records

NOW = datetime.now(UTC).replace(microsecond=0)
BUYER = "grace.hopper@example.test"
WAITING = records.order(7)
"""The order of BUYER: paid, and Kinguin had nothing to sell."""

_TITLES = ("Hollow Knight: Silksong (PC)", "Elden Ring (PC)", "Stardew Valley (PC)", "Hades II (PC)", "Celeste (PC)")
_NAMES = ("ada.lovelace", "alan.turing", "edsger.dijkstra", "barbara.liskov", "donald.knuth", "margaret.hamilton")
_CAUSES = (
    ("out_of_stock", "no offer for the product"),
    ("insufficient_balance", "the account has 3.10 eur, the offer costs 17.99 eur"),
    ("out_of_stock", "no offer for the product"),
    ("attempts_exhausted", "give: 5 tries failed, the last one with 503"),
)
_STATES = (
    OrderStatus.FULFILLED,
    OrderStatus.FULFILLED,
    OrderStatus.AWAITING_PAYMENT,
    OrderStatus.FULFILLED,
    OrderStatus.PURCHASING,
    OrderStatus.FULFILLED,
    OrderStatus.NEEDS_REVIEW,
    OrderStatus.DELIVERING,
    OrderStatus.FULFILLED,
    OrderStatus.REFUNDED,
)
_PAID = frozenset(OrderStatus) - {OrderStatus.AWAITING_PAYMENT, OrderStatus.UNPLACED}
_ITEM = {
    OrderStatus.FULFILLED: ItemStatus.STORED,
    OrderStatus.DELIVERING: ItemStatus.STORED,
    OrderStatus.NEEDS_REVIEW: ItemStatus.FAILED,
    OrderStatus.PURCHASING: ItemStatus.BUYING,
    OrderStatus.REFUNDED: ItemStatus.CANCELED,
}


def _title(number: int) -> str:
    return _TITLES[number % len(_TITLES)]


def snapshot(number: int, **changes: object) -> OrderSnapshot:
    """Order `number`: placed some 13 minutes before the one before."""
    status = _STATES[(number - 1) % len(_STATES)]
    placed = NOW - timedelta(minutes=13 * number, seconds=7 * number)
    paid = placed + timedelta(seconds=95) if status in _PAID else None
    done = status in {OrderStatus.FULFILLED, OrderStatus.REFUNDED}
    ttk = timedelta(seconds=4 + (number * 37 % 60) / 10)
    base = records.snapshot(number)
    cause, detail = _CAUSES[number // 10 % len(_CAUSES)]
    bought = status in {OrderStatus.FULFILLED, OrderStatus.DELIVERING}
    price = Decimal(999 + number * 731 % 5000) / 100
    item = base.items[0].model_copy(
        update={
            "title": _title(number),
            "quantity": 1,
            "unit_price": price,
            "status": _ITEM.get(status, ItemStatus.WAITING),
            "reservation_id": base.items[0].reservation_id if bought else None,
        }
    )
    payment = base.payments[0].model_copy(
        update={
            "status": PaymentStatus.FINISHED if paid else PaymentStatus.CONFIRMING,
            "verdict": PaymentVerdict.ACCEPTED if paid else PaymentVerdict.OPEN,
            "provider_status": "finished" if paid else "confirming",
            "price_amount": price,
            "pay_amount": price / 50_000,
            "pay_currency": "btc",
            "actually_paid": price / 50_000 if paid else None,
            "first_seen_at": placed + timedelta(seconds=12),
            "updated_at": paid or placed + timedelta(seconds=40),
        }
    )
    reservation = base.reservations[0].model_copy(
        update={
            name: paid and paid + timedelta(seconds=at)
            for name, at in (("reserved_at", 1), ("given_at", 1), ("delivered_at", 3))
        }
    )
    return base.model_copy(
        update={
            "status": status,
            "email": records.address(
                number, BUYER if number == 7 else f"{_NAMES[number % len(_NAMES)]}{number}@example.test"
            ),
            "total": price,
            "items": (item,),
            "payments": (payment,),
            "reservations": (reservation,) if bought else (),
            "keys": tuple(key.model_copy(update={"created_at": paid}) for key in base.keys[:1])
            if bought and paid
            else (),
            "review": Review(cause=cause, detail=detail, item_id=item.item_id, since=paid + timedelta(seconds=31))
            if status is OrderStatus.NEEDS_REVIEW and paid
            else None,
            "placed_at": placed,
            "paid_at": paid,
            "purchased_at": paid + timedelta(seconds=1) if bought and paid else None,
            "stored_at": paid + timedelta(seconds=3.5) if bought and paid else None,
            "mailed_at": paid + ttk if status is OrderStatus.FULFILLED and paid else None,
            "closed_at": paid + ttk if done and paid else None,
            "updated_at": (paid or placed) + timedelta(seconds=40),
            **changes,
        }
    )


def _placed(number: int, order: OrderSnapshot) -> OrderPlaced:
    assert order.total is not None
    assert order.placed_at is not None
    return OrderPlaced(
        event_id=EventId(f"{order.order_id}/placed"),
        occurred_at=order.placed_at,
        order_id=order.order_id,
        email=order.email or "",
        currency="eur",
        items=(
            OrderItem(
                item_id=order.items[0].item_id,
                product_id=ProductId("product-1"),
                title=_title(number),
                quantity=1,
                unit_price=order.total,
            ),
        ),
        total=order.total,
        request_hash="0",
    )


def _paying(order: OrderSnapshot, status: PaymentStatus, seconds: float) -> PaymentUpdated:
    assert order.placed_at is not None
    payment = order.payments[0]
    return PaymentUpdated(
        event_id=EventId(f"{order.order_id}/payment/{status}"),
        occurred_at=order.placed_at + timedelta(seconds=seconds),
        order_id=order.order_id,
        payment_id=PaymentId(payment.payment_id),
        status=status,
        provider_status=status,
        actually_paid=payment.actually_paid if status is PaymentStatus.FINISHED else None,
        pay_currency="btc",
    )


async def seed_story_of_waiting(api: Api) -> OrderId:
    """The order of BUYER, with all that happened to it: three tries at Kinguin, then a review."""
    order = snapshot(7)
    at = order.placed_at
    assert at is not None
    item = order.items[0].item_id
    failed = [
        EffectFailed(
            event_id=EventId(f"{item}/buy/{attempt}/failed"),
            occurred_at=at + timedelta(seconds=95 + seconds),
            order_id=order.order_id,
            effect_id=EffectId(f"{item}/buy/{attempt}"),
            item_id=item,
            failure=failure,
            cause=cause,
            detail=detail,
        )
        for attempt, seconds, failure, cause, detail in (
            (1, 0.8, Failure.TRANSIENT, "provider_unavailable", "503 from POST /reservations"),
            (2, 3.1, Failure.TRANSIENT, "provider_unavailable", "503 from POST /reservations"),
            (3, 9.6, Failure.REFUSED, "out_of_stock", "no offer for the product"),
        )
    ]
    await api.seed(
        api.ports.topics.events,
        _placed(7, order),
        *(
            _paying(order, status, seconds)
            for status, seconds in (
                (PaymentStatus.WAITING, 12),
                (PaymentStatus.CONFIRMING, 41),
                (PaymentStatus.FINISHED, 95),
                (PaymentStatus.FINISHED, 95),
            )
        ),
        *failed,
    )
    return order.order_id


async def _seed_story_of_fulfilled(api: Api) -> None:
    order = snapshot(1)
    paid = order.paid_at
    assert paid is not None
    item = order.items[0].item_id

    def after(seconds: float) -> dict[str, object]:
        return {"order_id": order.order_id, "occurred_at": paid + timedelta(seconds=seconds)}

    buy, mail = (EffectId(f"{item}/{kind}/1") for kind in ("buy", "send_mail"))
    purchase = ids.purchase_id(order.order_id, 1)
    await api.seed(
        api.ports.topics.events,
        _placed(1, order),
        _paying(order, PaymentStatus.FINISHED, 95),
        PurchasePlaced.model_validate(
            after(1)
            | {"event_id": "p1", "effect_id": buy, "purchase_id": purchase, "reservation_id": "res-1", "given": True}
        ),
        records.codes_received(1, count=1).model_copy(update=after(3)),
        KeysStored.model_validate(
            after(3.5)
            | {
                "event_id": "s1",
                "effect_id": f"{item}/store/1",
                "object_key": "keys/1.json",
                "sha256": "0" * 64,
                "codes": 1,
            }
        ),
        MailSent.model_validate(
            after(4.4)
            | {"event_id": "m1", "effect_id": mail, "message_id": MessageId("m"), "provider_message_id": "re_4711"}
        ),
    )


async def seed_day(api: Api, orders: int = 60) -> None:
    """Fill the read model."""
    topics = api.ports.topics
    await api.seed(topics.state, *(snapshot(number) for number in range(1, orders + 1)))
    await seed_story_of_waiting(api)
    await _seed_story_of_fulfilled(api)
    body = '{"payment_id":5077125051,"payment_status":"%s","price_amount":19.980,"price_currency":"eur","pay_amount":0.00039960,"actually_paid":%s,"order_id":"%s","updated_at":1767222000000}'
    await api.seed(
        topics.webhooks,
        *(
            records.webhook(
                number,
                received=number,
                occurred_at=NOW - timedelta(minutes=11 * number),
                provider="nowpayments",
                external_id="5077125051",
                event_type=status,
                order_id=WAITING,
                body=body % (status, paid, WAITING),
                note="",
                remote_address="203.0.113.7",
                headers={"content-type": "application/json", "x-nowpayments-sig": "(hidden)"},
            )
            for number, (status, paid) in enumerate(
                (("finished", "0.00039960"), ("confirming", "0"), ("waiting", "0")), 1
            )
        ),
        *(records.webhook(number, occurred_at=NOW - timedelta(minutes=9 * number)) for number in range(11, 30)),
    )
    await api.seed(
        topics.dead_letters,
        *(
            records.letter(
                number,
                occurred_at=NOW - timedelta(minutes=17 * number),
                consumer="delivery" if number % 3 else "sink",
                topic=topics.events.name if number % 3 else "deliveries.v1",
                reason="bad_record" if number % 2 else "defect",
                error="record: json_invalid" if number % 2 else "KeyError: 'price'",
            )
            for number in range(1, 13)
        ),
    )
