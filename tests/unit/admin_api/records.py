"""Records as services write them, small and complete."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from aiokafka.structs import ConsumerRecord

from admin_api.sink.source import RawRecord
from bitloot import ids
from bitloot.contracts.dead_letters import DeadLetter
from bitloot.contracts.events import (
    CodesReceived,
    KeysRevealed,
    KinguinNotified,
    LineCodes,
    Notice,
    OrderRetired,
    PaymentStatus,
)
from bitloot.contracts.sealed import CodeHashes, SealedCode
from bitloot.contracts.state import (
    ItemState,
    ItemStatus,
    KeyState,
    OrderSnapshot,
    OrderStatus,
    PaymentState,
    PaymentVerdict,
    ReservationState,
    ReservationStatus,
)
from bitloot.contracts.webhooks import WebhookLogged
from bitloot.ids import EffectId, EventId, OrderId, PaymentId, ProductId, ReservationId
from tests.fakes import buyers

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOX = "c2VhbGVkLWJveC1vZi1hLWNvZGU="


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def taken(
    topic: str, key: bytes | None, value: bytes | None, *, partition: int = 0, offset: int = 1, at: datetime = START
) -> RawRecord:
    """A record as the consumer gives it."""
    milliseconds = int(at.timestamp() * 1000)
    record: RawRecord = ConsumerRecord(topic, partition, offset, milliseconds, 0, key, value, None, 0, 0, ())
    return record


def sealed(number: int = 1) -> SealedCode:
    hashes = CodeHashes(key_id="h1", whole_hash=f"{number:032x}", tail_hash=f"{number + 1000:032x}")
    return SealedCode(key_id="k1", box=f"{BOX}{number}", hashes=hashes)


def order(number: int) -> OrderId:
    return ids.order_id(f"order {number}")


def address(number: int, plain: str) -> str:
    """Return a mail address as records of an order carry it."""
    return buyers.sealed(order(number), plain)


def snapshot(number: int, version: int = 1, **changes: object) -> OrderSnapshot:
    """A fulfilled order of one item (two keys), placed `number` minutes after the start; an `email` is given in plain."""
    if isinstance(plain := changes.get("email"), str):
        changes["email"] = address(number, plain)
    order_id = order(number)
    item = ids.item_id(order_id, 1)
    placed = START + timedelta(minutes=number)
    reservation = ReservationId(f"res-{number}")
    record = OrderSnapshot(
        event_id=EventId(f"{order_id}/state/{version}"),
        occurred_at=placed + timedelta(seconds=version),
        order_id=order_id,
        version=version,
        status=OrderStatus.FULFILLED,
        email=address(number, f"buyer{number}@example.test"),
        currency="eur",
        total=Decimal("19.98"),
        request_hash=f"hash-{number}",
        pay_url=f"https://pay.example.test/{number}",
        invoice_id=f"inv-{number}",
        items=(
            ItemState(
                item_id=item,
                position=1,
                product_id=ProductId(f"product-{number % 3}"),
                title="A <Game> & more",
                quantity=2,
                unit_price=Decimal("9.99"),
                status=ItemStatus.STORED,
                reservation_id=reservation,
            ),
        ),
        payments=(
            PaymentState(
                payment_id=PaymentId(f"pay-{number}"),
                status=PaymentStatus.FINISHED,
                provider_status="finished",
                verdict=PaymentVerdict.ACCEPTED,
                price_amount=Decimal("19.98"),
                price_currency="eur",
                first_seen_at=placed,
                updated_at=placed + timedelta(seconds=5),
            ),
        ),
        reservations=(
            ReservationState(
                reservation_id=reservation,
                purchase_id=ids.purchase_id(order_id, 1),
                item_id=item,
                item_ids=(item,),
                status=ReservationStatus.DELIVERED,
                reserved_at=placed + timedelta(seconds=6),
                given_at=placed + timedelta(seconds=6),
                delivered_at=placed + timedelta(seconds=8),
            ),
        ),
        keys=tuple(
            KeyState(
                item_id=item,
                position=position,
                storage_ref=f"keys/{order_id}.json",
                created_at=placed + timedelta(seconds=9),
            )
            for position in (1, 2)
        ),
        object_key=f"keys/{order_id}.json",
        placed_at=placed,
        paid_at=placed + timedelta(seconds=5),
        mailed_at=placed + timedelta(seconds=5 + number),
        closed_at=placed + timedelta(seconds=5 + number),
        updated_at=placed + timedelta(seconds=version),
    )
    return record.model_copy(update=changes)


def revealed(number: int, event: int = 1) -> KeysRevealed:
    order_id = order(number)
    return KeysRevealed(event_id=EventId(f"{order_id}/revealed/{event}"), occurred_at=at(event), order_id=order_id)


def retired(number: int) -> OrderRetired:
    order_id = order(number)
    return OrderRetired(
        event_id=EventId(f"retired/{order_id}"),
        occurred_at=at(9),
        order_id=order_id,
        closed_at=at(8),
        reservation_ids=(),
    )


def codes_received(number: int, count: int = 2) -> CodesReceived:
    order_id = order(number)
    item = ids.item_id(order_id, 1)
    effect = EffectId(f"{item}/fetch_codes/1")
    return CodesReceived(
        event_id=ids.outcome_id(effect, "codes.received"),
        occurred_at=at(8),
        order_id=order_id,
        effect_id=effect,
        purchase_id=ids.purchase_id(order_id, 1),
        reservation_id=ReservationId(f"res-{number}"),
        lines=(LineCodes(item_id=item, codes=tuple(sealed(each) for each in range(count))),),
    )


def notified(number: int) -> KinguinNotified:
    order_id = order(number)
    return KinguinNotified(
        event_id=EventId(f"kinguin/{order_id}/delivered"),
        occurred_at=at(7),
        order_id=order_id,
        notice=Notice.DELIVERED,
        provider_status="delivered",
        reservation_id=ReservationId(f"res-{number}"),
        codes=(sealed(),),
    )


def webhook(number: int, *, received: float = 0, **changes: object) -> WebhookLogged:
    """Kinguin's notification that an order was delivered, with a sealed code in its event."""
    event = notified(number)
    record = WebhookLogged(
        event_id=event.event_id,
        occurred_at=at(received),
        provider="kinguin",
        external_id=f"res-{number}",
        event_type="delivered",
        order_id=order(number),
        headers={"content-type": "application/json"},
        body='{"event":"delivered","codes":["[sealed]"]}',
        body_sha256="0" * 64,
        matched="current",
        event_topic="orders.events.v1",
        event_key=order(number),
        event=event.model_dump(mode="json", exclude_none=True),
    )
    return record.model_copy(update=changes)


def letter(number: int, **changes: object) -> DeadLetter:
    """A dead letter of the delivery worker about a record without sense."""
    record = DeadLetter(
        event_id=EventId(f"dead-letter/delivery/{number}"),
        occurred_at=at(number),
        consumer="delivery",
        topic="deliveries.v1",
        partition=0,
        offset=number,
        key="a2V5",  # key
        value="bm9uc2Vuc2U=",  # nonsense
        value_length=8,
        value_sha256="1" * 64,
        headers={"traceparent": "00-1-2-01"},
        reason="bad_record",
        error="record: json_invalid",
    )
    return record.model_copy(update=changes)
