"""An order as the API tells it, and whether it is the one that we meant."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from bitloot.ids import ReservationId
from fulfillment.kinguin.answers import Standing, bad, reservation_id, shown_status
from fulfillment.kinguin.esa.values import count, identity, listed, moment, money
from fulfillment.kinguin.wire import Answer, Json
from fulfillment.purchases import Purchase

_STANDINGS: Final = {
    "processing": Standing.GIVEN,
    "completed": Standing.DELIVERED,
    "canceled": Standing.CANCELED,
    "cancelled": Standing.CANCELED,
    "refunded": Standing.REFUNDED,
}
_KEY_STANDINGS: Final = {
    "pending": Standing.GIVEN,
    "processing": Standing.GIVEN,
    "delivered": Standing.DELIVERED,
    "returned": Standing.REFUNDED,
    "refunded": Standing.REFUNDED,
    "canceled": Standing.CANCELED,
    "cancelled": Standing.CANCELED,
}


@dataclass(frozen=True, slots=True)
class OrderLine:
    """`quantity` keys of a product, with the standing of each key that the order lists."""

    product_id: str
    quantity: int
    keys: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True)
class KinguinOrder:
    """An order at Kinguin. `paid` is what was taken from our balance, in EUR, where it is told."""

    order_id: ReservationId
    external_id: str
    standing: Standing
    status: str
    lines: tuple[OrderLine, ...]
    paid: Decimal | None = None
    released_at: datetime | None = None


def read_order(answer: Answer, members: dict[str, Json]) -> KinguinOrder:
    """Read an order. Raises as `answers.bad` for one that its contract does not allow."""
    order_id, external_id, standing = _read_head(answer, members)
    products = listed(members.get("products"))
    if not products:
        raise bad(answer, "the order has no list of products")
    lines = tuple(_read_line(answer, each) for each in products)
    total = members.get("totalQty")
    if total is not None and count(total) != sum(line.quantity for line in lines):
        raise bad(answer, "the order's totalQty is not the sum of its products")
    paid = money(members.get("paymentPrice"))
    return KinguinOrder(
        order_id=order_id,
        external_id=external_id,
        standing=standing,
        status=shown_status(members.get("status")),
        lines=lines,
        paid=money(members.get("totalPrice")) if paid is None else paid,
        released_at=_released_at(members, products),
    )


def read_found(answer: Answer, members: dict[str, Json]) -> KinguinOrder:
    """Read as much of an order as tells that it is there. Raises as `read_order`."""
    order_id, external_id, standing = _read_head(answer, members)
    return KinguinOrder(order_id, external_id, standing, shown_status(members.get("status")), ())


def check_ours(answer: Answer, order: KinguinOrder, purchase: Purchase) -> None:
    """Raise as `answers.bad` unless the order is exactly the purchase: external id, products and quantities."""
    if order.external_id != purchase.external_id:
        raise bad(answer, "the order's orderExternalId is not ours")
    wanted = Counter({line.product_id: line.quantity for line in purchase.lines})
    told: Counter[str] = Counter()
    for line in order.lines:
        told[line.product_id] += line.quantity
    if told != wanted:
        raise bad(answer, "the order's products or quantities are not ours")


def _read_head(answer: Answer, members: dict[str, Json]) -> tuple[ReservationId, str, Standing]:
    order_id = reservation_id(members.get("orderId"))
    external_id = members.get("orderExternalId")
    standing = _standing(_STANDINGS, members.get("status"))
    if order_id is None:
        raise bad(answer, "the order has no usable orderId")
    if not isinstance(external_id, str):
        # It might be ours: to leave it out could buy a second time.
        raise bad(answer, "the order does not tell its orderExternalId")
    if standing is Standing.UNKNOWN:
        raise bad(answer, "the order's status is none that we know")
    return order_id, external_id, standing


def _read_line(answer: Answer, members: dict[str, Json]) -> OrderLine:
    product, quantity = identity(members.get("productId")), count(members.get("qty"))
    if product is None or not quantity:
        raise bad(answer, "a product of the order has no usable productId or qty")
    keys = listed(members.get("keys")) or []
    return OrderLine(product, quantity, tuple(_standing(_KEY_STANDINGS, each.get("status")) for each in keys))


def _standing(words: dict[str, Standing], word: Json) -> Standing:
    return words.get(word.lower(), Standing.UNKNOWN) if isinstance(word, str) else Standing.UNKNOWN


def _released_at(members: dict[str, Json], products: list[dict[str, Json]]) -> datetime | None:
    """Return when the keys of a pre-order can come."""
    if members.get("isPreorder") is not True and all(each.get("isPreorder") is not True for each in products):
        return None
    dates = [members.get("preorderReleaseDate"), *(each.get("releaseDate") for each in products)]
    return next((time for date in dates if (time := moment(date)) is not None), None)
