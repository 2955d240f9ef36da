"""Calls as the orders agent makes them."""

from datetime import UTC, datetime
from decimal import Decimal

from bitloot import ids
from bitloot.contracts.effects import BuyKey, FetchCodes, GiveReservation, LookUpPurchase, PurchaseLine, ReturnKeys
from bitloot.ids import EventId, OrderId, ProductId, ReservationId

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ORDER = ids.order_id("kinguin-tests")
ITEM = ids.item_id(ORDER, 1)
PURCHASE = ids.purchase_id(ORDER, 1)
EXTERNAL = ids.external_id(PURCHASE, 1)
PRODUCT = ProductId("5c9b5f6b2539a4e8f1727916")
RESERVATION = ReservationId("res-7")


def line(quantity: int, *, order: OrderId = ORDER, product: str = PRODUCT) -> PurchaseLine:
    return PurchaseLine(
        item_id=ids.item_id(order, 1), product_id=ProductId(product), quantity=quantity, unit_price=Decimal("9.99")
    )


def buy(quantity: int = 2, *, attempt: int = 1, order: OrderId = ORDER, product: str = PRODUCT) -> BuyKey:
    purchase = ids.purchase_id(order, 1)
    effect = ids.effect_id(purchase, "buy", attempt)
    return BuyKey(
        event_id=EventId(effect),
        occurred_at=NOW,
        order_id=order,
        effect_id=effect,
        attempt=attempt,
        purchase_id=purchase,
        external_id=ids.external_id(purchase, 1),
        lines=(line(quantity, order=order, product=product),),
        currency="eur",
    )


def give(reservation: str = RESERVATION, *, attempt: int = 1, order: OrderId = ORDER) -> GiveReservation:
    purchase = ids.purchase_id(order, 1)
    effect = ids.effect_id(purchase, "give", attempt)
    return GiveReservation(
        event_id=EventId(effect),
        occurred_at=NOW,
        order_id=order,
        effect_id=effect,
        attempt=attempt,
        purchase_id=purchase,
        reservation_id=ReservationId(reservation),
    )


def look_up(external: str | None = None, *, attempt: int = 1, order: OrderId = ORDER) -> LookUpPurchase:
    purchase = ids.purchase_id(order, 1)
    effect = ids.effect_id(purchase, "look_up", attempt)
    return LookUpPurchase(
        event_id=EventId(effect),
        occurred_at=NOW,
        order_id=order,
        effect_id=effect,
        attempt=attempt,
        purchase_id=purchase,
        external_id=external or ids.external_id(purchase, 1),
    )


def fetch(quantity: int = 2, *, reservation: str = RESERVATION, attempt: int = 1) -> FetchCodes:
    effect = ids.effect_id(PURCHASE, "fetch", attempt)
    return FetchCodes(
        event_id=EventId(effect),
        occurred_at=NOW,
        order_id=ORDER,
        effect_id=effect,
        attempt=attempt,
        purchase_id=PURCHASE,
        reservation_id=ReservationId(reservation),
        external_id=EXTERNAL,
        lines=(line(quantity),),
        currency="eur",
    )


def return_keys(reservation: str = RESERVATION) -> ReturnKeys:
    effect = ids.effect_id(PURCHASE, "return", 1)
    return ReturnKeys(
        event_id=EventId(effect),
        occurred_at=NOW,
        order_id=ORDER,
        effect_id=effect,
        attempt=1,
        purchase_id=PURCHASE,
        reservation_id=ReservationId(reservation),
    )
